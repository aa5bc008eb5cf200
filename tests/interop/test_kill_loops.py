"""kill -9 of each process, and of both at once, again and again, while real clients write as fast as
they can.

What comes back is what was reported as durable before the kill (by the broker's health page, which
hears it from the snapshotter, or by the answer to a save on demand), or later. Ten rounds each day,
with those of test_power.py; HOLDFAST_LONG=1 makes it 50 of each kind, 250 and the 200 of
test_power.py. With -s it prints what a kill of the broker has cost.
"""

import json
import random
import re
import statistics
import subprocess
import sys
import threading

import pytest

import values
from conftest import LONG, only
from processes import (DEADLINE, HERE, Process, Service, find_binary, free_port_block, wait_until)

ROUNDS = 50 if LONG else 2
LOSS_ROUNDS = 50 if LONG else 1
CONTENTS = [values.mixed_content(index) for index in range(10)]


class Reports:
    """The last position that the broker has reported as durable."""

    def __init__(self, server):
        self.server = server
        self.seq = 0
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.stopped.wait(0.02):
            durable = (self.server.broker.health() or {}).get('durable')
            if durable:
                self.seq = max(self.seq, durable['seq'])

    def stop(self):
        self.stopped.set()
        self.thread.join()


def found_on_disk(server):
    """The position with which a snapshotter starts that hears no broker."""
    port = free_port_block()
    lonely = Service('holdfast-snapshotter', server.directory, {**server.settings, 'PORT': port},
                     port + 7, name='lonely')
    lonely.start()
    try:
        health = wait_until(lonely.health, lambda: 'the lonely one answers:\n' + lonely.text())
        return health['position']['seq']
    finally:
        lonely.kill9()


def start_writing(server, new_client, *names):
    """Real clients that edit at random as fast as the library does, the first one is host."""
    clients = [new_client(name, tick=0.001) for name in names]
    clients[0].host(server.port, CONTENTS)
    for client in clients[1:]:
        client.join(server.port)
    for number, client in enumerate(clients):
        client.call('program', seed=number, operations=10**9)
    return clients


def stop_writing(clients):
    for client in clients:
        client.call('program', seed=0, operations=0)


def kill_amid_reports(reports, rng, *processes):
    """Some time after something new was reported durable; says what was, when they died."""
    before = reports.seq
    wait_until(lambda: reports.seq > before, 'more is reported durable')
    threading.Event().wait(rng.random() * 0.4)
    for process in processes:
        process.process.kill()  # all of them, before one is waited for
    for process in processes:
        process.kill9()
    return reports.seq


def test_kill_snapshotter(make_server, new_client):
    server = make_server(SAVE_INTERVAL=1).start()
    clients = start_writing(server, new_client, 'alice', 'bob')
    reports, rng = Reports(server), random.Random(1)
    for _ in range(ROUNDS):
        reported = kill_amid_reports(reports, rng, server.snapshotter)
        assert found_on_disk(server) >= reported
        server.snapshotter.start()
        wait_until(server.snapshotter.healthy, 'the snapshotter has caught up')
    reports.stop()
    stop_writing(clients)
    clients[0].wait_equal(clients[1])
    server.wait_saved(clients[0])


def last_edit(graph, name):
    """The number of a user's last edit that is in a graph: see RandomEditor."""
    found = re.findall(rf"str:'{name}': int:(\d+)", json.dumps(graph))
    return max(map(int, found), default=0)


@pytest.mark.parametrize('with_snapshotter', [False, True], ids=['alone', 'and_snapshotter'])
def test_kill_broker(make_server, new_client, with_snapshotter):
    """With the snapshotter the disk alone has it: sometimes from a save, mostly from the history."""
    server = make_server(SAVE_INTERVAL=2 if with_snapshotter else 1).start()
    killed = [server.broker] + [server.snapshotter] * with_snapshotter
    clients = start_writing(server, new_client, 'alice', 'bob')
    reports, rng = Reports(server), random.Random(2)
    lost = []
    for _ in range(ROUNDS):
        reported = kill_amid_reports(reports, rng, *killed)
        bob_had = last_edit(clients[1].graph(), 'alice')
        for process in killed:
            process.start()
        server.wait_serving()
        assert server.broker.health()['position']['seq'] >= reported
        for client in clients:
            client.wait_exit()
        clients[1].join(server.port)
        lost.append(max(0, bob_had - last_edit(clients[1].graph(), 'alice')))
        clients[0].join(server.port)
    print(f'\nedits of alice that bob had and that did not come back, by round: {lost}')
    reports.stop()
    stop_writing(clients)
    clients[0].wait_equal(clients[1])
    server.wait_saved(clients[0])


def test_kill_after_a_save_on_demand(make_server, new_client):
    server = make_server(SAVE_INTERVAL=3600).start()
    alice = new_client('alice')
    uuids = alice.host(server.port, CONTENTS)
    reports = Reports(server)
    for number in range(ROUNDS):
        alice.edit(uuids[0], {'round': number})
        expected = alice.graph()

        def heard():
            broker, snapshotter = server.broker.health(), server.snapshotter.health()
            return broker and snapshotter and snapshotter['position'] and \
                broker['commits'] > number and \
                broker['position']['seq'] == snapshotter['position']['seq']
        wait_until(heard, 'the snapshotter has the edit')
        asked = Process('save-now', [find_binary('holdfast-snapshotter'), '--save-now'],
                        server.directory, server.snapshotter.environment)
        asked.start()
        asked.wait_exit(0)
        server.snapshotter.kill9()
        assert values.differences(expected, server.saved_graph()) == ''
        assert found_on_disk(server) >= reports.seq
        server.snapshotter.start()
        wait_until(server.snapshotter.healthy, 'the snapshotter has caught up')
    reports.stop()


class Flood:
    """A client in a process of its own: see flood.py."""

    def __init__(self, what, server, uuid):
        self.process = subprocess.Popen(
            [sys.executable, HERE / 'flood.py', what, str(server.port), uuid],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert json.loads(self.process.stdout.readline()) == 'joined'

    def finish(self):
        """What it says at its end."""
        output, _ = self.process.communicate(timeout=DEADLINE)
        return json.loads(output)

    def kill(self):
        self.process.kill()
        self.process.wait()


@only('zmtp', 'flood.py speaks ZeroMQ')
def test_what_a_kill_of_the_broker_loses(make_server, new_client):
    """One client commits as fast as it can and another one receives it: what had the other one
    received at the kill that is not in the session afterwards?"""
    server = make_server(SAVE_INTERVAL=1).start()
    alice = new_client('alice')
    uuid, = alice.host(server.port, [{'n': 0}])
    alice.leave()
    reports, rng = Reports(server), random.Random(3)
    lost, lost_ms, rates = [], [], []
    for _ in range(LOSS_ROUNDS):
        watcher, writer = Flood('watch', server, uuid), Flood('write', server, uuid)
        try:
            reported = kill_amid_reports(reports, rng, server.broker)
            writer.finish()
            seen = watcher.finish()
        finally:
            writer.kill()
            watcher.kill()
        server.broker.start()
        server.wait_serving()
        assert server.broker.health()['position']['seq'] >= reported
        alice.join(server.port)
        came_back = alice.content(uuid)['n']
        alice.leave()
        assert came_back > 0
        lost.append(max(0, seen['last'] - came_back))
        rates.append(seen['rate'])
        lost_ms.append(1000 * lost[-1] / seen['rate'] if lost[-1] else 0)
    reports.stop()
    print(f'\nkills of the broker: {len(lost)}; commits a second: median '
          f'{statistics.median(rates):.0f}, most {max(rates):.0f}\n'
          f'commits that another client had received and that did not come back: median '
          f'{statistics.median(lost):.0f}, most {max(lost)} ({max(lost_ms):.1f} ms of work)\n'
          f'rounds in which none were lost: {lost.count(0)}')
