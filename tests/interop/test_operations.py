"""What people do around a session: start in any order, restore by hand, clear the data, lock."""

import shutil

import pytest

import values
from processes import Process, Service, find_binary, wait_until

CONTENTS = [values.mixed_content(index) for index in range(10)]


def test_broker_starts_before_the_snapshotter(make_server, new_client):
    server = make_server(SAVE_INTERVAL=1)
    server.broker.start()
    alice = new_client('alice')

    def answered():
        if server.broker.health() is None:
            return None
        return alice.refused(server.port)
    assert 'FAILED:' in wait_until(answered, 'the broker answers')
    server.snapshotter.start()
    server.wait_serving()
    alice.host(server.port, CONTENTS)
    server.wait_saved(alice)

    # The same with a session to restore.
    expected = alice.graph()
    server.stop()
    server.broker.start()
    assert 'FAILED:' in wait_until(answered, 'the broker answers')
    server.snapshotter.start()
    server.wait_serving()
    alice.join(server.port)
    assert values.differences(expected, alice.graph()) == ''


def test_fresh_directory_needs_init(server, new_client):
    alice = new_client('alice')
    alice.host(server.port, CONTENTS)
    server.wait_saved(alice)
    alice.leave()
    server.stop()
    shutil.rmtree(server.data)
    server.start()
    alice.lobby(server.port)
    uuid = alice.stage({'a': 'new session'})
    alice.call('init')
    alice.wait_state('ACTIVE')
    bob = new_client('bob')
    bob.join(server.port)
    assert set(bob.graph()) == {uuid}


def test_start_says_what_it_found(server, new_client):
    alice = new_client('alice')
    alice.host(server.port, CONTENTS)
    server.wait_saved(alice)
    alice.leave()
    server.stop()
    assert 'Previous session found:' not in server.snapshotter.text()
    assert str(server.data) in server.snapshotter.text()
    mark = server.snapshotter.mark()
    server.start()
    server.snapshotter.wait_log('Previous session found:', since=mark)
    for word in ('Timestamp', 'Initialized', 'Nodes', 'Reason'):
        server.snapshotter.wait_log(word, since=mark)
    server.wait_log('Session restored')


def test_restore_by_hand(server, new_client):
    alice = new_client('alice')
    uuids = alice.host(server.port, CONTENTS)
    old = alice.graph()
    server.wait_saved(old)
    alice.edit(uuids[0], {'regretted': True})
    for uuid in uuids[1:]:
        alice.delete(uuid)
    alice.wait_graph(lambda graph: len(graph) == 1, 'most is deleted')
    server.wait_saved(alice)
    alice.leave()
    server.stop()

    good = [path for path in server.backups()
            if values.differences(values.nobodys(old),
                                  server.saved_graph(path)) == '']
    assert good, 'a backup holds what was before the regretted edit'
    shutil.copy(good[-1], server.snapshot)
    server.start()
    alice.join(server.port)
    assert values.differences(old, alice.graph()) == ''
    # It stays so, with everything on top.
    alice.edit(uuids[0], {'after': 'the restore'})
    server.wait_saved(alice)
    expected = alice.graph()
    alice.leave()
    server.restart()
    alice.join(server.port)
    assert values.differences(expected, alice.graph()) == ''


def test_backups_are_kept_in_number(make_server, new_client):
    server = make_server(SAVE_INTERVAL=1, MAX_BACKUPS=3, KEEP_HOURLY=0, KEEP_DAILY=0,
                         KEEP_WEEKLY=0).start()
    alice = new_client('alice')
    uuids = alice.host(server.port, CONTENTS[:2])
    names = set()
    for number in range(6):
        alice.edit(uuids[0], {'number': number})
        server.wait_saved(alice)
        names |= {path.name for path in server.backups()}
    wait_until(lambda: len(server.backups()) == 3, 'three backups are kept')
    newest = [path.name for path in server.backups()]
    assert newest == sorted(names | set(newest))[-3:], 'the newest are kept'


def test_addon_opens_what_we_save_and_we_save_what_the_addon_does(server, new_client, tmp_path):
    """The save is the addon's own session file: the real library loads it, and what the library
    saves again is the same graph."""
    from replication.repository import Repository
    alice = new_client('alice')
    alice.host(server.port, CONTENTS)
    server.wait_saved(alice)
    repository = Repository(username='reader')
    repository.loads(server.snapshot)
    repository.dumps(tmp_path / 'again.db')
    again = next(tmp_path.glob('again_*.db'))
    assert values.differences(alice.graph(), server.saved_graph(again)) == ''

    # And a file the addon made is a session for us: put there by hand, it is restored.
    alice.leave()
    server.stop()
    shutil.copy(again, server.snapshot)
    server.start()
    alice.join(server.port)
    assert values.differences(server.saved_graph(again), alice.graph()) == ''


def test_second_snapshotter_on_the_same_directory(server):
    other = Service('holdfast-snapshotter', server.directory, server.settings, None,
                    name='second-snapshotter')
    other.start()
    other.wait_exit(3)
    assert str(server.data) in other.text()
    server.wait_serving()


def test_second_broker_on_the_same_port(server):
    other = Service('holdfast-broker', server.directory, server.settings, None,
                    name='second-broker')
    other.start()
    wait_until(lambda: not other.alive(), 'the second broker ends')
    assert other.process.returncode not in (0, -6, -11)
    # The first port that it wants, whichever generation the clients of this test are.
    assert f'port {server.settings["PORT"]} is in use' in other.text()


@pytest.mark.parametrize('program', ['holdfast-broker', 'holdfast-snapshotter'])
@pytest.mark.parametrize('setting', [{'PORT': 'many'}, {'PORT': '70000'}, {'TIMEOUT': '-1'},
                                     {'SAVE_INTERVAL': 'x'}])
def test_wrong_settings(tmp_path, logs, program, setting):
    name = next(iter(setting))
    service = Service(program, tmp_path, {'DATA_DIR': tmp_path / 'data', **setting}, None)
    logs.append(service.log)
    service.start()
    service.wait_exit(2)
    assert name in service.text()


def test_admin_password_is_made_up_and_passwords_are_not_logged(make_server, new_client):
    server = make_server(SERVER_PASSWORD='hush hush hush')
    for service in (server.broker, server.snapshotter):
        del service.environment['ADMIN_PASSWORD']
    server.start()
    new_client('alice').refused(server.port, server_password='my bank password')
    assert 'FAILED: wrong admin password' in new_client('bob').refused(
        server.port, server_password='hush hush hush', admin_password='admin')
    server.stop()
    text = server.broker.text() + server.snapshotter.text()
    assert 'hush hush hush' not in text and 'my bank password' not in text
    assert 'admin password' in text.lower()


def test_passwords_from_files(make_server, new_client, tmp_path):
    (tmp_path / 'server password').write_text('from a file\n')
    server = make_server(SERVER_PASSWORD_FILE=tmp_path / 'server password').start()
    alice = new_client('alice')
    assert 'FAILED: wrong server password' in alice.refused(server.port, server_password='else')
    alice.lobby(server.port, server_password='from a file')


def test_log_files(make_server, tmp_path):
    server = make_server()
    for service in (server.broker, server.snapshotter):
        service.environment['LOG_FILE'] = str(tmp_path / f'{service.name}.log')
    server.start()
    server.stop()
    for service in (server.broker, server.snapshotter):
        assert (tmp_path / f'{service.name}.log').read_text().strip()


@pytest.mark.parametrize('program', ['holdfast-broker', 'holdfast-snapshotter'])
def test_help(tmp_path, program):
    process = Process(program, [find_binary(program), '--help'], tmp_path)
    process.start()
    process.wait_exit(0)
    assert program in process.text() and 'ADMIN_PASSWORD' in process.text()


def test_health(server, new_client):
    new_client('alice').host(server.port, CONTENTS)
    assert server.broker.healthy()
    wait_until(server.snapshotter.healthy, 'the snapshotter is well')
    server.snapshotter.kill9()
    wait_until(lambda: not server.broker.healthy(),
               'the broker says that nobody protects the session')
