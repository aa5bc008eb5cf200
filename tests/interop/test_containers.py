"""Both containers by compose, with real clients through published ports on 127.0.0.1.

Skipped in one line where there is no Docker engine. The image is built as holdfast:test and stays,
so that the next run builds only what changed; containers and volumes do not stay.
"""

import datetime
import json
import os
import random
import shutil
import signal
import subprocess

import pytest

import base_image
import values
from conftest import EVERYTHING
from processes import ROOT, free_port_block, require, wait_saved, wait_until
from test_session import MIXED, edit_everything

BUILD_DEADLINE = 3600  # packages and a release build, on a small machine


def find_compose():
    for command in (['docker', 'compose'], ['docker-compose']):
        if shutil.which(command[0]) and subprocess.run(
                [*command, 'version'], capture_output=True, stdin=subprocess.DEVNULL).returncode == 0:
            return command
    return None


def why_no_containers():
    if not shutil.which('docker'):
        return 'no Docker on this machine'
    engine = subprocess.run(['docker', 'info'], capture_output=True, stdin=subprocess.DEVNULL)
    if engine.returncode != 0 or b'ERROR:' in engine.stdout + engine.stderr:
        return 'no Docker engine that answers'
    if find_compose() is None:
        return 'no docker compose and no docker-compose'
    return None


class Containers:
    """One project of compose.yaml, with ports and a volume of its own."""

    def __init__(self, directory, **settings):
        self.directory = directory
        self.command = find_compose()
        self.port = free_port_block()
        self.framed_port = self.port + 5
        self.environment = {
            **{key: value for key, value in os.environ.items()
               if key in ('PATH', 'HOME') or key.startswith('DOCKER_')},
            'COMPOSE_PROJECT_NAME': f'holdfast-test-{random.randrange(10**8):08}',
            'HOLDFAST_TAG': 'test',
            'BIND': '127.0.0.1',
            'PORT': str(self.port),
            'PORT_DATA': str(self.port + 1),
            'PORT_HEARTBEAT': str(self.port + 2),
            'FRAMED_PORT': str(self.framed_port),
            'ADMIN_PASSWORD': 'secret admin',
            **{key: str(value) for key, value in settings.items()},
        }

    def compose(self, *arguments, deadline=300):
        # An empty --env-file: what a developer has in .env is not for this test.
        empty = self.directory / 'empty.env'
        empty.touch()
        done = subprocess.run(
            [*self.command, '--env-file', str(empty), '-f', str(ROOT / 'compose.yaml'), *arguments],
            cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=deadline)
        assert done.returncode == 0, f'compose {arguments[0]}:\n{done.stdout[-4000:]}'
        return done.stdout

    def docker(self, *arguments):
        done = subprocess.run(['docker', *arguments], env=self.environment,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f'docker {arguments[0]}: {done.stderr}'
        return done.stdout

    def container(self, service):
        return self.compose('ps', '-a', '-q', service).split()[0]

    def state(self, service):
        return json.loads(self.docker('inspect', self.container(service)))[0]['State']

    def log(self, service):
        done = subprocess.run(['docker', 'logs', self.container(service)], env=self.environment,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors='replace', timeout=120)
        return done.stdout

    def up(self, *options):
        self.compose('up', *options, '-d', deadline=BUILD_DEADLINE)
        self.wait_healthy()

    def wait_healthy(self):
        for service in ('snapshotter', 'broker'):
            wait_until(lambda: self.state(service).get('Health', {}).get('Status') == 'healthy',
                       lambda: f'{service} is healthy; it is {self.state(service)}',
                       deadline=120, interval=0.5)

    def saved_graph(self):
        """The save in the volume, opened with the real library; None as long as there is none."""
        from replication.repository import Repository
        path = self.directory / 'session_snapshot.db'
        copied = subprocess.run(
            ['docker', 'cp', self.container('snapshotter') + ':/data/session_snapshot.db', str(path)],
            env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
        if copied.returncode != 0:
            return None
        repository = Repository(username='reader')
        repository.loads(path)
        return values.canonical_graph(repository.graph)

    def wait_saved(self, expected):
        wait_saved(expected, self.saved_graph, deadline=120, interval=0.5)

    def show(self):
        """For the report of a failure."""
        for service in ('broker', 'snapshotter'):
            print(f'---- {service}\n' + '\n'.join(self.log(service).splitlines()[-60:]))

    def cleanup(self):
        self.compose('down', '--volumes', '--timeout', '5')


@pytest.fixture
def containers(tmp_path, request):
    reason = why_no_containers()
    if reason:
        pytest.skip(reason)
    try:
        base_image.ensure()
        network = base_image.build_network()
    except base_image.Unavailable as error:
        pytest.skip(str(error))
    made = Containers(tmp_path, SAVE_INTERVAL=2, BUILD_NETWORK=network)
    try:
        yield made
        if getattr(request.node, 'report_call', None) and request.node.report_call.failed:
            made.show()
    finally:
        made.cleanup()


def finished(state):
    text = state['FinishedAt']
    return datetime.datetime.fromisoformat(text.split('.')[0].rstrip('Z')), text


def test_everybody_leaves_and_the_containers_restart(containers, new_client_of):
    """And the next to come have the other generation of the client."""
    old, new = EVERYTHING
    for version in EVERYTHING:
        require(version)
    containers.up('--build')

    # What the image promises.
    for service in ('broker', 'snapshotter'):
        identity = containers.docker('exec', containers.container(service), 'id', '-u')
        assert identity.strip() == '10001', f'{service} does not run as its own user'

    alice = new_client_of(old, 'alice')
    uuids = alice.host(containers.port, MIXED)
    alice.add({'links': 'to three'}, links=uuids[10:13])
    edit_everything(alice, uuids, seed=1)
    expected = alice.graph()
    assert len(expected) >= 50
    containers.wait_saved(expected)

    # The snapshotter alone is killed: the client notices nothing, the mirror is equal again.
    before = containers.state('snapshotter')['Pid']
    if os.geteuid() == 0:
        os.kill(before, signal.SIGKILL)  # as a crash: its restart policy brings it back
    else:
        containers.docker('kill', '--signal', 'KILL', containers.container('snapshotter'))
        containers.compose('up', '-d')
    edit_everything(alice, uuids, seed=2)
    wait_until(lambda: containers.state('snapshotter')['Running']
               and containers.state('snapshotter')['Pid'] not in (0, before),
               'the snapshotter runs again', deadline=120)
    containers.wait_healthy()
    expected = alice.graph()
    containers.wait_saved(expected)
    assert alice.state() == 'ACTIVE' and not alice.status()['exits']
    alice.leave()
    wait_until(lambda: 'User disconnected: alice' in containers.log('snapshotter'),
               'the snapshotter logs that alice left', interval=0.5)

    # Compose stops the broker first; both end by themselves and in order.
    containers.compose('stop')
    broker, snapshotter = containers.state('broker'), containers.state('snapshotter')
    assert (broker['ExitCode'], snapshotter['ExitCode']) == (0, 0)
    assert finished(broker) <= finished(snapshotter), 'the broker is stopped first'

    # New containers on the same volume.
    containers.compose('down')
    containers.up()
    assert 'Session restored' in containers.log('broker')
    bob, carol = new_client_of(new, 'bob'), new_client_of(new, 'carol')
    bob.join(containers.framed_port)
    assert values.differences(expected, bob.graph()) == ''
    edit_everything(bob, uuids[:12], seed=9)
    carol.join(containers.framed_port)
    carol.wait_equal(bob)
    expected = bob.graph()
    bob.leave()
    carol.leave()
    wait_until(lambda: 'User disconnected: carol' in containers.log('broker'),
               'the broker logs that carol left', interval=0.5)
    alice.join(containers.port)
    assert values.differences(expected, alice.graph()) == ''
