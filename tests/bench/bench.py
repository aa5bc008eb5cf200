"""The broker beside the library's own server and beside a bare ZeroMQ relay, in one run.

A report, not a test. Needs the virtual environment of tests/interop and a release build:

    meson setup build/bench --buildtype=release -Dwerror=false -Dtests=true
    ninja -C build/bench holdfast-broker holdfast-snapshotter tests/bench/relay_load \
          tests/bench/bare_relay
    build/venv/bin/python tests/bench/bench.py

Method
- One machine, everything on 127.0.0.1; servers and load share its cores, which costs all subjects
  the same. Each measurement gets fresh processes; rounds alternate between the subjects, and the
  median of the rounds counts.
- The load is relay_load (C++, raw libzmq or plain TCP), so no Python is in the way; what it sends is
  pickled here beforehand, by the library itself. It logs in, initialises, joins and keeps its
  heartbeat as a client does, in the generation of its subject: replication 0.9.10 (ZeroMQ) or 0.10.3
  (framed TCP), each beside the Python server of its own version. Its commits are real deepdiff deltas
  of an existing node, of 1 KB, 64 KB and 1 MB, and every one changes the value: broker and Python server
  fold each of them into the node.
- Relay: one client sends; 1, 4, 7 and 16 others receive. Deliveries per second as fast as possible with
  at most 1,000 commits or 32 MiB that not every reader has yet, because a reader's queue in the Python
  server holds 1,000 messages and it loses the rest silently. Latency at a fixed rate, from before
  the send to after the receive, over all deliveries; one second of warm-up is left out in both.
- The broker runs with its snapshotter, which mirrors everything. The Python server saves nothing.
- Session of 10,000 nodes of about 2.5 KB (like a Blender object): upload, join of one client that
  asks node by node as the library does, resident memory when the uploader has left, a save, and
  the relay latency while saves follow each other without a pause.
"""

import argparse
import json
import pathlib
import random
import re
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import uuid

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / 'interop'))

import processes  # noqa: E402
import versions  # noqa: E402
from deepdiff import DeepDiff, Delta  # noqa: E402
from replication.objects import Auth, Commit, Node, ServerSnapshot, Snapshot  # noqa: E402

TIME_MARK = '@' * 16  # where relay_load writes the time
COMMIT_OVERHEAD = 174  # of a Commit, beside its text
# Size of a commit in bytes -> commits a second for latencies.
SIZES = {1 << 10: 500, 64 << 10: 100, 1 << 20: 5}
READERS = (1, 4, 7, 16)


def write_messages(path, messages):
    with open(path, 'wb') as file:
        for chunks in messages:
            file.write(struct.pack('<I', len(chunks)))
            for chunk in chunks:
                file.write(struct.pack('<I', len(chunk)))
                file.write(chunk)


def object_data(rng, name):
    """About what an object of a Blender scene weighs."""
    return {
        'type_id': 'Object', 'uuid': name, 'name': f'Object {rng.randrange(10**6)}',
        'location': [rng.uniform(-10, 10) for _ in range(3)],
        'rotation_quaternion': [1.0, 0.0, 0.0, 0.0], 'scale': [1.0, 1.0, 1.0],
        'matrix_world': [[rng.uniform(-1, 1) for _ in range(4)] for _ in range(4)],
        'bound_box': [[rng.uniform(-1, 1) for _ in range(3)] for _ in range(8)],
        'modifiers': [{'name': f'Modifier {i}', 'type': 'SUBSURF', 'levels': i, 'show_viewport': True,
                       'render_levels': 2, 'quality': 3} for i in range(3)],
        'material_slots': [{'index': i, 'link': 'DATA', 'material': str(uuid.UUID(int=rng.getrandbits(128)))}
                           for i in range(4)],
        'custom': {f'property {i}': rng.uniform(0, 1) for i in range(20)},
        'weights': [rng.uniform(0, 1) for _ in range(60)],
    }


class Session:
    """The messages of a session with `nodes` nodes, as files for relay_load."""

    def __init__(self, directory, nodes, commit_bytes=1 << 10):
        self.directory = pathlib.Path(directory)
        rng = random.Random(nodes)
        old = {'type_id': 'Text', 'uuid': 'the text', 'content': {'text': 'old', 'lines': 12}}
        new = {**old, 'content': {'text': TIME_MARK + 'x' * (commit_bytes - COMMIT_OVERHEAD), 'lines': 12}}
        data = {'the text': old}
        while len(data) < nodes:
            name = str(uuid.UUID(int=rng.getrandbits(128)))
            data[name] = object_data(rng, name)
        self.names = list(data)
        sets = [Node(owner='COMMON', uuid=name, data=value, dependencies=[]).as_raw_chunks()
                for name, value in data.items()]
        self.bytes = sum(len(chunks[4]) for chunks in sets)
        self.write('upload_init', [ServerSnapshot('server', {
            'STATE': 'INIT', 'SIZE': len(data), 'NODES': self.names})])
        self.write('upload_sets', [ServerSnapshot('server', {'STATE': 'SET', 'DATA': chunks})
                                   for chunks in sets])
        self.write('upload_end', [ServerSnapshot('server', {'STATE': 'END'})])
        commit = Commit()
        commit.node_id, commit.deps = 'the text', []
        commit.delta = Delta(DeepDiff(old, new, cache_size=5000))
        self.write('commit', [commit])
        self.commit_bytes = sum(map(len, commit.as_raw_chunks()))
        self.users = 0

    def write(self, name, objects):
        write_messages(self.directory / name, [item.as_raw_chunks() for item in objects])

    def new_users(self, count, version):
        """Names that nobody has had: a server may remember those who left."""
        for index in range(count):
            self.users += 1
            name = f'user {self.users}'
            self.write(f'login_{index}', [Auth(name, {
                'AUTH_TYPE': 'CLIENT', 'AUTH_ID': name, 'S_PWD': None, 'A_PWD': None,
                'VERSION': version.reports})])
            self.write(f'request_{index}', [Snapshot(name, {'STATE': 'REQUEST_INIT'})])
            self.write(f'gets_{index}', [Snapshot(name, {'STATE': 'GET', 'ID': node})
                                         for node in reversed(self.names)])
            self.write(f'done_{index}', [Snapshot(name, {'STATE': 'DONE'})])


class BareRelay:
    version = versions.VERSIONS[0]

    def __init__(self, directory):
        self.port = processes.free_port_block()
        self.broker = processes.Process('bare-relay', [tool('bare_relay'), self.port], directory)

    def start(self):
        self.broker.start()
        self.broker.wait_log('relaying')
        return self

    def cleanup(self):
        self.broker.cleanup()


OLD, NEW = (version for version in versions.VERSIONS if version.tested == 'everything')
HOLDFAST, PYTHON, BARE = 'Holdfast', 'Python server', 'bare relay'
HOLDFAST_FRAMED, PYTHON_FRAMED = 'Holdfast, framed', 'Python server, framed'
SUBJECTS = [HOLDFAST, PYTHON, BARE, HOLDFAST_FRAMED, PYTHON_FRAMED]


def tool(name):
    return OPTIONS.build / 'tests' / 'bench' / name


def start(subject, directory):
    version = NEW if subject in (HOLDFAST_FRAMED, PYTHON_FRAMED) else OLD
    if subject in (HOLDFAST, HOLDFAST_FRAMED):
        return processes.Holdfast(directory, version, LOG_LEVEL='info', TIMEOUT=10000).start()
    if subject in (PYTHON, PYTHON_FRAMED):
        return processes.PythonServer(directory, version, TIMEOUT=3000).start()
    return BareRelay(directory).start()


class Running:
    """A subject with fresh processes and a directory of its own."""

    def __init__(self, subject):
        self.subject = subject

    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory()
        self.server = start(self.subject, pathlib.Path(self.directory.name))
        return self

    def __exit__(self, *_):
        self.server.cleanup()
        self.directory.cleanup()

    def load(self, session, mode, *arguments):
        version = self.server.version
        session.new_users(arguments[0] if arguments else 1, version)
        command = [tool('relay_load'), f'{version.generation}:{self.server.port}', session.directory,
                   'bare' if self.subject == BARE and mode == 'relay' else mode, *arguments]
        done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, check=False)
        if done.returncode != 0:
            sys.exit(f'relay_load failed beside {self.subject}:\n'
                     + self.server.broker.text()[-3000:])
        return json.loads(done.stdout)

    def wait_gone(self, name):
        """The user who just left is not served any more."""
        if self.subject in (PYTHON, PYTHON_FRAMED):
            self.server.broker.wait_log(f'{name} disconnected from the server')
        else:
            self.server.broker.wait_log(f'User disconnected: {name}')


class Report:
    def __init__(self):
        self.rows = []
        self.values = {}

    def add(self, metric, subject, value):
        self.values.setdefault(metric, {}).setdefault(subject, []).append(value)
        print(f'  {subject}: {metric}: {value:,.4g}', file=sys.stderr, flush=True)

    def median(self, metric, subject):
        values = self.values.get(metric, {}).get(subject)
        return statistics.median(values) if values else None

    def text(self):
        ratios = [(HOLDFAST, PYTHON), (HOLDFAST, BARE), (HOLDFAST_FRAMED, PYTHON_FRAMED),
                  (HOLDFAST_FRAMED, BARE)]
        heads = SUBJECTS + [f'{one} : {other}' for one, other in ratios]
        lines = ['| | ' + ' | '.join(heads) + ' |', '|---' * (len(heads) + 1) + '|']
        for metric in self.values:
            median = {subject: self.median(metric, subject) for subject in SUBJECTS}
            cells = ['–' if value is None else f'{value:,.0f}' if value >= 100 else f'{value:.3g}'
                     for value in median.values()]
            for one, other in ratios:
                known = median[one] is not None and median[other]
                cells.append(f'{median[one] / median[other]:.2f}' if known else '–')
            lines.append(f'| {metric} | ' + ' | '.join(cells) + ' |')
        return '\n'.join(lines)


def measure_relay(report, session, subjects, size, rate):
    """Commits of `size` bytes; latencies at `rate` a second."""
    for readers in READERS:
        clients = readers + 1
        what = f'relay of {size >> 10:,} KB to {readers}'
        for _ in range(OPTIONS.rounds):
            for subject in subjects:
                with Running(subject) as running:
                    got = running.load(session, 'relay', clients, OPTIONS.seconds, 0)
                    report.add(f'{what}: deliveries/s', subject, got['deliveries_per_second'])
        for _ in range(OPTIONS.rounds):
            for subject in subjects:
                with Running(subject) as running:
                    got = running.load(session, 'relay', clients, OPTIONS.seconds, rate)
                    report.add(f'{what} at {rate}/s: p50 ms', subject, got['p50_ms'])
                    report.add(f'{what} at {rate}/s: p99 ms', subject, got['p99_ms'])
                    expected = got['sent'] * readers
                    if got['deliveries'] < 0.5 * expected:
                        print(f'  {subject} does not keep up: {got}', file=sys.stderr)


def resident(process):
    return process.resident_bytes() / 1e6


def measure_large(report, session, subjects):
    count = len(session.names)
    for subject in subjects:
        if subject == BARE:
            continue
        with Running(subject) as running:
            broker = running.server.broker
            before = resident(broker)
            got = running.load(session, 'host')
            report.add(f'upload of {count:,} nodes: s', subject, got['seconds'])
            running.wait_gone(f'user {session.users}')
            report.add(f'memory of the server with them: MB (data itself: '
                       f'{session.bytes / 1e6:.0f})', subject, resident(broker))
            report.add('memory before: MB', subject, before)
            for _ in range(OPTIONS.rounds):
                got = running.load(session, 'join')
                report.add(f'join of {count:,} nodes: s', subject, got['seconds'])
                running.wait_gone(f'user {session.users}')
            if subject == HOLDFAST:
                report.add('memory of the snapshotter: MB', subject,
                           resident(running.server.snapshotter))
                measure_saves(report, session, running)


def save_now(snapshotter):
    """Returns when a save is on disk and verified."""
    subprocess.run([snapshotter.arguments[0], '--save-now', 'bench'], check=True,
                   env=snapshotter.environment, stdout=subprocess.DEVNULL)


def saves_of(log):
    """Seconds of each save that a snapshotter's log tells of and that had something to write."""
    return [int(ms) / 1000 for ms in
            re.findall(r'Session saved to disk .*: \d+ nodes, [\d.]+ MiB, (\d+) ms', log)]


def measure_saves(report, session, running):
    at = f'relay beside {len(session.names):,} nodes, 2 clients at {OPTIONS.rate} commits/s:'

    def latency(what):
        got = running.load(session, 'relay', 2, OPTIONS.seconds, OPTIONS.rate)
        report.add(f'{at} p50 ms, {what}', HOLDFAST, got['p50_ms'])
        report.add(f'{at} p99 ms, {what}', HOLDFAST, got['p99_ms'])

    latency('no save')
    stop = threading.Event()
    snapshotter = running.server.snapshotter
    mark = snapshotter.mark()

    def keep_saving():
        while not stop.is_set():
            save_now(snapshotter)

    saver = threading.Thread(target=keep_saving)
    saver.start()
    latency('saves without a pause')
    stop.set()
    saver.join()
    # Before the first commit there is nothing to write, and a save takes no time.
    saves = saves_of(snapshotter.text()[mark:])
    report.add('saves during that', HOLDFAST, len(saves))
    report.add('a save of them: s', HOLDFAST, statistics.median(saves))


def main():
    global OPTIONS
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--build', type=pathlib.Path, default=processes.ROOT / 'build' / 'bench')
    parser.add_argument('--seconds', type=int, default=5, help='of each measurement')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--rate', type=int, default=500,
                        help='commits a second for latencies beside a large session')
    parser.add_argument('--nodes', type=int, default=10000)
    parser.add_argument('--subjects', nargs='+', default=SUBJECTS, choices=SUBJECTS)
    parser.add_argument('--relay-only', action='store_true', help='no large session')
    parser.add_argument('--json', type=pathlib.Path, help='a file for all values of all rounds')
    OPTIONS = parser.parse_args()
    OPTIONS.build = OPTIONS.build.resolve()
    processes.os.environ['HOLDFAST_BUILD'] = str(OPTIONS.build)

    report = Report()
    with tempfile.TemporaryDirectory() as small, tempfile.TemporaryDirectory() as large:
        for size, rate in SIZES.items():
            session = Session(small, 1, size)
            print(f'a commit is {session.commit_bytes} bytes', file=sys.stderr)
            measure_relay(report, session, OPTIONS.subjects, size, rate)
        if not OPTIONS.relay_only:
            measure_large(report, Session(large, OPTIONS.nodes), OPTIONS.subjects)
    print(report.text())
    if OPTIONS.json:
        OPTIONS.json.write_text(json.dumps(report.values, indent=2))


if __name__ == '__main__':
    main()
