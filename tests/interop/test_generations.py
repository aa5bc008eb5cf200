"""What is particular to a generation of clients, or happens between two of them."""

import contextlib
import resource
import socket
import struct

import pytest

import processes
import raw
import values
import versions
from conftest import FRAMED, ZMTP
from processes import wait_until

CONTENTS = [values.mixed_content(index) for index in range(12)]
CROWD = 3000


@pytest.fixture(params=versions.VERSIONS, ids=lambda version: version.package)
def version(request):
    processes.require(request.param)
    return request.param


@pytest.fixture
def framed_server(tmp_path, logs):
    """Its `port` is the framed one."""
    with contextlib.closing(closing_server(tmp_path, FRAMED, logs)) as made:
        yield made


def closing_server(directory, version, logs, **settings):
    processes.require(version)
    server = processes.Holdfast(directory, version, SAVE_INTERVAL=1, **settings)
    server.close = server.cleanup
    logs.extend(server.logs())
    return server.start()


def test_every_version_that_is_said_to_work(server, new_client, version):
    """Init, edit, join, leave, restart, and on without Init."""
    alice, bob = new_client('alice'), new_client('bob')
    uuids = alice.host(server.port, CONTENTS)
    bob.join(server.port)
    bob.wait_equal(alice)
    alice.edit(uuids[0], {'edited': [1, 2, 3]})
    bob.lock(uuids[1:2])
    bob.delete(uuids[2])
    alice.wait_graph(lambda graph: uuids[2] not in graph and graph[uuids[1]][0] == 'bob',
                     'sees the lock and the delete')
    bob.wait_equal(alice)
    assert alice.users()['bob']['status'] == 2
    bob.leave()
    alice.wait_graph(lambda graph: graph[uuids[1]][0] == 'COMMON', 'the lock is gone')
    expected = alice.graph()
    server.wait_saved(expected)
    alice.leave()
    server.restart()
    bob.join(server.port)
    assert values.differences(expected, bob.graph()) == ''


def test_all_have_the_version_of_the_first(framed_server, new_client_of):
    server = framed_server
    old, new = new_client_of(ZMTP, 'old'), new_client_of(FRAMED, 'new')
    old.host(server.port_of(ZMTP), CONTENTS)
    assert f'FAILED: wrong client version ({FRAMED.reports} != {ZMTP.reports})' in \
        new.refused(server.port_of(FRAMED))
    assert old.state() == 'ACTIVE'
    old.leave()
    server.wait_log('User disconnected: old')
    new.join(server.port_of(FRAMED))
    assert f'FAILED: wrong client version ({ZMTP.reports} != {FRAMED.reports})' in \
        old.refused(server.port_of(ZMTP))
    assert new.state() == 'ACTIVE'


@pytest.mark.parametrize('first, second', [(ZMTP, FRAMED), (FRAMED, ZMTP)],
                         ids=['0.9.10 then 0.10.3', '0.10.3 then 0.9.10'])
def test_a_session_goes_on_with_the_other_generation(framed_server, new_client_of, first, second):
    server = framed_server
    alice, bob = new_client_of(first, 'alice'), new_client_of(second, 'bob')
    uuids = alice.host(server.port_of(first), CONTENTS)
    alice.add({'links': 'to two'}, links=uuids[:2])
    alice.edit(uuids[0], {'by': 'the first'})
    expected = alice.graph()
    server.wait_saved(expected)
    alice.leave()
    server.restart()
    bob.join(server.port_of(second))
    assert values.differences(expected, bob.graph()) == ''
    bob.edit(uuids[1], {'by': 'the second'})
    bob.delete(uuids[3])
    bob.wait_graph(lambda graph: uuids[3] not in graph, 'its delete came back')
    expected = bob.graph()
    server.wait_saved(expected)
    bob.leave()
    server.wait_log('User disconnected: bob')
    # Without a restart, too.
    alice.join(server.port_of(first))
    assert values.differences(expected, alice.graph()) == ''


def test_a_generation_can_be_switched_off(tmp_path, logs):
    for setting, version in (('ZMTP_CLIENTS', ZMTP), ('FRAMED_CLIENTS', FRAMED)):
        with contextlib.closing(closing_server(tmp_path, FRAMED, logs, **{setting: 'off'})) as server:
            for other in (ZMTP, FRAMED):
                with contextlib.closing(socket.socket()) as probe:
                    refused = probe.connect_ex(('127.0.0.1', server.port_of(other))) != 0
                assert refused == (other is version)


# ---- The framed generation ----------------------------------------------------------------------


def test_the_answer_waits_for_the_data_connection(framed_server):
    peer = raw.peer(FRAMED, framed_server.port, roles='CT')
    other = framed_server.peer()
    peer.ask_login('late')
    assert other.login('other') == 'LOBBY'
    states = other.receive(raw.CLIENTS_STATE)
    assert {name: state['status'] for name, state in states.items()} == {'late': 11, 'other': 10}
    assert peer.receive_command(0.2) is None
    peer.open('D')
    # The answer first, then the states.
    assert raw.pickled(raw.AUTH) == peer.receive_command(raw.DEADLINE)[0]
    assert peer.receive(raw.CLIENTS_STATE)['late']['status'] == 10
    for one in (peer, other):
        one.close()


def test_no_data_connection_in_time(tmp_path, logs):
    with contextlib.closing(closing_server(tmp_path, FRAMED, logs, TIMEOUT=500)) as server:
        peer = server.peer(roles='C')
        assert peer.login('late') == 'FAILED: data channel timeout'
        again = server.peer()
        assert again.login('late') == 'LOBBY'
        for one in (peer, again):
            one.close()


@pytest.mark.parametrize('role', ['C', 'D', 'T'])
def test_a_new_connection_replaces_the_old_one(framed_server, new_client_of, role):
    alice = new_client_of(FRAMED, 'alice')
    alice.host(framed_server.port, CONTENTS[:2])
    peer = framed_server.peer()
    assert peer.login('twin') == 'RUNNING'
    peer.join()
    old = peer.connections[role]
    peer.open(role)
    wait_until(lambda: ended(old), 'the old connection is closed')
    uuid = alice.add({'after': 'the replacement'})
    if role == 'D':
        # What may be in doubt comes first, this node included.
        peer.connections['D'].settimeout(raw.DEADLINE)
        received = b''
        while uuid.encode() not in received:
            received += peer.connections['D'].recv(1 << 16)
    else:
        peer.send(raw.command(raw.METADATA, {'still': 'here'}, 'twin'))
        wait_until(lambda: 'still' in alice.users()['twin']['metadata'], 'twin is still a member')
    peer.close()
    alice.wait_status(lambda status: status['users'] == ['alice'], 'twin has left')


def ended(connection):
    connection.setblocking(False)
    try:
        while connection.recv(1 << 16):
            pass
        return True
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_the_network_is_cut_and_the_client_joins_again(framed_server, new_client_of):
    """This generation does not reconnect: the client sees that the server is lost, and its name is
    free at once."""
    proxy = processes.Proxy(framed_server)
    alice, bob = new_client_of(FRAMED, 'alice'), new_client_of(FRAMED, 'bob')
    uuids = bob.host(framed_server.port, CONTENTS)
    alice.join(proxy.port)
    alice.lock(uuids[:1])
    bob.wait_graph(lambda graph: graph[uuids[0]][0] == 'alice', 'sees the lock')
    proxy.cut()
    bob.wait_graph(lambda graph: graph[uuids[0]][0] == 'COMMON', 'the lock is gone')
    assert 'Server lost' in alice.wait_exit()
    bob.edit(uuids[1], {'edited': 'meanwhile'})
    proxy.restore()
    alice.join(proxy.port)
    alice.wait_equal(bob)
    proxy.cleanup()


def test_a_client_of_a_killed_broker_joins_again(framed_server, new_client_of):
    alice = new_client_of(FRAMED, 'alice')
    alice.host(framed_server.port, CONTENTS)
    framed_server.wait_saved(alice)
    framed_server.broker.kill9()
    assert 'Server lost' in alice.wait_exit()
    framed_server.broker.start()
    framed_server.wait_serving()
    alice.join(framed_server.port)


def strange_beginnings():
    """(what a peer sends at once, in which words it is refused)"""
    name = b'a' * 16
    yield b'GET / HTTP/1.1\r\n\r\n', "its first bytes are 'GET '"
    yield b'\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01NULL', 'up to 0.9.10 (ZeroMQ)'
    yield struct.pack('!I', 257), 'its first bytes are'
    yield raw.handshake(name, b'X'), "the unknown role 'X'"
    # What comes after a good handshake is refused in a line that names the peer.
    refused = 'Refused from 127.0.0.1:PORT: a message of '
    yield raw.handshake(name, b'C') + struct.pack('!I', 17), refused + '17 chunks'
    yield raw.handshake(name, b'C') + b'\xff' * 4, refused + '4294967295 chunks'
    yield raw.handshake(name, b'D') + struct.pack('!II', 1, 1 << 29), refused + 'more than 16384 bytes'
    yield raw.handshake(name, b'T') + struct.pack('!II', 16, 0xffffffff), refused + 'more than'
    flood = raw.framed([b'x' * 16_000]) * 17
    yield raw.handshake(name, b'D') + flood, refused.partition('a mess')[0] + 'sent too much'


def test_beginnings_that_are_refused(framed_server, new_client_of):
    alice = new_client_of(FRAMED, 'alice')
    alice.host(framed_server.port, CONTENTS[:2])
    for beginning, words in strange_beginnings():
        mark = framed_server.broker.mark()
        with contextlib.closing(raw.connect(framed_server.port)) as peer:
            words = words.replace('PORT', str(peer.getsockname()[1]))
            peer.sendall(beginning)
            wait_until(lambda: ended(peer), f'the server closes after {beginning[:40]!r}')
        framed_server.broker.wait_log(words, since=mark)
    alice.add({'still': 'here'})
    assert alice.state() == 'ACTIVE'


def test_thousands_of_handshakes_at_once(tmp_path, logs, new_client_of):
    """Half of one, a whole one and a message that never ends: the session goes on, the memory is
    bounded, and those who never say who they are are gone after 5 s."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    with contextlib.closing(closing_server(tmp_path, FRAMED, logs, CONNECTION_RATE=0)) as server:
        alice, bob = new_client_of(FRAMED, 'alice'), new_client_of(FRAMED, 'bob')
        alice.host(server.port, CONTENTS[:2])
        bob.join(server.port)
        crowd_comes_and_goes(server, alice, bob)
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def crowd_comes_and_goes(server, alice, bob):
    memory = server.broker.resident_bytes()
    accepted = server.broker.health()['accepted']
    with contextlib.ExitStack() as crowd:
        half = []
        for number in range(CROWD):
            peer = crowd.enter_context(contextlib.closing(raw.connect(server.port)))
            name = struct.pack('!Q', number)
            if number % 2 == 0:
                half.append(peer)
                peer.sendall(raw.handshake(name, b'C')[:number % 13])
            else:
                # As long as a stranger's message may be; a few bytes of it come.
                peer.sendall(raw.handshake(name, b'CDT'[number % 3:number % 3 + 1])
                             + struct.pack('!II', 1, 16 << 10) + b'x' * 10)
        wait_until(lambda: server.broker.health()['accepted'] - accepted >= CROWD, 'all came')
        assert server.broker.health()['connections'] > CROWD // 2
        uuid = alice.add({'in': 'the crowd'})
        bob.wait_graph(lambda graph: uuid in graph, 'sees the node')
        grown = server.broker.resident_bytes() - memory
        print(f'{CROWD} connections: {grown / CROWD / 1024:.1f} KiB each')
        assert grown < CROWD * (64 << 10)
        for peer in half:
            wait_until(lambda: ended(peer), 'who does not say who it is is sent away')
        text = server.broker.text()
        assert 'no handshake within 5000 ms' in text
        assert len(text.splitlines()) < 500, 'a crowd does not fill the log'
    bob.delete(uuid)
    alice.wait_graph(lambda graph: uuid not in graph, 'sees the delete')
    assert not alice.status()['exits'] and not bob.status()['exits']


def test_members_who_announce_more_than_comes(framed_server, new_client_of):
    """8 GB in all, of which some bytes come; then a length over the bound."""
    alice = new_client_of(FRAMED, 'alice')
    alice.host(framed_server.port, CONTENTS[:2])
    memory = framed_server.broker.resident_bytes()
    members = [framed_server.peer() for _ in range(16)]
    for number, member in enumerate(members):
        assert member.login(f'member {number}') == 'RUNNING'
        member.connections['D'].sendall(struct.pack('!II', 1, 500 << 20) + bytes(1000))
    for member in members:
        member.server_info()
    uuid = alice.add({'beside': 'them'})
    alice.edit(uuid, {'still': 'here'})
    assert framed_server.broker.resident_bytes() - memory < 200 << 20
    mark = framed_server.broker.mark()
    members[0].connections['C'].sendall(struct.pack('!II', 1, (512 << 20) + 1))
    framed_server.broker.wait_log("Refused from 'member 0'", since=mark)
    wait_until(lambda: ended(members[0].connections['C']), 'it is cut off')
    for member in members:
        member.close()
    alice.wait_status(lambda status: status['users'] == ['alice'], 'they have left')


def test_a_peer_that_never_reads(tmp_path, logs, new_client_of):
    """A member whose queue grows over its bound is disconnected; the others notice nothing."""
    with contextlib.closing(closing_server(tmp_path, FRAMED, logs, CLIENT_QUEUE_MB=4,
                                           TIMEOUT=60000)) as server:
        alice, bob = new_client_of(FRAMED, 'alice'), new_client_of(FRAMED, 'bob')
        uuids = alice.host(server.port, CONTENTS[:2], timeout=60000)
        bob.join(server.port, timeout=60000)
        peer = server.peer()
        assert peer.login('deaf') == 'RUNNING'
        peer.join()
        # The kernel's buffers fill first; bob reads 64 KiB a tick, and must not fall behind himself.
        for number in range(200):
            alice.edit(uuids[0], {'big': bytes([number]) * 500_000}, whole=True)
            bob.wait_equal(alice)
            if 'is too slow' in server.broker.text():
                break
        server.broker.wait_log("'deaf'")
        alice.wait_status(lambda status: status['users'] == ['alice', 'bob'], 'deaf is gone')
        bob.wait_equal(alice)
        peer.close()


def test_a_heartbeat_in_pieces_and_words_for_nobody(framed_server):
    """The server takes what comes however it is cut, and answers in one piece."""
    peer = framed_server.peer(roles='CD')
    beat = raw.connect(framed_server.port)
    for byte in raw.handshake(peer.identity, b'T') + raw.framed([b'INIT']) + raw.framed([]):
        beat.sendall(bytes([byte]))
    assert peer.login('slow') == 'LOBBY'
    assert beat.recv(1000) == raw.framed([b'PING'])
    beat.close()
    peer.close()
