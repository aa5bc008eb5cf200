"""The commands of holdfast-snapshotter on what real clients made, opened by the real library."""

import json
import os
import pickle
import re
import subprocess
import time
import types

import values
from processes import find_binary, wait_until

CONTENTS = [values.mixed_content(index) for index in range(8)]


def command(server, *arguments, code=0):
    """Runs a command on the server's directory; returns its JSON."""
    result = subprocess.run(
        [find_binary('holdfast-snapshotter'), *map(str, arguments), '--json',
         '--data-dir', server.data], capture_output=True, timeout=120)
    output = result.stdout.decode() + result.stderr.decode()
    assert result.returncode == code, f'{arguments} ended with {result.returncode}: {output}'
    return json.loads(result.stdout)


def same(left, right):
    return values.differences(values.nobodys(left), values.nobodys(right)) == ''


def next_second():
    """Waits until the second is over, and names it as --at takes it."""
    second = int(time.time())
    wait_until(lambda: time.time() > second + 1, 'the next second begins')
    return time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(second))


def two_states(server, alice):
    """A session whose first state is in a backup, changed since. Returns uuids and that state."""
    uuids = alice.host(server.port, CONTENTS)
    before = alice.graph()
    server.wait_saved(before)
    alice.edit(uuids[0], {'regretted': True})
    alice.delete(uuids[1])
    alice.wait_graph(lambda graph: len(graph) == len(uuids) - 1, 'one is deleted')
    server.wait_saved(alice)
    return uuids, before


def go_back(server, alice, then, deleted, before, after):
    """Restores a stopped session to a time before one node was deleted; alice joins it."""
    answer = command(server, 'restore', '--at', then)
    assert [node['id'] for node in answer['change']['added']] == [deleted]
    assert same(after, server.saved_graph(server.data / 'backups' / answer['kept']))
    assert same(before, server.saved_graph())
    server.start()
    alice.join(server.port)
    assert same(before, alice.graph())


def backup_of(server, graph):
    """The newest backup that holds the graph."""
    def good():
        return [path for path in server.backups() if same(graph, server.saved_graph(path))]
    return wait_until(good, 'a backup holds it')[-1]


def test_reading_beside_a_running_server(server, new_client, tmp_path):
    alice = new_client('alice')
    uuids, before = two_states(server, alice)
    listing = command(server, 'list')
    assert listing['saves'][0]['kind'] == 'session'
    assert {one['name'] for one in listing['saves']} >= {path.name for path in server.backups()}
    assert command(server, 'verify')['good'] is True

    inspection = command(server, 'inspect', '--node', uuids[0])
    assert {node['id'] for node in inspection['nodes']} == set(alice.graph())
    assert inspection['details'][0]['type'] == 'Thing'
    assert 'regretted' in inspection['details'][0]['data']
    command(server, 'inspect', '--node', 'nobody', code=5)

    old = backup_of(server, before)
    change = command(server, 'restore', old.name, '--dry-run')['change']
    assert [node['id'] for node in change['added']] == [uuids[1]]
    assert [node['id'] for node in change['changed']] == [uuids[0]]
    assert change['removed'] == []

    # What changes something is refused, says what to do, and changes nothing.
    answer = command(server, 'restore', old.name, code=3)
    assert 'Stop broker and snapshotter' in answer['error']
    assert same(alice.graph(), server.saved_graph())

    old.write_bytes(old.read_bytes()[:-10])
    damaged = command(server, 'verify', code=6)
    assert damaged['good'] is False and old.name in json.dumps(damaged)


def test_export_is_opened_by_the_library(server, new_client, tmp_path):
    alice = new_client('alice')
    uuids = alice.host(server.port, CONTENTS[:3])
    parent = alice.add({'a': 'parent'}, links=[uuids[1]])
    server.wait_saved(alice)

    whole = tmp_path / 'whole.db'
    command(server, 'export', '--to', whole)
    assert values.differences(alice.graph(), server.saved_graph(whole)) == ''

    part = tmp_path / 'part.db'
    assert command(server, 'export', '--to', part, '--node', parent)['nodes'] == 2
    graph = alice.graph()
    expected = {uuid: graph[uuid] for uuid in (parent, uuids[1])}
    assert values.differences(expected, server.saved_graph(part)) == ''
    command(server, 'export', '--to', part, code=1)


def test_restore_a_backup_and_take_it_back(server, new_client):
    alice = new_client('alice')
    _, before = two_states(server, alice)
    after = alice.graph()
    old = backup_of(server, before)
    alice.leave()
    server.stop()

    kept = command(server, 'restore', old.name)['kept']
    server.start()
    alice.join(server.port)
    assert same(before, alice.graph())
    alice.edit(next(iter(before)), {'work': 'goes on'})
    server.wait_saved(alice)
    alice.leave()
    server.restart()
    alice.join(server.port)
    assert 'goes on' in json.dumps(alice.graph())
    alice.leave()
    server.stop()

    command(server, 'restore', kept)
    server.start()
    alice.join(server.port)
    assert same(after, alice.graph())


def test_restore_to_a_time(server, new_client):
    """Exactly what there was at that moment, whatever came after it, saves included."""
    alice = new_client('alice')
    uuids = alice.host(server.port, CONTENTS)
    alice.edit(uuids[0], {'wanted': True})
    before = alice.graph()
    server.wait_saved(before)
    then = next_second()
    alice.edit(uuids[0], {'regretted': True})
    alice.delete(uuids[1])
    alice.wait_graph(lambda graph: len(graph) == len(uuids) - 1, 'one is deleted')
    after = alice.graph()
    server.wait_saved(after)
    alice.leave()
    server.stop()

    go_back(server, alice, then, uuids[1], before, after)
    alice.edit(uuids[0], {'work': 'goes on'})
    server.wait_saved(alice)


def test_restore_to_a_moment_between_two_saves(make_server, new_client):
    """Nothing was saved near it: the history leads there."""
    server = make_server(SAVE_INTERVAL=3600).start()
    alice = new_client('alice')
    uuids = alice.host(server.port, CONTENTS)
    server.wait_saved(alice)
    saved = wait_until(lambda: server.metadata().get('position'), 'there are metadata')['seq']

    def wait_durable(commits):
        def everything_is():
            health = server.broker.health()
            return health['commits'] >= commits and health['durable'] == health['position']
        wait_until(everything_is, lambda: f'all is durable: {server.broker.health()}')

    alice.edit(uuids[0], {'wanted': True})
    before = alice.graph()
    wait_durable(1)
    then = next_second()
    alice.edit(uuids[0], {'regretted': True})
    alice.delete(uuids[1])
    alice.wait_graph(lambda graph: len(graph) == len(uuids) - 1, 'one is deleted')
    after = alice.graph()
    wait_durable(2)
    assert server.metadata()['position']['seq'] == saved, 'there was no save since'
    alice.leave()
    server.stop()

    go_back(server, alice, then, uuids[1], before, after)


def test_import_what_the_library_dumped(server, new_client, tmp_path):
    from replication.objects import Node
    from replication.protocol import DataTranslationProtocol
    from replication.repository import Repository
    alice = new_client('alice')
    alice.host(server.port, CONTENTS[:2])
    server.wait_saved(alice)
    before = alice.graph()
    alice.leave()
    server.stop()

    repository = Repository(rdp=DataTranslationProtocol(), username='Zoë')
    repository.remote = types.SimpleNamespace(online_users={})
    for index, content in enumerate(CONTENTS):
        repository.do_commit(Node(owner='COMMON', uuid=f'uuid-{index}', dependencies=None,
                                  data={'type_id': 'Thing', 'content': content, 'links': []}))
    repository.dumps(str(tmp_path / 'dumped.db'))
    dumped = next(tmp_path.glob('dumped_*.db'))
    kept = command(server, 'import', dumped)['kept']
    assert same(before, server.saved_graph(server.data / 'backups' / kept))

    server.start()
    alice.join(server.port)
    assert same(values.canonical_graph(repository.graph), alice.graph())
    uuid = alice.add({'work': 'goes on'})
    server.wait_saved(alice)
    alice.leave()
    server.restart()
    alice.join(server.port)
    assert uuid in alice.graph()


def test_what_takes_long_says_how_far_it_is(server, new_client, tmp_path):
    """On standard error: what a script reads stays JSON. Here the disk is slow: a pipe."""
    alice = new_client('alice')
    alice.host(server.port, CONTENTS)
    server.wait_saved(alice)
    saved = (server.data / 'session_snapshot.db').read_bytes()
    pipe = tmp_path / 'slow.db'
    os.mkfifo(pipe)
    process = subprocess.Popen(
        [find_binary('holdfast-snapshotter'), 'inspect', pipe, '--json', '--data-dir',
         server.data], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    os.set_blocking(process.stderr.fileno(), False)
    said = []

    def says():
        said.append(process.stderr.read() or b'')
        return b'Reading ' in said[-1]
    with open(pipe, 'wb', buffering=0) as slow:
        rest = iter(saved)
        def another_byte():
            slow.write(bytes([next(rest)]))
            return says()
        wait_until(another_byte, 'it says how far it is')
        slow.write(bytes(rest))
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert re.fullmatch(rf'Reading {pipe}: \d+ %, \d+ s\n', b''.join(said).decode())
    assert {node['id'] for node in json.loads(output)['nodes']} == set(alice.graph())


def test_a_node_that_stops_every_joiner(server, new_client):
    """A node of a type that nobody knows: who joins cannot apply it. An admin finds it, keeps it
    for whoever wants to know, and takes it out."""
    alice = new_client('alice')
    uuids = alice.host(server.port, CONTENTS[:2])
    poison = [pickle.dumps(2, 4), b'poison', b'COMMON', pickle.dumps(None, 4),
              pickle.dumps({'type_id': 'Poison'}, 4)]
    alice.call('push_raw', channel='data', chunks=values.encode(poison))

    def arrived():
        return 'Poison' in [node['type'] for node in command(server, 'inspect')['nodes']]
    wait_until(arrived, 'the poisoned node is saved')
    alice.leave()
    server.stop()
    saved = server.directory / 'poison.db'
    assert command(server, 'export', '--to', saved, '--node', 'poison')['nodes'] == 1
    command(server, 'remove-node', 'poison')
    server.start()
    bob = new_client('bob')
    bob.join(server.port)
    assert set(bob.graph()) == set(uuids)


def test_a_node_is_taken_out_of_a_stopped_session(server, new_client):
    alice = new_client('alice')
    uuids = alice.host(server.port, CONTENTS[:3])
    parent = alice.add({'a': 'parent'}, links=[uuids[0]])
    server.wait_saved(alice)
    expected = alice.graph()
    alice.leave()
    server.stop()
    answer = command(server, 'remove-node', uuids[0])
    assert [node['id'] for node in answer['change']['removed']] == [uuids[0]]
    command(server, 'remove-node', uuids[0], code=5)
    server.start()
    alice.join(server.port)
    graph = alice.graph()
    assert set(graph) == set(expected) - {uuids[0]}
    assert graph[parent][1] == []


def test_pinned_backups_stay(make_server, new_client):
    server = make_server(SAVE_INTERVAL=1, MAX_BACKUPS=1, KEEP_HOURLY=0, KEEP_DAILY=0,
                         KEEP_WEEKLY=0).start()
    alice = new_client('alice')
    uuids = alice.host(server.port, CONTENTS[:2])
    before = alice.graph()
    server.wait_saved(before)
    backups = wait_until(server.backups, 'there is a backup')
    pinned = command(server, 'pin', backups[-1].name)['to']
    for number in range(3):
        alice.edit(uuids[0], {'number': number})
        server.wait_saved(alice)
    wait_until(lambda: len(server.backups()) == 1, 'one backup is kept')
    assert same(before, server.saved_graph(server.data / 'backups' / pinned))
