"""The main job: the session survives that everybody leaves, that both processes restart, and that
either of them is killed."""

import os
import pathlib
import pickle
import random
import signal
import zipfile

import pytest
from deepdiff import Delta

import values
from conftest import LONG, only
from processes import wait_until

MIXED = [values.mixed_content(index) for index in range(60)]


def edit_everything(client, uuids, seed):
    """Deltas of every kind: dict and list items added, changed and removed, set members, changes
    inside tuples, changes of type, and the node pushed whole."""
    rng = random.Random(seed)
    for index, uuid in enumerate(uuids):
        content = client.content(uuid)
        kind = (index + seed) % 12
        if kind == 0:
            content['added'] = {'by': 'a delta', 'values': [1, 2.5, b'three', (4,)]}
        elif kind == 1:
            content['nested']['deep']['deeper']['new'] = content.pop('location', seed)
        elif kind == 2:
            content['nested'].pop("quote'd", None)
            content['name'] += ' ☃'
        elif kind == 3:
            content['items'] += ['appended', 'twice', None]
        elif kind == 4:
            content['items'].insert(0, {'inserted': 'first'})
            content['matrix'][1][2] = 0.25
        elif kind == 5:
            content['items'] = content['items'][2:]
            content['layers'] = content['layers'][:-1]
        elif kind == 6:
            content['set'] |= {'another', 99}
            content['set'].discard(1)
        elif kind == 7:
            content['scalar'] = [content['scalar'], 'now in a list']
            content['big'] = str(index)
        elif kind == 8:
            content['location'] = (1.0, *content.get('location', (seed,))[1:], 2.5)
        elif kind == 9:
            # Not deeper: on tuples inside tuples deepdiff itself raises.
            holder = content['nested']['deep']['deeper']['deepest'][0]
            holder['tuple'] = ('changed', *holder['tuple'][1:])
            content['frozen'] = frozenset({'replaced'})
        elif kind == 10:
            content['bytes'] = bytes(rng.randrange(256) for _ in range(5000))
            content['floats'][2:4] = [float('inf'), 1e-9]
        else:
            content['layers'] = [{'name': 'only', 'on': None}]
        client.edit(uuid, content, whole=kind == 11)
    return client.graph()


def test_two_clients_share_a_session(any_server, new_client):
    alice, bob = new_client('alice'), new_client('bob')
    uuids = alice.host(any_server.port, MIXED)
    bob.join(any_server.port)
    bob.wait_equal(alice)
    edit_everything(alice, uuids, seed=1)
    bob.wait_equal(alice)
    added = bob.add({'from': 'bob'}, links=uuids[:3])
    alice.wait_graph(lambda graph: added in graph, 'sees what bob added')
    bob.delete(uuids[0])
    alice.wait_graph(lambda graph: uuids[0] not in graph, 'sees the delete')
    alice.lock([uuids[5]])
    bob.wait_graph(lambda graph: graph[uuids[5]][0] == 'alice', 'sees the lock')
    bob.wait_equal(alice)
    carol = new_client('carol')
    carol.join(any_server.port)
    carol.wait_equal(alice)


def test_everybody_leaves(make_server, new_client):
    server = make_server(SAVE_INTERVAL=1).start()
    alice = new_client('alice')
    uuids = alice.host(server.port, MIXED)
    alice.add({'links': 'to three'}, links=uuids[10:13])
    for seed in range(3):
        edit_everything(alice, uuids, seed)
    alice.delete(uuids[-1])
    alice.wait_graph(lambda graph: uuids[-1] not in graph, 'its delete came back')
    expected = alice.graph()
    assert len(expected) >= 50
    # The client pushed everything, but only the server can say what has arrived.
    server.wait_saved(expected)
    alice.leave()
    server.wait_log('User disconnected: alice')

    server.stop()
    server.start()
    server.wait_log('Session restored')

    bob = new_client('bob')
    bob.join(server.port)
    assert values.differences(expected, bob.graph()) == ''
    # And it goes on: edits on what was restored reach others.
    edit_everything(bob, uuids[:12], seed=9)
    alice.join(server.port)
    alice.wait_equal(bob)


def recorded_blocks():
    """Data blocks of Blender and their states, edit after edit: tests/corpus/bpy."""
    blocks = {}
    corpus = pathlib.Path(__file__).resolve().parents[1] / 'corpus' / 'bpy' / 'blocks.zip'
    with zipfile.ZipFile(corpus) as archive:
        for name in sorted(archive.namelist()):
            kind = name.partition('/')[0]
            part = archive.read(name)
            if name.endswith('.node'):
                blocks[kind] = [pickle.loads(part)]
            else:
                blocks[kind].append(blocks[kind][-1] + Delta(part))
    return blocks


def test_data_blocks_of_blender_survive(server, new_client):
    blocks = recorded_blocks()
    alice, bob = new_client('alice'), new_client('bob')
    uuids = alice.host(server.port, [states[0] for states in blocks.values()])
    bob.join(server.port)
    for number in range(1, max(len(states) for states in blocks.values())):
        for uuid, states in zip(uuids, blocks.values()):
            if number < len(states):
                alice.edit(uuid, states[number])
    bob.wait_equal(alice)
    expected = alice.graph()
    server.wait_saved(expected)
    alice.leave()
    bob.leave()
    server.restart()
    carol = new_client('carol')
    carol.join(server.port)
    assert values.differences(expected, carol.graph()) == ''


def test_last_edits_before_leaving_are_kept(server, new_client):
    alice, bob = new_client('alice'), new_client('bob')
    uuids = alice.host(server.port, MIXED[:12])
    bob.join(server.port)
    for number in range(50):
        alice.edit(uuids[number % 12], {'number': number})
    # Wait for the last one to reach another client, then leave at once.
    bob.wait_graph(lambda graph: values.canonical(49) in graph[uuids[49 % 12]][2], 'the last edit')
    expected = alice.graph()
    alice.leave()
    bob.leave()
    server.wait_saved(expected)
    server.restart()
    carol = new_client('carol')
    carol.join(server.port)
    assert values.differences(expected, carol.graph()) == ''


def test_saving_goes_on_without_changes_and_clients(server, new_client):
    phrase = 'Session saved to disk (reason: auto-save)'
    alice = new_client('alice')
    alice.host(server.port, MIXED[:5])
    server.wait_saved(alice)
    alice.leave()
    server.wait_log('User disconnected: alice')
    expected = server.saved_graph()
    wait_until(lambda: server.metadata().get('reason') == 'auto-save', 'an auto-save')
    backups = len(server.backups())

    for _ in range(3):
        before = server.metadata()
        server.snapshotter.wait_log(phrase, since=server.snapshotter.mark())
        wait_until(lambda: server.metadata()['timestamp'] != before['timestamp'],
                   'the metadata names the new save')
    metadata = server.metadata()
    assert metadata['initialized'] is True
    assert metadata['node_count'] == 5
    assert metadata['reason'] == 'auto-save'
    assert metadata['datetime']
    assert len(server.backups()) <= backups + 1, 'saves without a change take no backup slot'
    assert values.differences(expected, server.saved_graph()) == ''


def test_disconnect_saves(make_server, new_client):
    server = make_server(SAVE_INTERVAL=3600).start()
    alice, bob = new_client('alice'), new_client('bob with spaces')
    alice.host(server.port, MIXED[:5])
    bob.join(server.port)
    bob.leave()
    server.wait_log('User disconnected: bob with spaces')
    wait_until(lambda: server.metadata().get('reason') == 'user_disconnect:bob with spaces',
               'the save names its reason')
    server.snapshotter.wait_log('Session saved to disk (reason: user_disconnect:bob with spaces)')
    alice.kill9()
    wait_until(lambda: 'user_disconnect:alice' in server.metadata().get('reason', ''),
               'a killed client is a disconnect too')


def test_two_clients_come_back(server, new_client):
    alice, bob = new_client('alice'), new_client('bob')
    uuids = alice.host(server.port, MIXED[:10])
    bob.join(server.port)
    of_bob = [bob.add({'bob': number}, owner='bob') for number in range(10)]
    alice.lock(uuids[:4])
    bob.lock(uuids[4:8])
    alice.wait_graph(lambda graph: all(uuid in graph for uuid in of_bob)
                     and all(graph[uuid][0] == 'bob' for uuid in uuids[4:8]), 'sees all of bob')
    bob.wait_equal(alice)
    assert {owner for owner, _, _ in alice.graph().values()} == {'alice', 'bob', 'COMMON'}
    alice.leave()
    bob.wait_graph(lambda graph: all(graph[uuid][0] == 'COMMON' for uuid in uuids[:4]),
                   'what alice had locked is free')
    expected = values.nobodys(bob.graph())
    bob.leave()
    server.wait_saved(expected)

    server.restart()
    alice.join(server.port)
    bob.join(server.port)
    assert values.differences(expected, alice.graph()) == ''
    assert values.differences(expected, bob.graph()) == ''
    alice.lock(uuids[4:8])
    bob.wait_graph(lambda graph: graph[uuids[4]][0] == 'alice', 'locks work again')


def test_snapshotter_is_killed(server, new_client):
    """Clients notice nothing; the mirror is whole again after the restart."""
    alice, bob = new_client('alice'), new_client('bob')
    uuids = alice.host(server.port, MIXED[:20])
    bob.join(server.port)
    for turn in range(3):
        server.snapshotter.kill9()
        edit_everything(alice, uuids, seed=turn)
        added = bob.add({'while': 'nobody mirrors', 'turn': turn})
        alice.wait_graph(lambda graph: added in graph, 'sees what bob added')
        bob.wait_equal(alice)
        server.snapshotter.start()
        edit_everything(alice, uuids[:10], seed=turn + 10)
        bob.wait_equal(alice)
        server.wait_saved(alice)
        server.wait_serving()
    assert alice.state() == bob.state() == 'ACTIVE'
    assert not alice.status()['exits'] and not bob.status()['exits']


@pytest.mark.skipif(not LONG, reason='640 MB of edits: only with HOLDFAST_LONG=1')
@only('zmtp', 'the feed knows no clients')
def test_snapshotter_is_stopped_for_longer_than_the_ring_lasts(server, new_client):
    """256 MiB of changes wait for it in the feed, and the broker's ring has the last 256 MiB: who was away for
    more than both gets the whole graph. It is the same history, so nothing is pinned."""
    alice = new_client('alice')
    uuids = alice.host(server.port, MIXED[:20])
    server.wait_saved(alice)
    wait_until(lambda: server.broker.health()['nodes'] == 20 and
               server.broker.health()['durable'] == server.broker.health()['position'], 'all is durable')
    before = server.broker.health()['position']['seq']
    edits = 40
    os.kill(server.snapshotter.pid, signal.SIGSTOP)
    try:
        for turn in range(edits):
            alice.edit(uuids[0], {'blob': bytes([turn]) * (16 << 20)})
        wait_until(lambda: server.broker.health()['position']['seq'] >= before + edits, 'the broker has all edits')
        assert server.broker.health()['durable']['seq'] < before + edits
    finally:
        os.kill(server.snapshotter.pid, signal.SIGCONT)
    server.snapshotter.wait_log('In step with the broker again: the whole graph')
    edit_everything(alice, uuids[1:], seed=1)
    server.wait_saved(alice)
    assert alice.state() == 'ACTIVE'
    assert not list((server.data / 'backups').glob('pinned_*'))


def test_snapshotter_starts_on_an_empty_directory_beside_a_running_session(server, new_client):
    """Its disk was lost: it asks for the whole."""
    alice = new_client('alice')
    alice.host(server.port, MIXED[:30])
    server.wait_saved(alice)
    server.snapshotter.kill9()
    server.data.rename(server.directory / 'lost')
    server.snapshotter.start()
    server.wait_saved(alice)
    assert alice.state() == 'ACTIVE'


def test_broker_is_killed(server, new_client):
    """It restores from the running snapshotter all that had been mirrored."""
    alice = new_client('alice')
    marker, *uuids = alice.host(server.port, MIXED[:20])
    for turn in range(3):
        edit_everything(alice, uuids, seed=turn)
        server.wait_saved(alice)
        alice.edit(marker, {'after': 'the save', 'turn': turn})
        # A second client has it, so it had been published: the snapshotter, which lives on, keeps it.
        bob = new_client('bob')
        bob.join(server.port)
        bob.wait_graph(lambda graph: values.canonical('the save') in graph[marker][2], 'the edit')
        expected = values.nobodys(alice.graph())
        server.broker.kill9()
        alice.kill9()
        bob.kill9()
        server.broker.start()
        server.wait_serving()
        carol = new_client('carol')
        carol.join(server.port)
        assert values.differences(expected, carol.graph()) == ''
        carol.leave()
        alice = new_client('alice')
        alice.join(server.port)


@only('zmtp', 'this generation does not reconnect')
@pytest.mark.parametrize('busy', [False, True], ids=['idle', 'busy'])
def test_clients_of_a_killed_broker_are_told_to_join_again(server, new_client, busy):
    alice = new_client('alice')
    uuids = alice.host(server.port, MIXED[:10])
    server.wait_saved(alice)
    server.broker.kill9()
    server.broker.start()
    server.wait_serving()
    if busy:
        alice.edit(uuids[0], {'into': 'the void'})
    assert 'join again' in alice.wait_exit()
    alice.join(server.port)


def test_both_are_killed(server, new_client):
    """What had been saved is there. What had not: test_power.py."""
    alice = new_client('alice')
    alice.host(server.port, MIXED[:20])
    expected = alice.graph()
    server.wait_saved(expected)
    server.broker.kill9()
    server.snapshotter.kill9()
    alice.kill9()
    server.start()
    bob = new_client('bob')
    bob.join(server.port)
    assert values.differences(expected, bob.graph()) == ''


@pytest.mark.parametrize('order', ['broker first', 'snapshotter first', 'both at once',
                                   'snapshotter first, edits go on'])
def test_sigterm_loses_nothing(make_server, new_client, order):
    server = make_server(SAVE_INTERVAL=3600).start()
    alice, bob = new_client('alice'), new_client('bob')
    uuids = alice.host(server.port, MIXED[:20])
    bob.join(server.port)

    def edit(number):
        for uuid in uuids:
            alice.edit(uuid, {**alice.content(uuid), 'last words': number})
        bob.wait_equal(alice)

    edit(1)
    first, second = server.broker, server.snapshotter
    if order.startswith('snapshotter first'):
        first, second = second, first
    first.terminate()
    if order.endswith('edits go on'):
        edit(2)
    if order == 'broker first':
        first.wait_exit(0)
    second.terminate()
    expected = values.nobodys(bob.graph())
    first.wait_exit(0)
    second.wait_exit(0)
    assert server.metadata()['node_count'] == 20

    server.start()
    carol = new_client('carol')
    carol.join(server.port)
    assert values.differences(expected, carol.graph()) == ''


def test_clients_are_told_of_a_shutdown(server, new_client):
    alice, bob = new_client('alice'), new_client('bob')
    alice.host(server.port, MIXED[:5])
    bob.join(server.port)
    server.stop()
    for client in (alice, bob):
        reason = client.wait_exit()
        assert 'shutting down' in reason, reason


def concurrent(edits):
    """Nodes that two users edited without having seen each other's edit.

    An edit by X with number n has seen the edit by Y with number m if the version it started from
    said so: `seen[Y] >= m`. Two edits of one node by different users of which neither has seen the
    other are concurrent; there, each client keeps what it received last, and the library promises
    nothing. All other edits of a node form one chain, and everybody must end with its last value.
    """
    nodes = {}
    for user, log in edits.items():
        for uuid, number, seen in log:
            nodes.setdefault(uuid, []).append((user, number, seen))
    contested = set()
    for uuid, log in nodes.items():
        for user, number, seen in log:
            for other, other_number, other_seen in log:
                if user < other and seen.get(other, 0) < other_number \
                        and other_seen.get(user, 0) < number:
                    contested.add(uuid)
    return contested


def start_editors(server, new_client, seed, operations):
    """Three clients in one session, editing at random from now on."""
    editors = [new_client(name, tick=0.003) for name in ('alice', 'bob', 'carol')]
    editors[0].host(server.port, [
        {'maker': 'alice', 'free': {'content': values.mixed_content(index)}, 'plain': {},
         'seen': {}} for index in range(30)])
    fence = editors[0].add({'fence': {}})
    for editor in editors[1:]:
        editor.join(server.port)
        editor.wait_graph(lambda graph: fence in graph, 'has the fence')
    for index, editor in enumerate(editors):
        editor.call('program', seed=seed * 100 + index, operations=operations)
    return editors, fence


def check_agreement(server, new_client, editors, fence):
    """When all programs are done: every client, the broker and the save agree."""
    # A last edit of each, one after the other, shows that all data before it has arrived; the same
    # with metadata for the commands.
    for editor in editors:
        content = editor.content(fence)
        content['fence'][editor.name] = True
        editor.edit(fence, content)
        editor.set_metadata({'fence': True})
        for other in editors:
            wait_until(lambda: editor.name in other.content(fence)['fence'],
                       f'{other.name} sees the last edit of {editor.name}')
            if other is not editor:
                wait_until(lambda: 'fence' in other.users()[editor.name]['metadata'],
                           f'{other.name} sees the last metadata of {editor.name}')

    logs = {editor.name: editor.call('program_log') for editor in editors}
    contested = concurrent({name: log['edits'] for name, log in logs.items()})
    graph = editors[0].graph()
    certain = set(graph) - contested
    print({name: log['counts'] for name, log in logs.items()},
          f'{len(graph)} nodes, {len(contested & set(graph))} of them edited concurrently')
    assert len(certain) > 20

    def disagreement(theirs):
        # What exists and who owns it must agree for every node, contested or not.
        mine = editors[0].graph()
        owners = values.differences({uuid: [node[0], '', ''] for uuid, node in mine.items()},
                                    {uuid: [node[0], '', ''] for uuid, node in theirs.items()})
        return owners + values.differences(
            {uuid: node for uuid, node in mine.items() if uuid in certain},
            {uuid: node for uuid, node in theirs.items() if uuid in certain})

    newcomer = new_client('newcomer')
    newcomer.join(server.port)
    for client in [*editors[1:], newcomer]:
        wait_until(lambda: disagreement(client.graph()) == '',
                   lambda: f'alice (left) and {client.name}:\n{disagreement(client.graph())}')
    wait_until(lambda: disagreement(server.saved_graph()) == '',
               lambda: f'alice (left) and the save:\n{disagreement(server.saved_graph())}',
               interval=0.2)
    # The newcomer has the broker's graph: it and the save agree on contested nodes as well.
    server.wait_saved(newcomer)


@pytest.mark.parametrize('seed', range(1, 9) if LONG else [1])
def test_random_edits_converge(make_server, new_client, seed):
    """While others come and go, politely or not."""
    server = make_server(SAVE_INTERVAL=2).start()
    editors, fence = start_editors(server, new_client, seed, operations=4000 if LONG else 1000)
    rng = random.Random(seed)
    visits = 0
    while not all(editor.status()['program_done'] for editor in editors):
        visitor = new_client(f'visitor {visits}')
        visits += 1
        visitor.connect(server.port)
        if rng.random() < 0.7:
            visitor.wait_state('ACTIVE')
        if rng.random() < 0.5:
            visitor.leave()
            visitor.call('quit')
        else:
            visitor.kill9()
    print(visits, 'visits')
    assert visits > 0
    check_agreement(server, new_client, editors, fence)


def test_random_edits_while_the_snapshotter_is_killed(make_server, new_client):
    server = make_server(SAVE_INTERVAL=2).start()
    editors, fence = start_editors(server, new_client, seed=50, operations=4000 if LONG else 600)
    kills = 0
    while not all(editor.status()['program_done'] for editor in editors):
        server.snapshotter.kill9()
        kills += 1
        server.snapshotter.start()
        wait_until(server.snapshotter.healthy, 'the mirror follows again')
    assert kills > 0
    check_agreement(server, new_client, editors, fence)
