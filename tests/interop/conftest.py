import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import processes  # noqa: E402
import versions  # noqa: E402

# HOLDFAST_REFERENCE=1 runs the scenarios that need no snapshotter against the library's own
# server: what fails there too is the test's fault, or a fault of the reference that is written in
# docs/PROTOCOL.md.
REFERENCE = bool(os.environ.get('HOLDFAST_REFERENCE'))
LONG = bool(os.environ.get('HOLDFAST_LONG'))


EVERYTHING = [version for version in versions.VERSIONS if version.tested == 'everything']
ZMTP, FRAMED = EVERYTHING  # one of each generation


# Every scenario runs once for each of these.
@pytest.fixture(params=EVERYTHING, ids=lambda version: version.package)
def version(request):
    processes.require(request.param)
    return request.param


def only(generation, reason):
    """A mark for what means something for one generation of clients only."""
    return pytest.mark.parametrize('version', [
        pytest.param(version, id=version.package, marks=[] if version.generation == generation
                     else pytest.mark.skip(reason=reason)) for version in EVERYTHING], indirect=True)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    setattr(item, 'report_' + call.when, outcome.get_result())


@pytest.fixture
def logs(request):
    """Files to show when the test fails."""
    paths = []
    yield paths
    report = getattr(request.node, 'report_call', None)
    setup = getattr(request.node, 'report_setup', None)
    if (report and report.failed) or (setup and setup.failed):
        for path in paths:
            lines = path.read_text(errors='replace').splitlines() if path.exists() else []
            print(f'---- {path.name}, last {min(80, len(lines))} of {len(lines)} lines')
            print('\n'.join(lines[-80:]))


@pytest.fixture
def make_server(tmp_path, logs, version):
    """Makes broker and snapshotter with settings, not yet started. Its `port` is the one for
    clients of the test's version."""
    made = []

    def make(**settings):
        server = processes.Holdfast(tmp_path, version, **settings)
        made.append(server)
        logs.extend(server.logs())
        return server

    yield make
    for server in made:
        server.cleanup()


@pytest.fixture
def server(make_server):
    """Broker and snapshotter with a short save interval, running."""
    return make_server(SAVE_INTERVAL=1).start()


@pytest.fixture
def any_server(tmp_path, logs, make_server, version):
    """For what the reference server can do too."""
    if not REFERENCE:
        yield make_server(SAVE_INTERVAL=1).start()
        return
    reference = processes.PythonServer(tmp_path, version)
    logs.extend(reference.logs())
    yield reference.start()
    reference.cleanup()


@pytest.fixture
def new_client(new_client_of, version):
    """Makes real clients of the test's version."""
    return lambda name, tick=0.01: new_client_of(version, name, tick)


@pytest.fixture
def new_client_of(tmp_path, logs):
    """Makes real clients, each in a process of its own. A client that crashed without the test
    having asked about it fails the test."""
    made = []

    def make(version, name, tick=0.01):
        client = processes.Client(name, tmp_path, python=processes.python_of(version), tick=tick)
        made.append(client)
        logs.append(client.log)
        return client

    yield make
    crashed = [client for client in made if client.cleanup()]
    assert not crashed, 'a client crashed: ' + '\n'.join(client.tail() for client in crashed)
