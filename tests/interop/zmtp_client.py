"""What test_zmtp_clients.py does with a real ZeroMQ DEALER, in a process of its own so that the
version of pyzmq can be chosen by PYTHONPATH: zmtp_client.py VERSION SCENARIO PORT"""

import random
import sys
import time

import zmq
from zmq.utils.monitor import recv_monitor_message

DEADLINE_MS = 60_000


def unconnected(context, kind, identity=None, **options):
    socket = context.socket(kind)
    socket.linger = 0
    if identity is not None:
        socket.setsockopt(zmq.IDENTITY, identity)
    for name, value in options.items():
        socket.setsockopt(getattr(zmq, name), value)
    return socket


def connect(socket, port):
    socket.connect(f'tcp://127.0.0.1:{port}')
    return socket


def dealer(context, port, identity=None, **options):
    return connect(unconnected(context, zmq.DEALER, identity, **options), port)


def receive(socket):
    assert socket.poll(DEADLINE_MS), 'nothing came'
    return socket.recv_multipart()


def echo(socket, frames):
    socket.send_multipart(frames)
    got = receive(socket)
    assert got == frames, (len(got), len(frames))


def exchange(socket, messages, ahead=200):
    """Sends all and receives all, at most `ahead` not yet answered."""
    sent = got = 0
    while got < len(messages):
        if sent < len(messages) and sent - got < ahead:
            socket.send_multipart(messages[sent])
            sent += 1
            if socket.poll(0) == 0:
                continue
        frames = receive(socket)
        assert frames == messages[got], f'message {got} came back changed'
        got += 1


def random_messages(seed, count, sizes):
    pick = random.Random(seed)
    return [
        [pick.randbytes(pick.choice(sizes)) for _ in range(pick.randint(1, 5))]
        for _ in range(count)
    ]


def mixed(context, port):
    messages = random_messages(1, 10_000, [0, 1, 30, 200, 254, 255, 256, 1000, 4096, 4097, 20_000])
    messages[5000] = [b'big', b'', bytes(5_000_000), b'']
    messages[5001] = [b'']
    exchange(dealer(context, port, b'mixed'), messages)


def heartbeats(context, port):
    socket = unconnected(context, zmq.DEALER, b'beats', HEARTBEAT_IVL=100, HEARTBEAT_TIMEOUT=1000,
                         HEARTBEAT_TTL=1000)
    monitor = socket.get_monitor_socket()
    connect(socket, port)
    echo(socket, [b'before'])
    # Silence for several heartbeats is what is tested: libzmq gives up 1 s after a PING without
    # a PONG, the server 1 s after the last PING.
    end = time.monotonic() + 2
    events = []
    while (left := end - time.monotonic()) > 0:
        if monitor.poll(left * 1000):
            events.append(recv_monitor_message(monitor)['event'])
    echo(socket, [b'after'])
    assert zmq.EVENT_DISCONNECTED not in events, events
    assert events.count(zmq.EVENT_CONNECTED) == 1, events


def same_identity(context, port):
    first = dealer(context, port, b'same')
    echo(first, [b'1'])
    second = dealer(context, port, b'same', RECONNECT_IVL=-1)
    echo(second, [b'2'])
    second.close()
    # The first one was replaced; it reconnects by itself and takes the identity back.
    echo(first, [b'3'])


def reconnect(context, port):
    socket = unconnected(context, zmq.DEALER, b'back', RECONNECT_IVL=10)
    monitor = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    connect(socket, port)
    for _ in range(4):
        # What it writes into a connection that is being closed is lost: only what comes after the
        # new handshake is sure to arrive.
        assert monitor.poll(DEADLINE_MS), 'it did not connect'
        recv_monitor_message(monitor)
        echo(socket, [b'hello', b'', b'x'])
        socket.send(b'close')


def no_identity(context, port):
    sockets = [dealer(context, port) for _ in range(10)]
    for number, socket in enumerate(sockets):
        socket.send_multipart([str(number).encode()])
    for number, socket in enumerate(sockets):
        assert receive(socket) == [str(number).encode()]


def slow_reader(context, port):
    count, size = 20_000, 1000
    socket = dealer(context, port, b'slow', RCVHWM=5, RCVBUF=4096)
    socket.send_multipart([b'flood', str(count).encode(), str(size).encode()])
    for number in range(count):
        if number % 2000 == 0:
            time.sleep(0.05)  # what makes it slow; nothing waits for it
        frames = receive(socket)
        assert frames == [str(number).encode(), b'f' * size], number


def dribble(context, port):
    exchange(dealer(context, port, b'drip'), random_messages(2, 200, [0, 1, 30, 255, 256]), 20)
    exchange(dealer(context, port, b'drop'), [[b'long', bytes(20_000)]])


def refused(context, port):
    public, secret = zmq.curve_keypair()
    sockets = [unconnected(context, kind) for kind in (zmq.REQ, zmq.SUB, zmq.PUSH, zmq.ROUTER)]
    sockets.append(unconnected(context, zmq.DEALER, PLAIN_USERNAME=b'anna',
                               PLAIN_PASSWORD=b'secret'))
    sockets.append(unconnected(context, zmq.DEALER, CURVE_SERVERKEY=public,
                               CURVE_PUBLICKEY=public, CURVE_SECRETKEY=secret))
    for socket in sockets:
        monitor = socket.get_monitor_socket(
            zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
            | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH
            | zmq.EVENT_DISCONNECTED)
        connect(socket, port)
        assert monitor.poll(DEADLINE_MS)
        assert recv_monitor_message(monitor)['event'] != zmq.EVENT_HANDSHAKE_SUCCEEDED
        socket.disable_monitor()
        socket.close()


if __name__ == '__main__':
    version, scenario, port = sys.argv[1:]
    assert version in ('newest', zmq.__version__), (version, zmq.__version__)
    print('pyzmq', zmq.__version__, 'libzmq', zmq.zmq_version())
    globals()[scenario](zmq.Context(), int(port))
    print('good')
