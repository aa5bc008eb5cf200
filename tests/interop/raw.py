"""A peer that speaks the client protocol frame by frame: half-done uploads, strangers, enemies.

What a well-behaved client does is client.py's job; this one does what the library never would.
"""

import pickle
import socket
import struct
import time
import uuid

import zmq

DEADLINE = 60.0

COMMIT, NODE, DELETE, RIGHT, SNAPSHOT, SERVER_SNAPSHOT = 1, 2, 4, 5, 7, 8
AUTH, DISCONNECT, KICK, CLIENTS_STATE, METADATA, SERVER_INFO = 9, 10, 11, 12, 13, 14


def pickled(value):
    return pickle.dumps(value, protocol=4)


def command(number, data, owner='someone'):
    return [pickled(number), owner.encode(), pickled(data)]


def node(name, data, owner='COMMON', dependencies=None):
    return [pickled(NODE), name.encode(), owner.encode(), pickled(dependencies), pickled(data)]


def peer(version, port, **arguments):
    return (FramedPeer if version.generation == 'framed' else ZmtpPeer)(port, version, **arguments)


class Peer:
    """What both generations have in common; the version is the one it says it has."""

    def receive(self, number, deadline=DEADLINE):
        """The data of the next command of the given type; others are passed over."""
        end = time.monotonic() + deadline
        while True:
            chunks = self.receive_command(end - time.monotonic())
            if chunks is None:
                raise AssertionError(f'no command {number} within {deadline:g} s')
            if pickle.loads(chunks[0]) == number:
                return pickle.loads(chunks[2])

    def login(self, name, version=None, server_password=None, admin_password=None):
        self.ask_login(name, version, server_password, admin_password)
        return self.receive(AUTH)

    def ask_login(self, name, version=None, server_password=None, admin_password=None):
        self.beat(b'INIT')
        self.send(command(AUTH, {
            'AUTH_TYPE': 'ADMIN' if admin_password else 'CLIENT', 'AUTH_ID': name,
            'S_PWD': server_password, 'A_PWD': admin_password,
            'VERSION': version or self.version.reports}, name))

    def server_info(self):
        """Asks what strangers may ask. The answer also shows that everything sent before it on
        the command connection has been handled."""
        self.send(command(SERVER_INFO, 'RQ_INFO', 'guest'))
        return self.receive(SERVER_INFO)

    def join(self):
        """Takes the whole graph, as a client does after RUNNING."""
        self.send(command(SNAPSHOT, {'STATE': 'REQUEST_INIT'}))
        catalog = self.receive(SNAPSHOT)['CATALOG']
        chunks = {}
        while catalog:
            name = catalog.pop()
            self.send(command(SNAPSHOT, {'STATE': 'GET', 'ID': name}))
            chunks[name] = self.receive(SNAPSHOT)['DATA']
        self.send(command(SNAPSHOT, {'STATE': 'DONE'}))
        return chunks


class ZmtpPeer(Peer):
    def __init__(self, port, version, identity=None):
        self.version = version
        self.context = zmq.Context()
        self.identity = identity or uuid.uuid4().bytes
        self.command, self.data, self.heartbeat = (
            self.dealer(port + offset) for offset in range(3))

    def dealer(self, port):
        dealer = self.context.socket(zmq.DEALER)
        dealer.setsockopt(zmq.IDENTITY, self.identity)
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.setsockopt(zmq.SNDTIMEO, int(DEADLINE * 1000))
        dealer.connect(f'tcp://127.0.0.1:{port}')
        return dealer

    def send(self, chunks):
        self.command.send_multipart(chunks)

    def beat(self, word):
        self.heartbeat.send(word)

    def receive_command(self, seconds):
        """The next command's chunks, or None."""
        if seconds <= 0 or not self.command.poll(max(1, int(seconds * 1000))):
            return None
        return self.command.recv_multipart()

    def send_data(self, chunks):
        self.data.send_multipart(chunks)

    def receive_data(self):
        """The next data message's chunks, or None."""
        return self.data.recv_multipart() if self.data.poll(int(DEADLINE * 1000)) else None

    def close_when_handled(self):
        """Closes, after everything it sent has left this process: an answer on the command
        connection, or the server's closing it, shows that the server has read that one; the data
        connection is closed with time to send."""
        monitor = self.command.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self.send(command(SERVER_INFO, 'RQ_INFO', 'guest'))
        end = time.monotonic() + DEADLINE
        poller = zmq.Poller()
        poller.register(self.command, zmq.POLLIN)
        poller.register(monitor, zmq.POLLIN)
        answered = False
        while not answered:
            events = dict(poller.poll(1000))
            assert time.monotonic() < end, 'the server neither answers nor closes'
            if monitor in events:
                break
            while self.command in events and self.command.poll(0):
                chunks = self.command.recv_multipart()
                answered |= pickle.loads(chunks[0]) in (SERVER_INFO, DISCONNECT)
        self.command.disable_monitor()
        monitor.close()
        self.data.setsockopt(zmq.LINGER, 2000)
        self.close()

    def close(self):
        if self.context.closed:
            return
        for dealer in (self.command, self.data, self.heartbeat):
            dealer.close()
        self.context.term()


def framed(chunks):
    return struct.pack('!I', len(chunks)) + b''.join(
        struct.pack('!I', len(chunk)) + chunk for chunk in chunks)


def handshake(identity, role):
    return struct.pack('!I', len(identity)) + identity + role


def connect(port):
    connection = socket.create_connection(('127.0.0.1', port), timeout=DEADLINE)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


class FramedPeer(Peer):
    """`roles`: which connections it makes."""

    def __init__(self, port, version, identity=None, roles='CDT'):
        self.version = version
        self.port = port
        self.identity = identity or uuid.uuid4().bytes
        self.received = {}  # by role, what is no whole message yet
        self.connections = {}
        for role in roles:
            self.open(role)

    def open(self, role):
        self.received[role] = bytearray()
        self.connections[role] = connect(self.port)
        self.connections[role].sendall(handshake(self.identity, role.encode()))

    def send(self, chunks):
        # Who is being thrown out cannot send any more; what comes back says why.
        try:
            self.connections['C'].sendall(framed(chunks))
        except OSError:
            pass

    def send_data(self, chunks):
        try:
            self.connections['D'].sendall(framed(chunks))
        except OSError:
            pass

    def beat(self, word):
        if 'T' in self.connections:
            self.connections['T'].sendall(framed([word]))

    def take_message(self, role):
        """A whole message from what was received, or None."""
        received = self.received[role]
        places = []
        at = 4
        if len(received) < at:
            return None
        for _ in range(struct.unpack_from('!I', received)[0]):
            if len(received) < at + 4:
                return None
            size = struct.unpack_from('!I', received, at)[0]
            places.append((at + 4, at + 4 + size))
            at += 4 + size
        if len(received) < at:
            return None
        chunks = [bytes(received[start:end]) for start, end in places]
        del received[:at]
        return chunks

    def receive_message(self, role, seconds):
        """The next message's chunks, or None, also at the end of the connection."""
        end = time.monotonic() + seconds
        while (message := self.take_message(role)) is None:
            left = end - time.monotonic()
            if left <= 0:
                return None
            self.connections[role].settimeout(left)
            try:
                more = self.connections[role].recv(1 << 20)
            except (TimeoutError, ConnectionError):
                return None
            if not more:
                return None
            self.received[role] += more
        return message

    def receive_command(self, seconds):
        return self.receive_message('C', seconds)

    def receive_data(self):
        return self.receive_message('D', DEADLINE)

    def close_when_handled(self):
        """Closes, after the server has read what was sent: an answer on the command connection, or
        its end, shows it for that one; the data connection is closed with time to send."""
        self.send(command(SERVER_INFO, 'RQ_INFO', 'guest'))
        while True:
            chunks = self.receive_command(DEADLINE)
            if chunks is None or pickle.loads(chunks[0]) in (SERVER_INFO, DISCONNECT):
                break
        self.close()

    def close(self):
        for connection in self.connections.values():
            connection.close()
