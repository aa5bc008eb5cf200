"""The client ports under real ZeroMQ DEALERs of several versions (pyzmq wheels bring their own
libzmq): what broker/zmtp, connection and listener do, without a session behind them."""

import fcntl
import os
import pathlib
import random
import socket
import subprocess
import sys
import threading

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get('HOLDFAST_BUILD', 'build/dev')
CLIENT = pathlib.Path(__file__).with_name('zmtp_client.py')
# The oldest with a wheel for Python 3.11, those that addons shipped, and whatever is newest.
VERSIONS = ['23.2.1', '25.0.2', '25.1.2', '26.2.1', 'newest']


def no_wheel(pip):
    """Other versions have a wheel for this Python: it is not that the network is away."""
    return 'No matching distribution found' in pip.stderr and '(from versions: none)' not in pip.stderr


@pytest.fixture(scope='session', params=VERSIONS)
def pyzmq(request):
    """The folder of an installed pyzmq, and its version."""
    version = request.param
    wanted = 'pyzmq' if version == 'newest' else f'pyzmq=={version}'
    python = f'{sys.version_info.major}.{sys.version_info.minor}'
    folder = ROOT / 'build' / 'pyzmq' / python / version
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_name(version + '.lock'), 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the tests' processes would install over each other
        if not (folder / '.complete').exists():
            pip = subprocess.run(
                [sys.executable, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check',
                 '--no-deps', '--only-binary', ':all:', '--upgrade', '--target', folder, wanted],
                capture_output=True, text=True)
            if no_wheel(pip):
                pytest.skip(f'no wheel of {wanted} for Python {python}')
            assert pip.returncode == 0, pip.stderr
            (folder / '.complete').touch()
    return folder, version


class Echo:
    def __init__(self):
        program = BUILD / 'tests' / 'zmtp_echo'
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        self.port = int(self.process.stdout.readline().removeprefix('port '))

    def finish(self):
        """What it printed; a sanitizer's complaint or a crash fails the test."""
        lines, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == 0
        return lines.splitlines()


@pytest.fixture
def server():
    server = Echo()
    yield server
    if server.process.poll() is None:
        server.finish()


def run_client(pyzmq, scenario, port):
    folder, version = pyzmq
    client = subprocess.run([sys.executable, CLIENT, version, scenario, str(port)],
                            env=dict(os.environ, PYTHONPATH=str(folder)), timeout=120,
                            capture_output=True, text=True)
    assert client.returncode == 0 and client.stdout.endswith('good\n'), client.stdout + client.stderr


@pytest.mark.parametrize('scenario', ['mixed', 'same_identity', 'reconnect', 'no_identity',
                                      'slow_reader'])
def test_messages(pyzmq, server, scenario):
    run_client(pyzmq, scenario, server.port)


def test_heartbeats_keep_an_idle_client(pyzmq, server):
    run_client(pyzmq, 'heartbeats', server.port)
    lines = server.finish()
    assert sum(line.startswith('opened') for line in lines) == 1
    assert not any('silent' in line for line in lines), lines


def test_strangers_are_refused_by_name(pyzmq, server):
    run_client(pyzmq, 'refused', server.port)
    lines = server.finish()
    assert not any(line.startswith('opened') for line in lines), lines
    for what in ("type 'REQ'", "type 'SUB'", "type 'PUSH'", "type 'ROUTER'",
                 "mechanism 'PLAIN'", "mechanism 'CURVE'"):
        assert any(line.startswith('refused') and what in line for line in lines), (what, lines)


class Dribble:
    """A proxy that passes on a few bytes at a time, in both directions."""

    def __init__(self, port):
        self.target = port
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(('127.0.0.1', self.target))
            for seed, (source, sink) in enumerate([(client, server), (server, client)]):
                sink.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self.pump, args=(source, sink, seed), daemon=True).start()

    def pump(self, source, sink, seed):
        pick = random.Random(seed)
        try:
            while data := source.recv(pick.randint(1, 40)):
                while data:
                    size = pick.randint(1, 7)
                    sink.sendall(data[:size])
                    data = data[size:]
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the other side is gone

    def close(self):
        self.listener.close()


def test_fragmented_delivery(pyzmq, server):
    proxy = Dribble(server.port)
    try:
        run_client(pyzmq, 'dribble', proxy.port)
    finally:
        proxy.close()
