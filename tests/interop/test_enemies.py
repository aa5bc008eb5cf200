"""Peers that do what the library never would: nothing of it may change or break anything."""

import subprocess

import pytest

import processes
import raw
import values
from hostile import DATA, bombs, frames
from processes import wait_until

CONTENTS = [values.mixed_content(index) for index in range(6)]


def orders(uuid):
    """(channel, chunks) of well-formed messages that only members, or admins, may send."""
    yield 'data', raw.node('from a stranger', {**DATA, 'uuid': 'from a stranger'})
    yield 'data', raw.node(uuid, {**DATA, 'uuid': uuid})
    yield 'data', [raw.pickled(raw.COMMIT), uuid.encode(), raw.pickled([]), raw.pickled(
        {'values_changed': {"root['content']['name']": {'new_value': 'changed by a stranger'}}})]
    yield 'command', raw.command(raw.DELETE, uuid)
    yield 'command', raw.command(raw.RIGHT, {'uuid': [uuid], 'owner': 'stranger'})
    yield 'command', raw.command(raw.KICK, {'user': 'alice'})
    yield 'command', raw.command(raw.METADATA, {'chat': 'of a stranger'}, 'alice')
    yield 'command', raw.command(raw.SERVER_SNAPSHOT, {'STATE': 'INIT', 'SIZE': 1, 'NODES': ['x']})
    yield 'command', raw.command(raw.SERVER_SNAPSHOT, {
        'STATE': 'SET', 'DATA': raw.node('x', {**DATA, 'uuid': 'x'})})
    yield 'command', raw.command(raw.SERVER_SNAPSHOT, {'STATE': 'END'})
    yield 'command', raw.command(raw.SNAPSHOT, {'STATE': 'REQUEST_INIT'})
    yield 'command', raw.command(raw.SNAPSHOT, {'STATE': 'GET', 'ID': uuid})
    yield 'command', raw.command(raw.SNAPSHOT, {'STATE': 'DONE'})
    yield 'command', raw.command(raw.DISCONNECT, {'reason': 'go away'})
    yield 'command', raw.command(raw.CLIENTS_STATE, None)


class Scene:
    """A running session of two, and how to see that nothing happened to it."""

    def __init__(self, server, new_client, witness):
        self.server = server
        self.witness = witness
        self.alice, self.bob = new_client('alice'), new_client('bob')
        self.uuids = self.alice.host(server.port, CONTENTS)
        self.bob.join(server.port)
        self.alice.set_metadata({'chat': 'mine'})
        wait_until(lambda: self.bob.users()['alice']['metadata'] == {'chat': 'mine'},
                   'bob sees the metadata')
        self.graph = self.alice.graph()

    def check_unharmed(self):
        # Both can still talk to each other, through both connections.
        uuid = self.alice.add({'still': 'here'})
        self.bob.wait_graph(lambda graph: uuid in graph, 'still gets nodes')
        self.bob.delete(uuid)
        for client in (self.alice, self.bob):
            client.wait_graph(lambda graph: uuid not in graph, 'still gets deletes')
            assert values.differences(self.graph, client.graph()) == ''
            assert not client.status()['exits']
        assert self.bob.users()['alice']['metadata'] == {'chat': 'mine'}
        self.server.wait_saved(self.graph)
        assert not self.witness.exists(), 'code of an enemy has run'
        for service in (self.server.broker, self.server.snapshotter):
            assert service.alive()
            assert service.resident_bytes() < 1 << 30


@pytest.fixture
def scene(server, new_client, tmp_path):
    return Scene(server, new_client, tmp_path / 'witness')


def send(peer, messages):
    for channel, chunks in messages:
        (peer.send if channel == 'command' else peer.send_data)(chunks)


def test_strangers_change_nothing(scene):
    for message in orders(scene.uuids[0]):
        peer = scene.server.peer()
        send(peer, [message])
        peer.close_when_handled()
    scene.check_unharmed()


def test_strangers_bombs_do_nothing(scene):
    for bomb in bombs(scene.witness).values():
        peer = scene.server.peer()
        send(peer, frames(bomb, scene.uuids[0]))
        peer.close_when_handled()
    scene.check_unharmed()


def send_as_members(scene, groups):
    """Each group of messages from a member of its own."""
    for number, messages in enumerate(groups):
        peer = scene.server.peer()
        assert peer.login(f'enemy {number}') == 'RUNNING'
        peer.join()
        send(peer, messages)
        peer.close_when_handled()
    scene.alice.wait_status(lambda status: status['users'] == ['alice', 'bob'], 'enemies are gone')


def test_members_bombs_do_nothing(scene):
    """From peers that have logged in and joined; what is refused is not relayed either."""
    send_as_members(scene, (frames(bomb, scene.uuids[0]) for bomb in bombs(scene.witness).values()))
    scene.check_unharmed()


def test_shapes_that_would_break_clients_are_not_relayed(scene):
    uuid = scene.uuids[0]
    set_added_to_a_list = {'set_item_added': {"root['content']['items']": {1, 2}}}
    send_as_members(scene, ([message] for message in [
        ('command', raw.command(raw.DELETE, '', 'enemy')),
        ('command', raw.command(raw.DELETE, [uuid], 'enemy')),
        ('command', raw.command(raw.DELETE, None, 'enemy')),
        ('command', raw.command(raw.RIGHT, {}, 'enemy')),
        ('command', raw.command(raw.RIGHT, {'uuid': [None, uuid], 'owner': 'enemy'}, 'enemy')),
        ('command', raw.command(raw.RIGHT, {'uuid': [uuid], 'owner': None}, 'enemy')),
        ('command', raw.command(raw.METADATA, {'chat': 'forged'}, 'alice')),
        ('command', raw.command(raw.METADATA, {'chat': 'forged'}, 'nobody')),
        ('command', raw.command(raw.METADATA, None, 'enemy')),
        ('command', raw.command(raw.METADATA, ['not', 'a', 'dict'], 'enemy')),
        ('command', raw.command(raw.SNAPSHOT, {'STATE': 'INIT', 'CATALOG': []}, 'enemy')),
        ('data', raw.node('', {**DATA, 'uuid': ''})),
        ('data', raw.node('bad type', {'content': {}, 'links': []})),
        ('data', raw.node('bad type', {**DATA, 'type_id': 5})),
        ('data', raw.node('bad data', [1, 2, 3])),
        ('data', raw.node('bad data', None)),
        ('data', raw.node('bad dependencies', DATA, dependencies=(uuid,))),
        ('data', raw.node('bad dependencies', DATA, dependencies=[None])),
        ('data', raw.command(raw.DELETE, uuid, 'enemy')),
        ('data', [raw.pickled(raw.COMMIT), uuid.encode(), raw.pickled([]),
                  raw.pickled(set_added_to_a_list)]),
        ('data', [raw.pickled(raw.COMMIT), b'no such node', raw.pickled([]), raw.pickled({})]),
        ('data', [raw.pickled(raw.COMMIT), uuid.encode(), raw.pickled([]), raw.pickled(None)]),
        ('data', [raw.pickled(raw.NODE)]),
        ('data', [raw.pickled(99), b'a', b'b']),
        ('data', [raw.pickled('a string'), b'a', b'b']),
    ]))
    scene.check_unharmed()


def test_a_delta_of_the_deepdiff_that_0_9_10_pins_is_refused_with_a_line(scene):
    """Clients that were installed with the library's own pins (docs/decisions/0002)."""
    python = processes.ROOT / 'build' / 'venv-deepdiff-5.7.0' / 'bin' / 'python'
    if not python.exists():
        pytest.skip(f'{python} is not there: scripts/test makes it')
    program = """
import sys
from deepdiff import DeepDiff, Delta
sys.stdout.buffer.write(Delta(DeepDiff({'content': 1}, {'content': 2})).dumps())
"""
    delta = subprocess.run([python, '-c', program], capture_output=True, check=True).stdout
    mark = scene.server.broker.mark()
    send_as_members(scene, [[('data', [raw.pickled(raw.COMMIT), scene.uuids[0].encode(), raw.pickled([]), delta])]])
    scene.server.broker.wait_log("Refused from 'enemy 0'", since=mark)
    assert 'the class deepdiff.helper.OrderedDictPlus is not allowed (the client has not deepdiff 8.1.1' \
        in scene.server.broker.text()[mark:]
    scene.check_unharmed()
