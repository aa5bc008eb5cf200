"""A disk that refuses while a session runs, for real: full, read-only, unmounted, removed. The
session goes on, the last good save stays, people are told what to do, and when the cause is gone a
save follows without anybody restarting anything."""

import os
import shutil
import subprocess

import pytest

import values
from processes import Process, Service, find_binary, wait_until

CONTENTS = [values.mixed_content(index) for index in range(10)]


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def can_mount(path):
    try:
        run('mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', path)
    except (OSError, subprocess.CalledProcessError):
        return False
    run('umount', path)
    return True


@pytest.fixture
def volume(tmp_path):
    """A file system of 4 MiB of our own, mounted at `volume`."""
    mount_point = tmp_path / 'volume'
    mount_point.mkdir()
    if os.geteuid() != 0 or not can_mount(mount_point):
        pytest.skip('needs root, and the right to mount')
    run('mount', '-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', mount_point)
    yield mount_point
    subprocess.run(['umount', '-l', mount_point], check=False)


def start_session(server, new_client, directory, save_interval=1):
    server.data = directory
    server.set(DATA_DIR=directory, SAVE_INTERVAL=save_interval)
    server.start()
    alice = new_client('alice')
    uuids = alice.host(server.port, CONTENTS)
    server.wait_saved(alice)
    wait_until(server.snapshotter.healthy, 'the snapshotter is well')
    return alice, uuids


def expect_trouble(server, words):
    """Saves fail, and everybody who asks is told so. One before may have failed for another reason, while
    a mount was being changed."""
    server.snapshotter.wait_log('Session NOT saved')
    server.snapshotter.wait_log(words)

    def page_says_so():
        health = server.snapshotter.health()
        return health['status'] == 'save failing' and words in health['save_error'] and health

    health = wait_until(page_says_so, lambda: f'the page names the cause: {server.snapshotter.health()}')
    assert not server.snapshotter.healthy()
    asked = Process('health', [find_binary('holdfast-snapshotter'), '--health'], server.directory,
                    server.snapshotter.environment)
    asked.start()
    asked.wait_exit(1)
    assert health['following'], 'it goes on following'
    assert server.serving(), 'the session goes on'


def expect_recovery(server, alice):
    server.snapshotter.wait_log('Saving works again')
    server.wait_saved(alice)
    wait_until(server.snapshotter.healthy, 'the snapshotter is well again')


def test_full_disk(make_server, new_client, volume):
    server = make_server()
    alice, uuids = start_session(server, new_client, volume / 'data')
    before = server.saved_graph()
    with open(volume / 'somebody elses', 'wb') as filler:
        try:
            while True:
                filler.write(bytes(65536))
                filler.flush()
        except OSError:
            pass
    alice.edit(uuids[0], {'while the disk is full': True})
    expect_trouble(server, 'free some space')
    assert values.differences(before, server.saved_graph()) == '', 'the last save stays'
    alice.edit(uuids[1], {'and': 'after'})
    (volume / 'somebody elses').unlink()
    expect_recovery(server, alice)
    alice.leave()
    server.stop()


def mount_again(volume, mount_point, *options):
    """Files that are open stay open on the mount that was, as when a disk turns read-only by
    itself: `mount -o remount,ro` alone would refuse because of them."""
    run('umount', '-l', mount_point)
    run('mount', '--bind', volume / 'disk', mount_point)
    if options:
        run('mount', '-o', 'remount,bind,' + ','.join(options), mount_point)


@pytest.fixture
def mounted_directory(volume, tmp_path):
    """A data directory that is a mount point itself, as in a container."""
    mount_point = tmp_path / 'mounted here'
    mount_point.mkdir()
    (volume / 'disk').mkdir()
    run('mount', '--bind', volume / 'disk', mount_point)
    yield mount_point
    subprocess.run(['umount', '-l', mount_point], check=False)


def test_read_only(make_server, new_client, volume, mounted_directory):
    server = make_server()
    alice, uuids = start_session(server, new_client, mounted_directory)
    before = server.saved_graph()
    mount_again(volume, mounted_directory, 'ro')
    alice.edit(uuids[0], {'while the disk is read-only': True})
    expect_trouble(server, 'mount it writable again')
    assert values.differences(before, server.saved_graph()) == ''
    mount_again(volume, mounted_directory)
    expect_recovery(server, alice)
    server.cleanup()


def test_unmounted_volume(make_server, new_client, volume, mounted_directory):
    """Nothing is written below the mount point, where it would be hidden later."""
    server = make_server()
    alice, uuids = start_session(server, new_client, mounted_directory)
    run('umount', '-l', mounted_directory)
    alice.edit(uuids[0], {'while it is not mounted': True})
    expect_trouble(server, 'mount it again')
    assert list(mounted_directory.iterdir()) == []
    run('mount', '--bind', volume / 'disk', mounted_directory)
    expect_recovery(server, alice)
    server.cleanup()


def test_removed_directory(make_server, new_client, tmp_path):
    server = make_server()
    alice, uuids = start_session(server, new_client, tmp_path / 'data')
    # In one step, or a save may put something into it meanwhile.
    server.data.rename(tmp_path / 'removed')
    shutil.rmtree(tmp_path / 'removed')
    alice.edit(uuids[0], {'while there is no directory': True})
    expect_trouble(server, 'make the directory again')
    assert not server.data.exists(), 'it is not made behind the back of whoever removed it'
    server.data.mkdir()
    expect_recovery(server, alice)

    # It is locked again, and found at the next start.
    other = Service('holdfast-snapshotter', server.directory, server.settings, None,
                    name='second-snapshotter')
    other.start()
    other.wait_exit(3)
    expected = alice.graph()
    alice.leave()
    server.restart()
    alice.join(server.port)
    assert values.differences(expected, alice.graph()) == ''


def test_directory_removed_while_a_client_edits(make_server, new_client, tmp_path):
    """What is written on into removed files is not called durable. When the directory is back, one
    save later the history is whole again: it alone holds the last edits."""
    server = make_server()
    alice, _ = start_session(server, new_client, tmp_path / 'data', save_interval=3600)
    alice.call('program', seed=1, operations=10**9)

    def seq_of(what):
        return server.broker.health()[what]['seq']

    def wait_past(what, seq):
        wait_until(lambda: seq_of(what) > seq, lambda: f'{what} goes past {seq}: {server.broker.health()}')

    wait_past('durable', seq_of('position'))
    while server.data.exists():
        shutil.rmtree(server.data, ignore_errors=True)
    wait_until(lambda: not server.snapshotter.healthy(), 'the snapshotter is not well')
    wait_past('position', seq_of('position') + 50)  # the broker's page is of a time after that
    durable = seq_of('durable')
    wait_past('position', seq_of('position') + 50)
    assert seq_of('durable') == durable
    assert not server.data.exists(), 'it is not made behind the back of whoever removed it'
    assert server.serving(), 'the session goes on'
    server.snapshotter.wait_log('The history was removed from the disk')
    server.broker.wait_log('are on no disk yet')
    wait_until(lambda: server.broker.health()['durable_age_ms'] >= 5000, 'its health says so')
    assert server.broker.metrics()['holdfast_durable_age_seconds'] >= 5

    server.data.mkdir()
    server.snapshotter.wait_log('Saving works again')
    server.broker.wait_log('Changes reach the disk again')
    wait_until(server.snapshotter.healthy, 'the snapshotter is well again')
    wait_past('durable', seq_of('position'))
    alice.call('program', seed=1, operations=0)
    visitor = new_client('visitor')
    visitor.join(server.port)
    expected = visitor.wait_equal(alice)  # so the broker has her last edit
    alice.leave()
    server.wait_durable(['visitor'])
    server.snapshotter.kill9()
    server.broker.kill9()
    server.start()
    visitor.wait_exit()  # the new broker tells it to
    alice.join(server.port)
    assert values.differences(values.nobodys(expected), values.nobodys(alice.graph())) == ''


def test_lost_permission(make_server, new_client, tmp_path):
    server = make_server()
    if os.geteuid() == 0:
        if shutil.which('setpriv') is None:
            pytest.skip('nothing is forbidden to root, and there is no setpriv')
        # Root without what lets it pass over permissions.
        rights = '-dac_override,-dac_read_search'
        server.snapshotter.arguments[:0] = ['setpriv', '--bounding-set=' + rights, '--inh-caps=' + rights]
    alice, uuids = start_session(server, new_client, tmp_path / 'data')
    server.data.chmod(0o500)
    try:
        alice.edit(uuids[0], {'while it is forbidden': True})
        expect_trouble(server, 'the right to write')
    finally:
        server.data.chmod(0o700)
    expect_recovery(server, alice)

    server.data.chmod(0o500)
    try:
        alice.edit(uuids[0], {'while it is forbidden': 'again'})
        server.snapshotter.terminate()
        server.snapshotter.wait_exit(4)
    finally:
        server.data.chmod(0o700)
    assert 'Stopped without being able to save' in server.snapshotter.text()
