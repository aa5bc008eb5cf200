"""Crowds at the door: thousands of connections that say nothing, or come and go. The session of those
who work stays usable, and what a connection costs is reported. Small here, in full with
HOLDFAST_LONG=1 (10,000 idle ones and 1,000 that reconnect)."""

import contextlib
import resource
import socket
import threading
import time

import pytest

import hostile
import raw
import values
from conftest import LONG, ZMTP
from processes import wait_until

IDLE = 10_000 if LONG else 1_000
RECONNECTING = 1_000 if LONG else 100
CONTENTS = [values.mixed_content(index) for index in range(6)]


# The ports and the bytes are those of this generation; for the other see test_generations.py.
@pytest.fixture
def version():
    return ZMTP


@pytest.fixture(autouse=True)
def many_descriptors():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def connect(port):
    return socket.create_connection(('127.0.0.1', port), timeout=60)


def work(alice, bob, rounds=3):
    """One round is a node, an edit and a delete, each of which must arrive. Returns the longest."""
    longest = 0.0
    for number in range(rounds):
        begun = time.monotonic()
        uuid = alice.add({'number': number})
        bob.wait_graph(lambda graph: uuid in graph, 'gets the node')
        bob.edit(uuid, {'number': number, 'edited': True})
        alice.wait_graph(lambda graph: 'edited' in graph[uuid][2], 'gets the edit')
        alice.delete(uuid)
        bob.wait_graph(lambda graph: uuid not in graph, 'gets the delete')
        longest = max(longest, time.monotonic() - begun)
    return longest


class Reconnecting:
    """Connections that are made, shake hands and are closed, over and over."""

    def __init__(self, port, at_once):
        self.port = port
        self.at_once = at_once
        self.made = 0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.stopping.is_set():
            peers = []
            for number in range(self.at_once):
                with contextlib.suppress(OSError):
                    peers.append(connect(self.port + number % 3))
                    peers[-1].sendall(hostile.GREETING + hostile.ready(f'peer {number}'.encode()))
                    self.made += 1
            for peer in peers:
                peer.close()

    def stop(self):
        self.stopping.set()
        self.thread.join()


def test_crowds_leave_the_session_usable(make_server, new_client):
    server = make_server(CONNECTION_RATE=0, LOG_LEVEL='info').start()
    alice, bob = new_client('alice'), new_client('bob')
    alice.host(server.port, CONTENTS)
    bob.join(server.port)
    alone = work(alice, bob)

    # Those who say nothing are cut off after 10 s, those who do not log in after 30 s.
    before = server.broker.resident_bytes()
    idle = []
    for number in range(IDLE):
        idle.append(connect(server.port + number % 3))
        if number % 2:
            idle[-1].sendall(hostile.GREETING + hostile.ready(f'idle {number}'.encode()))
    wait_until(lambda: server.broker.health()['connections'] > IDLE, 'all of them are there')
    each = (server.broker.resident_bytes() - before) / IDLE
    crowded = work(alice, bob)
    print(f'{IDLE} idle connections: {each / 1024:.1f} KiB each; '
          f'a round of work took {crowded:.2f} s, alone {alone:.2f} s')
    assert each < 64 * 1024

    # A newcomer comes in, with all of them there.
    carol = new_client('carol')
    carol.join(server.port)
    carol.wait_equal(alice)
    carol.leave()

    reconnecting = Reconnecting(server.port, RECONNECTING)
    restless = work(alice, bob)
    reconnecting.stop()
    print(f'{reconnecting.made} connections came and went; a round of work took {restless:.2f} s')
    assert reconnecting.made > 0

    for peer in idle:
        peer.close()
    wait_until(lambda: server.broker.health()['connections'] <= 6, 'the crowd is gone')
    assert server.broker.health()['status'] == 'ok'
    assert not alice.status()['exits'] and not bob.status()['exits']
    work(alice, bob)


def test_idle_strangers_are_sent_away(make_server, new_client):
    """Without doing anything themselves: no place stays taken."""
    server = make_server(LOG_LEVEL='info').start()
    idle = [connect(server.port + number % 3) for number in range(100)]
    wait_until(lambda: server.broker.health()['visitors']['silent'] >= 100, 'they are counted')
    wait_until(lambda: server.broker.health()['connections'] == 0, 'they are gone')
    for peer in idle:
        peer.close()


def test_one_address_cannot_connect_without_end(make_server):
    """And is let in again when it has calmed down, as is everybody else from there."""
    server = make_server(CONNECTION_RATE=20, LOG_LEVEL='info').start()
    for _ in range(400):
        peer = connect(server.port)
        peer.close()
    wait_until(lambda: server.broker.health()['accepted'] >= 400, 'all were seen')
    # 200 are free at once, and 20 a second come back.
    metrics = server.broker.metrics()
    assert metrics['holdfast_connections_refused_total{reason="rate"}'] > 100, metrics
    peer = raw.peer(ZMTP, server.port)
    assert peer.login('guest') == 'LOBBY'
    peer.close()
