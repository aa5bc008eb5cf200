"""Enemies on every port of both programs: nothing of theirs is run, kept or passed on, nobody's
session stops, and neither memory nor log grows without end. What messages of enemies may hold is
in test_enemies.py, crowds of them are in test_crowds.py."""

import concurrent.futures
import contextlib
import http.client
import itertools
import os
import pickle
import random
import socket
import struct
import threading
import time
import urllib.request

import pytest
import zmq

import hostile
import processes
import raw
import values
from conftest import EVERYTHING, ZMTP, only
from processes import find_binary, wait_until
from test_enemies import Scene

LOG_GROWTH_MAX = 300_000


# The ports and the bytes are those of this generation, for the other see test_generations.py; but
# what takes no notice of bytes runs for both.
@pytest.fixture
def version(request):
    if hasattr(request, 'param'):
        processes.require(request.param)
    return getattr(request, 'param', ZMTP)


both = pytest.mark.parametrize('version', EVERYTHING, indirect=True, ids=lambda each: each.package)


@pytest.fixture
def scene(make_server, new_client, tmp_path):
    # Raw peers do not answer heartbeats: the timeout is longer than any of these tests.
    server = make_server(SAVE_INTERVAL=1, TIMEOUT=120_000).start()
    return Scene(server, new_client, tmp_path / 'witness')


def growth_max():
    """What a few megabytes of garbage may cost, in bytes. A sanitizer keeps 256 MiB of what was
    freed."""
    sanitized = b'__asan_init' in find_binary('holdfast-broker').read_bytes()
    return (600 if sanitized else 150) << 20


class Watch:
    """What both programs may at most grow by while it watches."""

    def __init__(self, scene):
        self.scene = scene
        self.services = (scene.server.broker, scene.server.snapshotter)
        self.memory = [service.resident_bytes() for service in self.services]
        self.logs = [service.log.stat().st_size for service in self.services]

    def check(self):
        self.scene.check_unharmed()
        for service, memory, log in zip(self.services, self.memory, self.logs):
            grown = service.resident_bytes() - memory
            logged = service.log.stat().st_size - log
            print(f'{service.name}: {grown >> 20} MiB and {logged} bytes of log more')
            assert grown < growth_max()
            assert logged < LOG_GROWTH_MAX


@pytest.fixture
def watch(scene):
    return Watch(scene)


def shout(port, data, hang_up=True):
    """Sends bytes to a port and waits until the server has had enough of it, or answered."""
    try:
        with socket.create_connection(('127.0.0.1', port), timeout=10) as peer:
            peer.sendall(data)
            if hang_up:
                peer.shutdown(socket.SHUT_WR)
            peer.settimeout(2)
            while peer.recv(65536):
                pass
    except OSError:
        pass  # closed or reset, as it should be


def ports(server):
    """Every port of both programs: clients' four, feed, link, both health pages."""
    return [server.port + offset for offset in (0, 1, 2, 5, 3, 4, 6, 7)]


def test_streams_of_bytes_on_every_port(scene, watch):
    words = [*hostile.streams(), *hostile.bombs(scene.witness).values()]
    with concurrent.futures.ThreadPoolExecutor(16) as crowd:
        list(crowd.map(lambda each: shout(*each), itertools.product(ports(scene.server), words)))
    watch.check()


def zmq_shout(context, port, kind, messages):
    socket_ = context.socket(kind)
    socket_.setsockopt(zmq.LINGER, 500)
    socket_.setsockopt(zmq.SNDTIMEO, 2000)
    socket_.connect(f'tcp://127.0.0.1:{port}')
    for chunks in messages:
        with contextlib.suppress(zmq.Again):
            socket_.send_multipart(chunks)
    socket_.close()


def garbage_envelopes(rng):
    """What stands where feed and link expect msgpack."""
    yield b''
    yield b'\xc1'
    yield b'\x91' * 100000
    yield b'\x81\xa1a' * 50000 + b'\xc0'
    yield b'\xdd\xff\xff\xff\xff'
    yield b'\xdf\xff\xff\xff\xff'
    yield b'\xc6\xff\xff\xff\xff' + b'x' * 100
    yield b'\x9f' + b'\xc0' * 15
    for size in (1, 2, 3, 8, 40, 1000):
        yield rng.randbytes(size)
    # Arrays as ours look: a version, a number of a kind, and anything.
    for kind in range(20):
        for rest in (b'', b'\xc0', b'\xa1x', b'\xcf' + b'\xff' * 8, b'\x90', b'\x80'):
            yield b'\x93\x01' + bytes([kind]) + rest
            yield b'\x92' + bytes([kind]) + rest


def test_garbage_on_the_link(scene, watch):
    """A process that reaches the link (on this machine only, as it is by default)."""
    rng = random.Random(5)
    context = zmq.Context()
    port = scene.server.port + 4
    messages = [[envelope, *(rng.randbytes(20) for _ in range(count))]
                for envelope in garbage_envelopes(rng) for count in (0, 1, 5)]
    messages += [[b''] * 500, [rng.randbytes(5 << 20)], [raw.pickled(raw.NODE), b'a', b'b']]
    messages += [[bomb] for bomb in hostile.bombs(scene.witness).values()]
    for identity in range(5):
        zmq_shout(context, port, zmq.DEALER, messages)
    for kind in (zmq.REQ, zmq.PUSH, zmq.PUB, zmq.ROUTER):
        with contextlib.suppress(zmq.ZMQError):
            zmq_shout(context, port, kind, [[b'x']] if kind != zmq.ROUTER else [])
    context.term()
    wait_until(lambda: scene.server.broker.health()['link_messages_refused'] >= len(messages),
               'the broker has seen it')
    watch.check()
    assert scene.server.snapshotter.health()['status'] == 'ok'


def test_garbage_on_the_feed(scene, watch):
    """Listeners of the feed may subscribe and nothing else."""
    context = zmq.Context()
    port = scene.server.port + 3
    greedy = context.socket(zmq.SUB)
    greedy.setsockopt(zmq.LINGER, 0)
    greedy.connect(f'tcp://127.0.0.1:{port}')
    for number in range(2000):
        greedy.setsockopt(zmq.SUBSCRIBE, str(number).encode() * 10)
    xsub = context.socket(zmq.XSUB)
    xsub.setsockopt(zmq.LINGER, 500)
    xsub.connect(f'tcp://127.0.0.1:{port}')
    for bomb in hostile.bombs(scene.witness).values():
        xsub.send(bomb)
    watch.check()
    greedy.close()
    xsub.close()
    context.term()


def test_the_health_pages(scene, watch):
    for port in (scene.server.port + 6, scene.server.port + 7):
        for request in (
                b'GET /' + b'x' * 100000 + b' HTTP/1.1\r\n\r\n',
                b'GET /health HTTP/1.1\r\n' + b'X: y\r\n' * 20000 + b'\r\n',
                b'POST /health HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n' + bytes(100000),
                b'POST /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFF\r\n'
                + bytes(100000),
                b'GET /../../../../etc/passwd HTTP/1.1\r\n\r\n',
                b'GET /health%00 HTTP/1.1\r\n\r\n',
                b'GET http://example.com/ HTTP/1.1\r\n\r\n',
                b'DELETE / HTTP/1.1\r\nRange: bytes=0-\r\n\r\n',
                b'GET /health HTTP/1.1\r\n\r\n' * 1000):
            shout(port, request)
        # Who connects and says nothing, or half of it, holds it up for a bounded time only.
        lazy = [socket.create_connection(('127.0.0.1', port)) for _ in range(12)]
        for peer in lazy[::2]:
            peer.sendall(b'GET /health HTTP/1.1\r\n')
        for peer in lazy[:8]:
            peer.close()

        def answers():
            with contextlib.suppress(OSError, http.client.HTTPException):
                with urllib.request.urlopen(f'http://127.0.0.1:{port}/metrics', timeout=10) as page:
                    return b'holdfast_' in page.read()
        wait_until(answers, 'the page is answered again')
        for peer in lazy:
            peer.close()
    watch.check()


def test_visitors_are_counted_and_told_what_to_use(scene, watch):
    broker = scene.server.broker
    framed_port = scene.server.port + 5
    before = broker.health()['visitors']
    kinds = hostile.first_words()
    for words in kinds.values():
        for _ in range(3):
            shout(scene.server.port, words)
    wait_until(lambda: all(broker.health()['visitors'][kind] >= before[kind] + 3 for kind in kinds),
               lambda: f'each is counted: {broker.health()["visitors"]}')
    for kind in kinds:
        assert broker.metrics()['holdfast_visitors_total{kind="%s"}' % kind] >= before[kind] + 3
    wait_until(lambda: broker.text().count('refused: ') >= 3 * len(kinds), 'each has its line')
    assert not [line for line in broker.text().splitlines()
                if ' refused: ' in line and 'debug' not in line.lower()]
    lines = [line for line in broker.text().splitlines() if 'Not a client' in line]
    assert len(lines) == len(hostile.first_words()), lines
    assert any('TLS' in line for line in lines) and any('CURVE' in line for line in lines)
    assert any(f'it belongs to port {framed_port}' in line for line in lines), lines

    # The other way round: a client of the old generation on the port of the new one.
    before = broker.health()['visitors']['zmtp']
    shout(framed_port, hostile.GREETING)
    wait_until(lambda: broker.health()['visitors']['zmtp'] > before, 'it is counted')
    broker.wait_log(f'it belongs to port {scene.server.port}.')
    watch.check()


def zmtp_message(*chunks):
    return b''.join(b'\x03' + struct.pack('>Q', len(chunk)) + chunk for chunk in chunks[:-1]) \
        + b'\x02' + struct.pack('>Q', len(chunks[-1])) + chunks[-1]


def read_until(peer, phrase):
    heard = b''
    while phrase not in heard:
        got = peer.recv(65536)
        assert got, f'closed before it said {phrase}'
        heard += got


def is_closed(peer):
    """Waits until the server has closed the connection."""
    peer.settimeout(30)
    with contextlib.suppress(ConnectionResetError):
        while peer.recv(65536):
            pass
    return True


def test_unfinished_and_oversized_messages_take_no_memory(scene, watch):
    """Peers that announce messages of half a gigabyte, before and after their login."""
    def connect(offset, identity):
        peer = socket.create_connection(('127.0.0.1', scene.server.port + offset), timeout=30)
        peer.sendall(hostile.GREETING + hostile.ready(identity))
        return peer

    announced = b'\x03' + struct.pack('>Q', 500 << 20) + bytes(1000)
    for number in range(64):
        peer = connect(number % 3, f'stranger {number}'.encode())
        peer.sendall(announced)
        assert is_closed(peer)
        peer.close()

    members = []
    for number in range(16):
        identity = f'member {number}'.encode()
        command, data = connect(0, identity), connect(1, identity)
        command.sendall(zmtp_message(*raw.command(raw.AUTH, {
            'AUTH_TYPE': 'CLIENT', 'AUTH_ID': f'enemy {number}', 'S_PWD': None, 'A_PWD': '',
            'VERSION': '0.9.10'})))
        read_until(command, b'RUNNING')
        data.sendall(announced)  # allowed; what does not come takes no memory
        members += [command, data]
    too_big = connect(1, b'member 0')
    too_big.sendall(b'\x02' + struct.pack('>Q', 513 << 20))
    assert is_closed(too_big)
    watch_memory = scene.server.broker.resident_bytes() - watch.memory[0]
    assert watch_memory < growth_max()
    for peer in (*members, too_big):
        peer.close()
    scene.alice.wait_status(lambda status: status['users'] == ['alice', 'bob'], 'enemies are gone')
    watch.check()


@both
def test_a_member_cannot_fill_the_log(scene, watch):
    """40,000 messages that are refused, each of which would be a line."""
    member = scene.server.peer()
    assert member.login('enemy') == 'RUNNING'
    member.join()
    refused = scene.server.broker.health()['messages_refused']
    for _ in range(20_000):
        member.send_data([raw.pickled(99), b'a', b'b'])
        member.send(raw.command(raw.KICK, {'user': 'alice'}, 'enemy'))
    member.server_info()
    wait_until(lambda: scene.server.broker.health()['messages_refused'] >= refused + 40_000,
               'all of them are refused')
    watch.check()
    assert scene.server.broker.health()['log_lines_suppressed'] > 39_000
    member.close()


def test_a_stranger_cannot_fill_the_log(scene, watch):
    """Bad logins, each from a client of its own."""
    for number in range(60):
        peer = socket.create_connection(('127.0.0.1', scene.server.port))
        peer.sendall(hostile.GREETING + hostile.ready(f'peer {number:06}'.encode()))
        chunks = raw.command(raw.AUTH, ['not', 'a', 'dict'])
        message = b''.join(bytes([chunk is not chunks[-1], len(chunk)]) + chunk for chunk in chunks)
        peer.sendall(message * 50)
        peer.close()
    wait_until(lambda: scene.server.broker.health()['log_lines_suppressed'] > 1000, 'it is limited')
    watch.check()


@both
def test_a_member_that_floods_metadata(scene, watch):
    """The others get what it says in the end, and their own work goes on meanwhile."""
    member = scene.server.peer()
    assert member.login('chatter') == 'RUNNING'
    member.join()
    stop = threading.Event()
    sent = [0]

    def flood():
        while not stop.is_set():
            sent[0] += 1
            member.send(raw.command(raw.METADATA, {
                'number': sent[0], f'key {sent[0] % 50}': 'x' * 200}, 'chatter'))
            if sent[0] % 200 == 0:
                stop.wait(0.01)

    thread = threading.Thread(target=flood)
    thread.start()
    for number in range(5):
        uuid = scene.alice.add({'number': number})
        scene.bob.wait_graph(lambda graph: uuid in graph, 'gets a node')
        scene.bob.delete(uuid)
        scene.alice.wait_graph(lambda graph: uuid not in graph, 'gets a delete')
    stop.set()
    thread.join()
    wait_until(lambda: scene.alice.users()['chatter']['metadata'].get('number') == sent[0],
               'alice has the last of it')
    assert scene.server.broker.health()['status'] == 'ok'
    member.close()
    scene.alice.wait_status(lambda status: status['users'] == ['alice', 'bob'], 'it is gone')
    watch.check()


@both
def test_guessing_passwords_is_slow(make_server, new_client):
    server = make_server(SERVER_PASSWORD='hush', LOGIN_ATTEMPTS=3).start()
    peers = [server.peer() for _ in range(5)]
    answers = [peer.login(f'guest {number}', server_password=f'guess {number}')
               for number, peer in enumerate(peers)]
    assert answers[:3] == ['FAILED: wrong server password'] * 3
    assert answers[3].startswith('FAILED: too many wrong passwords, try again in')
    # The right one does not help before the time is over, and helps after it.
    assert 'too many wrong' in peers[3].login('guest', server_password='hush')
    wait_until(lambda: peers[3].login('guest', server_password='hush') == 'LOBBY',
               'it is let in', interval=0.3)
    assert server.broker.health()['logins_put_off'] >= 3
    for peer in peers:
        peer.close()


@both
def test_two_with_one_identity(scene, version):
    """They throw each other off; the session of the others does not notice, and neither stays."""
    identity = os.urandom(16)
    first = scene.server.peer(identity=identity)
    assert first.login('twin') == 'RUNNING'
    first.join()
    second = scene.server.peer(identity=identity)
    rivals = itertools.cycle((first, second))

    def thrown_out():
        if version.generation == 'framed':  # ZeroMQ connects again by itself
            next(rivals).open('D')
        return 'connection lost too often' in scene.server.broker.text()
    wait_until(thrown_out, 'both are thrown out')
    scene.alice.wait_status(lambda status: status['users'] == ['alice', 'bob'], 'twins are gone')
    first.close()
    second.close()
    scene.check_unharmed()


@only('framed', 'a ZMTP client that is thrown off connects again')
def test_who_connects_under_the_identity_of_another_takes_its_place(scene):
    """A framed client whose connections were taken from it ends. Who took them has a login to make,
    is not answered, and gives up: the name is free then."""
    identity = os.urandom(16)
    first = scene.server.peer(identity=identity)
    assert first.login('twin') == 'RUNNING'
    first.join()
    second = scene.server.peer(identity=identity)
    for role in 'CDT':
        assert is_closed(first.connections[role])
    second.ask_login('twin')
    scene.server.broker.wait_log('a message that has no place here now')
    second.close()
    scene.alice.wait_status(lambda status: status['users'] == ['alice', 'bob'], 'twins are gone')
    third = scene.server.peer()
    assert third.login('twin') == 'RUNNING'
    third.close()
    first.close()
    scene.check_unharmed()


def join_with_a_lock(scene, client):
    """A third real client, all three of whose connections the server knows."""
    client.join(scene.server.port)
    client.lock(scene.uuids[:1])
    scene.bob.wait_graph(lambda graph: graph[scene.uuids[0]][0] == client.name, 'sees the lock')
    wait_until(lambda: scene.bob.users()[client.name]['latency'] < 999, 'its heartbeats are answered')
    return client.identity()


@only('framed', 'a ZMTP client that is thrown off connects again')
@pytest.mark.parametrize('roles', ['CDT', 'T', 'D', 'C'])
def test_a_real_client_whose_connections_are_taken_joins_again(scene, new_client, roles):
    """All that it sees of its connections is the end of the one for heartbeats: at once when that is
    taken, else when who took another one leaves. Nobody else notices."""
    carol = new_client('carol')
    thief = scene.server.peer(identity=join_with_a_lock(scene, carol), roles=roles)
    if 'T' in roles:
        assert 'Server lost' in carol.wait_exit()
    if roles == 'CDT':
        assert 'client already logged in' in carol.refused(scene.server.port)
        assert scene.bob.graph()[scene.uuids[0]][0] == 'carol'
    thief.close()
    carol.wait_exit()
    scene.bob.wait_graph(lambda graph: graph[scene.uuids[0]][0] == 'COMMON', 'the lock is gone')
    carol.join(scene.server.port)
    carol.wait_equal(scene.alice)
    carol.leave()
    scene.alice.wait_status(lambda status: status['users'] == ['alice', 'bob'], 'carol has left')
    scene.check_unharmed()


@only('zmtp', 'a framed client never connects again')
def test_a_real_client_whose_connections_are_taken_takes_them_back(scene, new_client):
    """Once is nothing to it: what went to the other one is sent again. Who goes on and on throws
    both out, and the client is told so."""
    carol = new_client('carol')
    identity = join_with_a_lock(scene, carol)

    def take(offset):
        thief = raw.connect(scene.server.port + offset)
        thief.sendall(hostile.GREETING + hostile.ready(identity))
        return contextlib.closing(thief)

    for offset in range(3):
        with take(offset) as thief:
            scene.alice.edit(scene.uuids[1], {'changed': offset})
            assert is_closed(thief)
        carol.wait_equal(scene.alice)
    carol.edit(scene.uuids[0], {'still': 'mine'})
    scene.bob.wait_equal(carol)

    def thrown_out():
        with take(1) as thief:
            return is_closed(thief) and 'connection lost too often' in scene.server.broker.text()
    wait_until(thrown_out, 'both are thrown out')
    assert 'too often' in carol.wait_exit()
    carol.join(scene.server.port)
    carol.wait_equal(scene.alice)
    scene.bob.wait_equal(scene.alice)
    assert not scene.alice.status()['exits'] and not scene.bob.status()['exits']


@both
def test_a_client_that_pauses_under_full_load_loses_nothing(make_server):
    """It reads nothing for some seconds, while another sends as fast as it can. (Real clients would
    take minutes for what these do.)"""
    server = make_server(TIMEOUT=120_000).start()
    writer, reader = server.peer(), server.peer()
    uuid = 'of the writer'
    assert writer.login('writer') == 'LOBBY'
    writer.send(raw.command(raw.SERVER_SNAPSHOT, {'STATE': 'INIT', 'SIZE': 1, 'NODES': [uuid]}))
    assert writer.receive(raw.SERVER_SNAPSHOT) == {'STATE': 'ACCEPTED'}
    writer.send(raw.command(raw.SERVER_SNAPSHOT, {
        'STATE': 'SET', 'DATA': raw.node(uuid, {**hostile.DATA, 'uuid': uuid})}))
    writer.send(raw.command(raw.SERVER_SNAPSHOT, {'STATE': 'END'}))
    assert writer.receive(raw.SERVER_SNAPSHOT) == {'STATE': 'DONE'}
    assert reader.login('reader') == 'RUNNING'
    reader.join()
    delta = raw.pickled({'values_changed': {"root['content']": {'new_value': bytes(40_000)}}})
    count = 0
    end = time.monotonic() + 3  # the pause is what is tested
    while time.monotonic() < end and count < 5000:  # 200 MB; the server's bound is 256 MiB
        count += 1
        writer.send_data([raw.pickled(raw.COMMIT), uuid.encode(), raw.pickled([str(count)]), delta])
    wait_until(lambda: server.broker.health()['commits'] == count, 'the server has taken them')
    time.sleep(max(0.0, end - time.monotonic()))
    got = [pickle.loads(reader.receive_data()[2]) for _ in range(count)]
    assert got == [[str(number)] for number in range(1, count + 1)]
    print(f'{count} commits of 40 KB')
    writer.send(raw.command(raw.DELETE, uuid, 'writer'))
    assert reader.receive(raw.DELETE) == uuid
    writer.close()
    reader.close()
