"""Several snapshotters on one broker: each keeps the session, and whoever has more gives it to the
others. What somebody holds beside the session is kept as a pinned backup before it is replaced."""

import shutil

import pytest

import values
from processes import Service, free_port_block, wait_saved, wait_until


class Second:
    """A second snapshotter of `server`, with a data directory of its own."""

    def __init__(self, server):
        self.server = server
        self.data = server.directory / 'data-second'
        self.snapshot = self.data / 'session_snapshot.db'
        health_port = free_port_block()
        settings = {**server.settings, 'DATA_DIR': self.data,
                    'HEALTH': f'127.0.0.1:{health_port}'}
        self.service = Service('holdfast-snapshotter', server.directory, settings, health_port,
                               name='snapshotter-second')

    def graph(self):
        return self.server.saved_graph(self.snapshot)

    def wait_saved(self, expected):
        wait_saved(expected, lambda: self.graph() if self.snapshot.exists() else None)

    def stop(self):
        self.service.terminate()
        self.service.wait_exit(0)


@pytest.fixture
def second(make_server, logs):
    server = make_server(SAVE_INTERVAL=1, SNAPSHOTTERS=2)
    one = Second(server)
    logs.append(one.service.log)
    yield one
    one.service.cleanup()


def start_all(second):
    second.service.start()
    second.server.start()


def stop_all(second):
    second.service.terminate()
    second.server.stop()
    second.service.wait_exit(0)


def pinned(data):
    return sorted((data / 'backups').glob('pinned_*.db'))


def names(graph):
    """What values.canonical_graph tells of the nodes, without who owns them."""
    return {uuid: content for uuid, (_, _, content) in graph.items()}


def test_each_saves_and_one_that_was_away_catches_up(second, new_client):
    server = second.server
    start_all(second)
    alice = new_client('alice')
    uuids = alice.host(server.port, [values.mixed_content(index) for index in range(20)])
    server.wait_saved(alice)
    second.wait_saved(alice)

    def shown():
        return server.broker.health()['snapshotters']
    assert len(shown()) == 2
    assert any(str(second.data) in one['name'] for one in shown())
    wait_until(lambda: all(one['records_not_durable'] == 0 for one in shown()),
               'the broker shows that both have everything')
    wait_until(lambda: second.service.health()['lag'] == 0, 'the second one has no lag')

    second.stop()
    alice.edit(uuids[0], {'while': 'the second one was away'})
    added = alice.add({'added': 'meanwhile'})
    server.wait_saved(alice)
    assert added not in second.graph()
    second.service.start()
    second.wait_saved(alice)
    assert pinned(second.data) == [], 'old data of the same history need no pin'


def test_a_lost_directory_comes_back_from_the_other(second, new_client):
    server = second.server
    start_all(second)
    alice = new_client('alice')
    alice.host(server.port, [values.mixed_content(index) for index in range(20)])
    expected = alice.graph()
    alice.leave()
    server.wait_log('User disconnected: alice')
    stop_all(second)
    expected = values.nobodys(expected)
    assert values.differences(expected, second.graph()) == ''

    shutil.rmtree(server.data)
    start_all(second)
    bob = new_client('bob')
    bob.join(server.port)
    assert values.differences(expected, bob.graph()) == ''
    server.wait_saved(expected)


def test_histories_that_went_apart(second, new_client):
    """Each was alone with a broker for a while: the newest work goes on, the other is pinned."""
    server = second.server
    server.set(SNAPSHOTTERS=1)
    start_all(second)
    alice = new_client('alice')
    alice.host(server.port, [{'common': 'to both'}])
    second.wait_saved(alice)
    alice.leave()
    server.wait_log('User disconnected: alice')
    stop_all(second)

    server.start()
    alice.join(server.port)
    older = alice.add({'known': 'to the first one only'})
    server.wait_saved(alice)
    alice.leave()
    server.wait_log('User disconnected: alice')
    server.stop()

    second.service.start()
    server.broker.start()
    server.wait_serving()
    alice.join(server.port)
    newer = alice.add({'known': 'to the second one only'})
    second.wait_saved(alice)
    alice.leave()
    second.service.terminate()
    server.broker.terminate()
    server.broker.wait_exit(0)
    second.service.wait_exit(0)

    server.set(SNAPSHOTTERS=2)
    start_all(second)
    server.broker.wait_log('The snapshotters hold histories that went apart')
    alice.join(server.port)
    graph = alice.graph()
    assert newer in graph and older not in graph
    wait_until(lambda: pinned(server.data), 'the first one keeps what it had')
    kept = server.saved_graph(pinned(server.data)[0])
    assert older in kept and newer not in kept
    server.wait_saved(graph)
    assert pinned(second.data) == []


def test_another_session_is_pinned_before_it_is_replaced(second, new_client):
    server = second.server
    server.set(SNAPSHOTTERS=1)
    # The second directory holds a session of its own.
    second.service.start()
    server.broker.start()
    server.wait_serving()
    alice = new_client('alice')
    alice.host(server.port, [{'session': 'of long ago'}])
    theirs = names(alice.graph())
    second.wait_saved(alice)
    alice.leave()
    second.service.terminate()
    server.broker.terminate()
    server.broker.wait_exit(0)
    second.service.wait_exit(0)

    server.start()
    alice.host(server.port, [{'session': 'of today'}])
    server.wait_saved(alice)
    second.service.start()
    second.wait_saved(alice)
    assert [names(server.saved_graph(path)) for path in pinned(second.data)] == [theirs]
