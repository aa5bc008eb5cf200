"""A peer that speaks the client protocol frame by frame: half-done uploads, strangers, enemies.

What a well-behaved client does is client.py's job; this one does what the library never would.
"""

import pickle
import time
import uuid

import zmq

from processes import DEADLINE

COMMIT, NODE, DELETE, RIGHT, SNAPSHOT, SERVER_SNAPSHOT = 1, 2, 4, 5, 7, 8
AUTH, DISCONNECT, KICK, CLIENTS_STATE, METADATA, SERVER_INFO = 9, 10, 11, 12, 13, 14


def pickled(value):
    return pickle.dumps(value, protocol=4)


def command(number, data, owner='someone'):
    return [pickled(number), owner.encode(), pickled(data)]


def node(name, data, owner='COMMON', dependencies=None):
    return [pickled(NODE), name.encode(), owner.encode(), pickled(dependencies), pickled(data)]


class RawPeer:
    def __init__(self, port, identity=None):
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

    def send_data(self, chunks):
        self.data.send_multipart(chunks)

    def receive(self, number, deadline=DEADLINE):
        """The data of the next command of the given type; others are passed over."""
        end = time.monotonic() + deadline
        while True:
            left = end - time.monotonic()
            if left <= 0 or not self.command.poll(max(1, int(left * 1000))):
                raise AssertionError(f'no command {number} within {deadline:g} s')
            chunks = self.command.recv_multipart()
            if pickle.loads(chunks[0]) == number:
                return pickle.loads(chunks[2])

    def login(self, name, version='0.9.10', server_password=None, admin_password=None):
        self.heartbeat.send(b'INIT')
        self.send(command(AUTH, {
            'AUTH_TYPE': 'ADMIN' if admin_password else 'CLIENT', 'AUTH_ID': name,
            'S_PWD': server_password, 'A_PWD': admin_password, 'VERSION': version}, name))
        return self.receive(AUTH)

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
