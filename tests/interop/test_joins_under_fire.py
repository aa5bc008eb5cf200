"""The joins simulation with real clients: who edits has bad connections and freezes, others come
and go or break off their uploads. At quiet all graphs are equal, also of nodes that two edited at
the same moment. Everything from a seed, as far as real time allows."""

import os
import random
import signal
import time

import pytest

import raw
import values
from conftest import LONG
from processes import Proxy, wait_until


def broken_off_upload(server, sets):
    """Somebody begins to initialise the session, and is gone."""
    peer = server.peer()
    assert peer.login('gone') == 'LOBBY'
    peer.send(raw.command(raw.SERVER_SNAPSHOT, {'STATE': 'INIT', 'SIZE': 2, 'NODES': ['x', 'y']}))
    assert peer.receive(raw.SERVER_SNAPSHOT) == {'STATE': 'ACCEPTED'}
    for name in ['x', 'y'][:sets]:
        peer.send(raw.command(raw.SERVER_SNAPSHOT, {
            'STATE': 'SET', 'DATA': raw.node(name, {'type_id': 'Thing', 'uuid': name})}))
    peer.server_info()
    peer.close()


def be_active(editor, proxy):
    """Joins again if it was told to."""
    if editor.state() == 'INITIAL':
        editor.connect(proxy.port)
    wait_until(lambda: editor.state() in ('ACTIVE', 'INITIAL'), f'{editor.name} is in, or out')
    return editor.state() == 'ACTIVE'


def trouble(rng, server, new_client, editor, proxy, number):
    kind = rng.randrange(6)
    if kind < 2:
        proxy.reset(rng)
    elif kind < 4:
        os.kill(editor.process.pid, signal.SIGSTOP)
        time.sleep(rng.uniform(0.05, 2 if LONG else 1))
        os.kill(editor.process.pid, signal.SIGCONT)
    elif kind == 4:
        editor.leave()
        editor.connect(proxy.port)
    else:
        visitor = new_client(f'visitor {number}')
        visitor.connect(server.port)
        if rng.random() < 0.7:
            visitor.wait_state('ACTIVE')
        visitor.kill9()


@pytest.mark.parametrize('seed', range(1, 13) if LONG else [1])
def test_joins_under_fire(make_server, new_client, seed):
    rng = random.Random(seed)
    server = make_server(SAVE_INTERVAL=2).start()
    broken_off_upload(server, rng.randrange(2))
    proxies = [Proxy(server) for _ in range(3)]
    editors = [new_client(name, tick=0.003) for name in ('alice', 'bob', 'carol')]

    def initialised():
        if editors[0].state() == 'LOBBY':
            editors[0].call('init')
        return editors[0].state() == 'ACTIVE'

    try:
        editors[0].lobby(proxies[0].port)
        for index in range(30):
            editors[0].stage({'maker': 'alice', 'free': {'content': values.mixed_content(index)},
                              'plain': {}, 'seen': {}})
        wait_until(initialised, 'the session is initialised after the upload that broke off',
                   interval=0.2)
        for editor, proxy in zip(editors[1:], proxies[1:]):
            editor.join(proxy.port)
        for index, editor in enumerate(editors):
            editor.call('program', seed=seed * 100 + index, operations=3000 if LONG else 400)
        number = 0
        while not all(editor.status()['program_done'] for editor in editors):
            number += 1
            which = rng.randrange(3)
            if be_active(editors[which], proxies[which]):
                trouble(rng, server, new_client, editors[which], proxies[which], number)
        print(number, 'times trouble;', [editor.call('program_log')['counts']
                                         for editor in editors])
        assert number > 5
        for editor, proxy in zip(editors, proxies):
            wait_until(lambda: be_active(editor, proxy), f'{editor.name} is in')
        newcomer = new_client('newcomer')
        newcomer.join(server.port)
        for editor, proxy in zip(editors, proxies):
            # A client of the framed generation may see only by its heartbeat, ten seconds later,
            # that one of its connections was reset; then it joins again.
            editor.wait_equal(newcomer, ready=lambda: be_active(editor, proxy))
        server.wait_saved(newcomer)
    finally:
        for proxy in proxies:
            proxy.cleanup()
