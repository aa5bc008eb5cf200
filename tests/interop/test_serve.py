"""scripts/serve: both programs from one command. What it builds is not built here: supervise.py, which it
hands over to, runs the programs under test."""

import contextlib
import os
import pathlib
import re
import signal
import sys

import pytest

import values
from conftest import ZMTP
from processes import ROOT, Process, Service, find_binary, free_port_block, wait_until

CONTENTS = [values.mixed_content(index) for index in range(10)]


# The script is the same for all clients.
@pytest.fixture
def version():
    return ZMTP


class Serve(Process):
    def __init__(self, directory, *settings, port=None, name='serve', **environment):
        self.port = port or free_port_block()
        self.data = directory / f'{name}-data'
        programs = find_binary('holdfast-broker').parent
        self.data.mkdir(exist_ok=True)
        (self.data / 'logs').mkdir(exist_ok=True)
        super().__init__(name, [sys.executable, ROOT / 'scripts' / 'supervise.py', programs, self.data,
                                self.data / 'logs', '--port', self.port, *settings], directory,
                         {'SAVE_INTERVAL': '3600', **environment})
        self.broker = Service('holdfast-broker', directory, {}, self.port + 6)
        self.snapshotter = Service('holdfast-snapshotter', directory, {}, self.port + 7)

    def wait_serving(self):
        def serving():
            assert self.alive(), f'it ended:\n{self.text()}'
            return self.broker.healthy() and self.snapshotter.healthy()
        wait_until(serving, lambda: f'both are well:\n{self.text()}')

    def signal(self, number):
        self.process.send_signal(number)

    def child(self, program):
        """The process id of one of the two programs."""
        for status in pathlib.Path('/proc').glob('[0-9]*/status'):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                fields = dict(line.split(':\t', 1) for line in status.read_text().splitlines()
                              if ':\t' in line)
                if fields['PPid'] == str(self.pid) and fields['Name'] == program[:15]:
                    return int(fields['Pid'])
        return None


@pytest.fixture
def new_serve(tmp_path, logs):
    made = []

    def make(*settings, **arguments):
        made.append(Serve(tmp_path, *settings, name=f'serve{len(made)}', **arguments))
        logs.append(made[-1].log)
        return made[-1].start()

    yield make
    for serve in made:
        if serve.alive():
            serve.signal(signal.SIGTERM)
            serve.process.wait(60)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_one_signal_stops_both_and_the_next_start_has_the_session(new_serve, new_client, number):
    serve = new_serve('--admin-password', 'boss', SERVER_PASSWORD='hush')
    serve.wait_serving()
    alice = new_client('alice')
    alice.host(serve.port, CONTENTS, server_password='hush', admin_password='boss')
    expected = values.nobodys(alice.graph())
    serve.signal(number)
    serve.wait_exit(0)
    assert 'shutting down' in alice.wait_exit()

    text = serve.text()
    assert all(re.match(r'\[(serve|broker|snapshotter)\] ', line) for line in text.splitlines()), text
    assert '[broker] ' in text and re.search(r'Session saved to disk \(reason: .*shutdown\)', text)
    for name in ('broker', 'snapshotter'):
        lines = (serve.data / 'logs' / f'{name}.log').read_text().splitlines()
        said = {line.split(maxsplit=3)[3] for line in text.splitlines() if line.startswith(f'[{name}]')}
        missing = [line for line in lines if line.split(maxsplit=2)[2] not in said]
        assert lines and not missing

    serve.start()
    serve.wait_serving()
    alice.join(serve.port, server_password='hush')
    assert values.differences(expected, alice.graph()) == ''


def test_what_is_killed_is_started_again(new_serve, new_client):
    serve = new_serve()
    serve.wait_serving()
    alice = new_client('alice')
    alice.host(serve.port, CONTENTS)
    for program in ('holdfast-snapshotter', 'holdfast-broker'):
        before = serve.child(program)
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: serve.child(program) not in (None, before), f'{program} runs again')
        serve.wait_serving()
    assert 'ended unexpectedly (exit code 137); starting it again in 1 s' in serve.text()
    wait_until(lambda: alice.state() != 'ACTIVE', 'the client is told to join again')
    alice.wait_exit()
    alice.join(serve.port)
    assert len(alice.graph()) == len(CONTENTS)


def test_two_side_by_side_and_a_third_in_the_way(new_serve):
    first, second = new_serve(), new_serve()
    first.wait_serving()
    second.wait_serving()
    third = new_serve(port=first.port)
    third.wait_exit(1)
    assert 'is in use' in third.text() and 'could not start' in third.text()
    assert first.broker.healthy() and first.alive()


def test_a_wrong_setting_is_said_at_once(new_serve):
    serve = new_serve('--timeout', 'soon')
    serve.wait_exit(2)
    assert 'TIMEOUT' in serve.text()


def test_a_second_ctrl_c_ends_both_at_once(new_serve):
    serve = new_serve('--shutdown-wait', '60')
    serve.wait_serving()
    # The snapshotter is stopped, so that the end takes its time.
    snapshotter, broker = serve.child('holdfast-snapshotter'), serve.child('holdfast-broker')
    os.kill(snapshotter, signal.SIGSTOP)
    serve.signal(signal.SIGINT)
    serve.wait_log('stopping')
    serve.signal(signal.SIGINT)
    serve.wait_exit(130)
    for pid in (snapshotter, broker):
        assert not os.path.exists(f'/proc/{pid}')


@pytest.mark.parametrize('flag', ['--log-file=x', '--health-address=127.0.0.1:1', '--health', '--data-dir'])
def test_flags_that_the_script_cannot_pass_on(tmp_path, flag):
    serve = Process('serve', [ROOT / 'scripts' / 'serve', flag], tmp_path).start()
    serve.wait_exit(2)
    assert serve.text().startswith('[serve] ')


def test_help(tmp_path):
    serve = Process('serve', [ROOT / 'scripts' / 'serve', '--help'], tmp_path).start()
    serve.wait_exit(0)
    for word in ('--data-dir', '--log-dir', '--build-only', '--port'):
        assert word in serve.text()
