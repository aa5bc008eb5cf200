"""The processes of a test: broker, snapshotter, the Python server, and real clients.

Everything waits for events with a generous deadline; nothing sleeps for a fixed time. Each test
has its own directory and its own block of eight ports. What a process printed is kept in a file
and shown when the test fails.
"""

import http.client
import json
import os
import pathlib
import queue
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest

import raw
import values

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
DEADLINE = 60.0  # seconds for anything that must happen; only a failure ever takes so long


class Timeout(AssertionError):
    pass


def wait_until(predicate, what, deadline=DEADLINE, interval=0.02):
    """The first true value of predicate(); fails with `what` (a text, or what makes one)."""
    end = time.monotonic() + deadline
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > end:
            raise Timeout('not within %g s: %s' % (deadline, what() if callable(what) else what))
        time.sleep(interval)


def python_of(version):
    """The interpreter that has this version of the client library."""
    if version.package == '0.9.10':
        return sys.executable
    return ROOT / 'build' / f'venv-{version.package}' / 'bin' / 'python'


def require(version):
    if not pathlib.Path(python_of(version)).exists():
        pytest.skip(f'build/venv-{version.package} is not there: scripts/test makes it')


def free_port_block():
    """The first of eight ports in a row that nobody uses, below the range from which the system
    hands out ports by itself. Tests that run side by side choose among different ones."""
    workers = int(os.environ.get('PYTEST_XDIST_WORKER_COUNT', 1))
    worker = int(os.environ.get('PYTEST_XDIST_WORKER', 'gw0').removeprefix('gw'))
    while True:
        first = random.randrange(10000 + 8 * worker, 32000, 8 * workers)
        sockets = []
        try:
            for port in range(first, first + 8):
                sockets.append(socket.socket())
                sockets[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sockets[-1].bind(('127.0.0.1', port))
            return first
        except OSError:
            continue
        finally:
            for one in sockets:
                one.close()


def find_binary(name):
    """HOLDFAST_BUILD names the build directory; else what was built last counts."""
    given = os.environ.get('HOLDFAST_BUILD')
    builds = [ROOT / given] if given else [ROOT / 'build' / 'dev', ROOT / 'build' / 'release']
    room = name.removeprefix('holdfast-')
    found = [path for build in builds for path in (build / room / name, build / name)
             if path.is_file()]
    if not found:
        raise FileNotFoundError(f'{name} is not in {", ".join(map(str, builds))}: build first, '
                                'or set HOLDFAST_BUILD')
    return max(found, key=lambda path: path.stat().st_mtime)


class Process:
    """A program with its output in a file."""

    def __init__(self, name, arguments, directory, environment=None, stdin=subprocess.DEVNULL):
        self.name = name
        self.directory = pathlib.Path(directory)
        self.log = self.directory / f'{name}.out'
        self.arguments = [str(argument) for argument in arguments]
        self.environment = dict(environment or {})
        self.stdin = stdin
        self.process = None

    def start(self):
        assert self.process is None or self.process.poll() is not None
        clean = {key: value for key, value in os.environ.items()
                 if key in ('PATH', 'HOME', 'LANG', 'ASAN_OPTIONS', 'UBSAN_OPTIONS')}
        with open(self.log, 'ab') as output:
            self.process = subprocess.Popen(
                self.arguments, cwd=self.directory, env={**clean, **self.environment},
                stdin=self.stdin, stdout=output, stderr=subprocess.STDOUT)
        return self

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def text(self):
        return self.log.read_text(errors='replace') if self.log.exists() else ''

    def mark(self):
        """A place in the log: what wait_log finds comes after it."""
        return len(self.text())

    def wait_log(self, phrase, since=0, deadline=DEADLINE):
        def seen():
            if phrase in self.text()[since:]:
                return True
            assert self.alive() or phrase in self.text()[since:], \
                f'{self.name} ended before it logged "{phrase}"'
            return False
        wait_until(seen, f'{self.name} logs "{phrase}"', deadline)

    def kill9(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(DEADLINE)

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def wait_exit(self, code=0, deadline=DEADLINE):
        try:
            got = self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise Timeout(f'{self.name} did not end within {deadline:g} s') from None
        assert got == code, f'{self.name} ended with {got}, expected {code}'

    def resident_bytes(self):
        status = pathlib.Path(f'/proc/{self.pid}/status').read_text()
        line = next(line for line in status.splitlines() if line.startswith('VmRSS:'))
        return int(line.split()[1]) * 1024

    def cleanup(self):
        if self.alive():
            self.process.kill()
            self.process.wait(DEADLINE)


class Service(Process):
    """One of our two programs, with its settings as environment variables."""

    def __init__(self, program, directory, settings, health_port, name=None):
        super().__init__(name or program.removeprefix('holdfast-'), [find_binary(program)],
                         directory, {key: str(value) for key, value in settings.items()})
        self.health_port = health_port

    def ask_health(self):
        """HTTP status and JSON of GET /health; (None, None) while nobody answers."""
        url = f'http://127.0.0.1:{self.health_port}/health'
        try:
            try:
                answer = urllib.request.urlopen(url, timeout=5)
            except urllib.error.HTTPError as error:
                answer = error
            with answer:
                return answer.status, json.loads(answer.read())
        except (OSError, ValueError, http.client.HTTPException):  # also: killed while it answered
            return None, None

    def health(self):
        return self.ask_health()[1]

    def metrics(self):
        """GET /metrics: name, with its label if it has one, -> number."""
        url = f'http://127.0.0.1:{self.health_port}/metrics'
        with urllib.request.urlopen(url, timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        pairs = (line.rsplit(' ', 1) for line in lines if not line.startswith('#'))
        return {name: float(value) for name, value in pairs}

    def healthy(self):
        """200 is well, 503 is not."""
        return self.ask_health()[0] == 200


class Holdfast:
    """Broker and snapshotter of one test."""

    reference = False

    def __init__(self, directory, version, **settings):
        self.directory = pathlib.Path(directory)
        self.data = self.directory / 'data'
        self.version = version
        self.first_port = free_port_block()
        self.port = self.port_of(version)
        self.settings = {'PORT': self.first_port, 'DATA_DIR': self.data, 'SAVE_INTERVAL': 3600,
                         'ADMIN_PASSWORD': 'secret admin', 'LOG_LEVEL': 'debug', **settings}
        self.broker = Service('holdfast-broker', directory, self.settings, self.first_port + 6)
        self.snapshotter = Service('holdfast-snapshotter', directory, self.settings, self.first_port + 7)

    def port_of(self, version):
        """What clients of this version connect to."""
        return self.first_port + (5 if version.generation == 'framed' else 0)

    def peer(self, **arguments):
        """Speaks the protocol by hand, as clients of the test's version."""
        return raw.peer(self.version, self.port, **arguments)

    def set(self, **settings):
        """New settings, for the next start."""
        for service in (self.broker, self.snapshotter):
            service.environment.update({key: str(value) for key, value in settings.items()})

    def start(self):
        self.snapshotter.start()
        self.broker.start()
        self.wait_serving()
        return self

    def wait_serving(self):
        """Until the broker lets users in: it has found its snapshotter and what that holds."""
        wait_until(self.serving, lambda: f'the broker serves; health: {self.broker.health()}')

    def serving(self):
        assert self.broker.alive(), 'the broker ended'
        return self.broker.healthy()

    def stop(self):
        """Both at once, as an orchestrator or Ctrl-C does it."""
        self.broker.terminate()
        self.snapshotter.terminate()
        self.broker.wait_exit(0)
        self.snapshotter.wait_exit(0)

    def restart(self):
        self.stop()
        self.start()

    def wait_log(self, phrase):
        """Until one of the two has logged the phrase."""
        wait_until(lambda: phrase in self.broker.text() + self.snapshotter.text(),
                   f'"{phrase}" is logged')

    # What is on disk

    @property
    def snapshot(self):
        return self.data / 'session_snapshot.db'

    def metadata(self):
        path = self.data / 'session_metadata.json'
        return json.loads(path.read_text()) if path.exists() else {}

    def backups(self):
        return sorted((self.data / 'backups').glob('snapshot_*.db'))

    def saved_graph(self, path=None):
        """The saved session, opened with the real library, as canonical text."""
        from replication.repository import Repository
        repository = Repository(username='reader')
        repository.loads(path or self.snapshot)
        return values.canonical_graph(repository.graph)

    def wait_durable(self, joined):
        """Until everything is durable; the health page that says so. The page is a moment old: it
        counts once it names just those users who have joined, of whom the last one to come or go
        took a position too."""
        def page():
            health = self.broker.health()
            there = [user['name'] for user in health['users'] if user['joined']]
            return health if there == joined and health['durable'] == health['position'] else None
        return wait_until(page, lambda: f'everything is durable: {self.broker.health()}', interval=0.3)

    def wait_saved(self, expected):
        """Until the file on disk holds the graph `expected`, or a client's."""
        wait_saved(expected, lambda: self.saved_graph() if self.snapshot.exists() else None)

    def cleanup(self):
        self.broker.cleanup()
        self.snapshotter.cleanup()

    def logs(self):
        return [self.broker.log, self.snapshotter.log]


class PythonServer:
    """The library's own server, to show that the tests see what real clients and a real server do,
    and to measure beside."""

    reference = True

    def __init__(self, directory, version, **settings):
        self.directory = pathlib.Path(directory)
        self.version = version
        self.port = free_port_block()
        arguments = [python_of(version), '-m', 'replication.server', '-p', self.port,
                     '-t', settings.get('TIMEOUT', 10000),
                     '-apwd', settings.get('ADMIN_PASSWORD', 'secret admin')]
        if 'SERVER_PASSWORD' in settings:
            arguments += ['-spwd', settings['SERVER_PASSWORD']]
        # Its shell ends at the end of input, so stdin stays open.
        self.broker = Process('python-server', arguments, directory, stdin=subprocess.PIPE)

    def start(self):
        self.broker.start()
        self.wait_serving()
        return self

    def wait_serving(self):
        self.broker.wait_log(f'Listening on {self.port}.')

    def cleanup(self):
        self.broker.cleanup()

    def logs(self):
        return [self.broker.log]


class ClientDied(AssertionError):
    pass


class Client:
    """A real client in a process of its own: see client.py."""

    def __init__(self, name, directory, python=sys.executable, tick=0.01):
        self.name = name
        self.log = pathlib.Path(directory) / f'client-{name}-{random.randrange(10**6):06}.log'
        with open(self.log, 'wb') as errors:
            # A session of its own, so that its heartbeat process can be found at the end.
            self.process = subprocess.Popen(
                [str(python), '-u', str(HERE / 'client.py'), '--name', name, '--tick', str(tick)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                start_new_session=True)
        self.number = 0
        self.messages = queue.Queue()
        self.expected_dead = False
        threading.Thread(target=self.read, daemon=True).start()
        self.receive(0)

    def read(self):
        for line in self.process.stdout:
            self.messages.put(json.loads(line))

    def receive(self, number, deadline=DEADLINE):
        end = time.monotonic() + deadline
        while True:
            try:
                message = self.messages.get(timeout=0.2)
            except queue.Empty:
                if self.process.poll() is not None and self.messages.empty():
                    raise ClientDied(f'client {self.name} ended with {self.process.returncode}:\n'
                                     + self.tail()) from None
                if time.monotonic() > end:
                    raise Timeout(f'client {self.name} did not answer:\n' + self.tail()) from None
                continue
            if 'crashed' in message:
                self.expected_dead = True
                raise ClientDied(f'client {self.name}: the library raised inside its timer:\n'
                                 + message['crashed'])
            if message['id'] == number:
                if 'error' in message:
                    raise AssertionError(f'client {self.name}:\n' + message['error'])
                return message['result']

    def call(self, command, **arguments):
        self.number += 1
        request = {'id': self.number, 'command': command, **arguments}
        try:
            self.process.stdin.write(json.dumps(request).encode() + b'\n')
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # receive() says how it ended
        return self.receive(self.number)

    def tail(self):
        return '\n'.join(self.log.read_text(errors='replace').splitlines()[-30:])

    # Conversations

    def status(self):
        return self.call('status')

    def state(self):
        return self.status()['state']

    def wait_status(self, predicate, what, deadline=DEADLINE):
        last = {}

        def check():
            last.update(self.status())
            return dict(last) if predicate(last) else None
        return wait_until(check, lambda: f'client {self.name} {what}; it says {last}', deadline)

    def wait_state(self, state, deadline=DEADLINE):
        def reached(status):
            assert state == 'INITIAL' or not status['exits'], \
                f'client {self.name} left the session: {status["exits"]}'
            return status['state'] == state
        return self.wait_status(reached, f'is {state}', deadline)

    def connect(self, port, **arguments):
        self.call('connect', port=port, **arguments)

    def lobby(self, port, **arguments):
        """Connects, and waits for the answer of a server that has no session yet."""
        self.connect(port, **arguments)
        self.wait_state('LOBBY')

    def join(self, port, **arguments):
        """Connects and joins a running session, without Init."""
        self.connect(port, **arguments)
        self.wait_state('ACTIVE')

    def refused(self, port, **arguments):
        """Connects, and returns the reason for which the server did not let it in."""
        self.connect(port, **arguments)
        return self.wait_exit()

    def wait_exit(self):
        """Until the client has left the session; returns why."""
        return self.wait_status(lambda status: status['exits'], 'leaves the session')['exits'][0]

    def host(self, port, contents, **arguments):
        """Connects to a server without a session and initialises one; returns the uuids."""
        self.lobby(port, **arguments)
        uuids = [self.stage(content) for content in contents]
        self.call('init')
        self.wait_state('ACTIVE')
        return uuids

    def stage(self, content, links=()):
        return self.call('stage', content=values.encode(content), links=list(links))

    def add(self, content, links=(), owner=None):
        return self.call('add', content=values.encode(content), links=list(links), owner=owner)

    def edit(self, uuid, content, **arguments):
        self.call('edit', uuid=uuid, content=values.encode(content), **arguments)

    def content(self, uuid):
        return values.decode(self.call('content', uuid=uuid))

    def delete(self, uuid):
        self.call('delete', uuid=uuid)

    def lock(self, uuids):
        self.call('lock', uuids=uuids)

    def unlock(self, uuids):
        self.call('unlock', uuids=uuids)

    def set_metadata(self, fields):
        self.call('metadata', fields=values.encode(fields))

    def identity(self):
        """The bytes by which the server knows its connections."""
        return bytes.fromhex(self.call('identity'))

    def users(self):
        return values.decode(self.call('users'))

    def graph(self):
        return self.call('graph')

    def wait_graph(self, predicate, what):
        last = {}

        def check():
            last['graph'] = self.graph()
            return predicate(last['graph'])
        wait_until(check, f'client {self.name}: {what}')
        return last['graph']

    def wait_equal(self, other, ready=lambda: True):
        """Until this client is ready() and its graph equals another client's, or a graph."""
        state = {}

        def equal():
            is_ready = ready()
            state['graph'] = self.graph()
            state['difference'] = values.differences(graph_of(other), state['graph'])
            return is_ready and state['difference'] == ''
        wait_until(equal, lambda: f'{self.name} equals the other graph (left):\n'
                   + state['difference'])
        return state['graph']

    def leave(self):
        """Closes its sockets, as the addon does: there is no goodbye message."""
        self.call('disconnect')

    def kill9(self):
        """The process only: its heartbeat process lives on, as after a crash of Blender."""
        self.expected_dead = True
        self.process.kill()
        self.process.wait(DEADLINE)

    def cleanup(self):
        """Ends it and its heartbeat process; says whether it had crashed without anybody asking."""
        crashed = self.process.poll() not in (None, 0) and not self.expected_dead
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(DEADLINE)
        return crashed


def graph_of(other):
    """What a client's graph is now; a graph is itself."""
    return other.graph() if isinstance(other, Client) else other


def wait_saved(expected, read, deadline=DEADLINE, interval=0.1):
    """Until read() gives the graph `expected`, or a client's (which may still have a delete under
    way). It gives None as long as there is no file."""
    state = {}

    def equal():
        saved = read()
        state['difference'] = 'no file' if saved is None else \
            values.differences(graph_of(expected), saved)
        return state['difference'] == ''
    wait_until(equal, lambda: 'the save (right) equals the graph:\n' + state['difference'],
               deadline, interval)


class Proxy:
    """A network that can be cut: forwards a client's connections to the server."""

    def __init__(self, server):
        self.target = server.port
        self.ports = 1 if server.version.generation == 'framed' else 3
        self.port = free_port_block()
        self.lock = threading.Lock()
        self.listeners = []
        self.pairs = []
        self.half_closed = set()
        self.flowing = threading.Event()
        self.flowing.set()
        self.open = True
        self.restore()

    def restore(self):
        """The network is back."""
        self.flowing.set()
        if self.listeners:
            return
        for offset in range(self.ports):
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            wait_until(lambda: self.try_bind(listener, self.port + offset), 'the proxy can listen')
            listener.listen(16)
            self.listeners.append(listener)
            threading.Thread(target=self.accept, args=(listener, self.target + offset),
                             daemon=True).start()

    @staticmethod
    def try_bind(listener, port):
        try:
            listener.bind(('127.0.0.1', port))
            return True
        except OSError:
            return False

    def accept(self, listener, port):
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(('127.0.0.1', port))
            except OSError:
                near.close()
                continue
            with self.lock:
                self.pairs.append((near, far))
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self.pump, args=(source, sink), daemon=True).start()

    def pump(self, source, sink):
        try:
            while data := source.recv(65536):
                self.flowing.wait()
                sink.sendall(data)
        except OSError:
            if sink in self.half_closed:
                return  # what the client has still to say is on its way
        for one in (source, sink):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def reset(self, rng):
        """Ends some of the connections, which may be made again at once. What the client had sent
        arrives; what is on the way to it does not."""
        with self.lock:
            chosen = [pair for pair in self.pairs if rng.random() < 0.6]
            self.pairs = [pair for pair in self.pairs if pair not in chosen]
        for near, _ in chosen:
            self.half_closed.add(near)
            try:
                near.shutdown(socket.SHUT_WR)
            except OSError:
                pass

    def cut(self):
        """Closes every connection and refuses new ones."""
        for listener in self.listeners:
            # A thread blocked in accept() keeps a closed socket listening; shutdown wakes it.
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.listeners.clear()
        with self.lock:
            pairs, self.pairs = self.pairs, []
        for pair in pairs:
            for one in pair:
                try:
                    one.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def stall(self):
        """Connections stay, nothing passes."""
        self.flowing.clear()

    def cleanup(self):
        self.flowing.set()
        self.cut()
