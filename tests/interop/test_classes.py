"""The setting CLASSES: objects of named classes in node data, with real clients."""

import collections

import values

NAME = 'collections.OrderedDict'
CONTENT = {'plain': 1, 'pose': collections.OrderedDict(b=[1, 2], a='x')}


def test_an_allowed_object_survives_and_is_edited_around(make_server, new_client):
    server = make_server(SAVE_INTERVAL=1, CLASSES=NAME).start()
    alice, bob = new_client('alice'), new_client('bob')
    uuids = alice.host(server.port, [CONTENT, {'plain': 0}])
    bob.join(server.port)
    bob.wait_equal(alice)
    assert 'OrderedDict{' in alice.graph()[uuids[0]][2]
    alice.edit(uuids[0], {**CONTENT, 'plain': 2, 'new': [None]})
    bob.wait_graph(lambda graph: "'new'" in graph[uuids[0]][2], 'the edit')
    expected = alice.graph()
    server.wait_saved(expected)
    alice.leave()
    bob.leave()
    server.restart()
    carol = new_client('carol')
    carol.join(server.port)
    assert values.differences(expected, carol.graph()) == ''


def test_without_the_setting_it_is_refused_in_words(server, new_client):
    alice, bob = new_client('alice'), new_client('bob')
    alice.host(server.port, [{'plain': 0}])
    bob.join(server.port)
    refused = alice.add(CONTENT)
    server.broker.wait_log(f'{NAME} is not allowed (the setting CLASSES names more)')
    kept = alice.add({'plain': 'after it'})
    bob.wait_graph(lambda graph: kept in graph and refused not in graph, 'only the plain one')


def test_a_snapshotter_without_the_setting_says_so_and_saves_when_it_has_it(make_server, new_client):
    server = make_server(SAVE_INTERVAL=1)
    server.broker.environment['CLASSES'] = NAME
    server.start()
    alice = new_client('alice')
    alice.host(server.port, [CONTENT])
    server.snapshotter.wait_log(f'{NAME} is not allowed (the setting CLASSES names more)')
    assert server.broker.alive() and server.snapshotter.alive()
    server.snapshotter.terminate()
    server.snapshotter.process.wait(60)
    server.snapshotter.environment['CLASSES'] = NAME
    server.snapshotter.start()
    server.wait_saved(alice)


def test_a_broker_without_the_setting_serves_what_it_gets_back_and_refuses_edits_of_it(
        make_server, new_client):
    server = make_server(SAVE_INTERVAL=1, CLASSES=NAME).start()
    alice = new_client('alice')
    special, plain = alice.host(server.port, [CONTENT, {'plain': 0}])
    server.wait_saved(alice)
    expected = alice.graph()
    alice.leave()
    del server.broker.environment['CLASSES']
    server.restart()
    bob, carol = new_client('bob'), new_client('carol')
    bob.join(server.port)
    carol.join(server.port)
    assert values.differences(expected, carol.graph()) == ''
    carol.edit(special, {**CONTENT, 'plain': 2})
    server.broker.wait_log(f'{NAME} is not allowed (the setting CLASSES names more)')
    carol.edit(plain, {'plain': 0, 'new': 1})
    bob.wait_graph(lambda graph: "'new'" in graph[plain][2], 'the edit of the plain node')
    assert bob.graph()[special] == expected[special]
    server.wait_saved(bob)
