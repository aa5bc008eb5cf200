"""One real client: the unmodified `replication` library in a process of its own.

It does what the Blender addon does: a timer calls session.listen() every few milliseconds, and an
exception inside it ends the session, here the process, with the traceback reported. What to do
comes as JSON lines on stdin, one answer line for each command on stdout; logging goes to stderr.
The commands are the methods of Driver whose names start with `do_`. Data travels inside the JSON
as values.encode makes it, and whole graphs as canonical text, so that types are compared too.
"""

import argparse
import copy
import errno
import json
import logging
import os
import queue
import random
import sys
import threading
import time
import traceback

from deepdiff import DeepDiff, Delta
from replication import constants, porcelain
from replication.interface import session
from replication.protocol import DataTranslationProtocol, ReplicatedDatablock
from replication.repository import Repository

import values

STATES = {
    constants.STATE_INITIAL: 'INITIAL', constants.STATE_SYNCING: 'SYNCING',
    constants.STATE_ACTIVE: 'ACTIVE', constants.STATE_ERROR: 'ERROR',
    constants.STATE_CONFIG: 'CONFIG', constants.STATE_AUTH: 'AUTH',
    constants.STATE_WAITING: 'WAITING', constants.STATE_SRV_SYNC: 'SRV_SYNC',
    constants.STATE_QUITTING: 'QUITTING', constants.CONNECTING: 'CONNECTING',
    constants.STATE_LOBBY: 'LOBBY',
}


class Thing:
    """What the tests edit in place of Blender's datablocks: plain data, and links to others."""

    def __init__(self, content=None, links=()):
        self.uuid = None
        self.content = {} if content is None else content
        self.links = list(links)


class ThingDatablock(ReplicatedDatablock):
    """How the library reads and writes a Thing."""

    is_root = True
    use_delta = True

    @staticmethod
    def compute_delta(last_data, current_data):
        """The addon compares scenes and collections without order."""
        if current_data['content'].get('type_id') in ('Scene', 'Collection'):
            return Delta(DeepDiff(last_data, current_data, cache_size=5000, ignore_order=True,
                                  report_repetition=True))
        return ReplicatedDatablock.compute_delta(last_data, current_data)

    @staticmethod
    def construct(data):
        return Thing()

    @staticmethod
    def dump(thing):
        return {'content': copy.deepcopy(thing.content), 'links': list(thing.links)}

    @staticmethod
    def load(data, thing):
        thing.content = copy.deepcopy(data['content'])
        thing.links = list(data['links'])

    @staticmethod
    def resolve(data):
        return None

    @staticmethod
    def resolve_deps(thing):
        nodes = (session.repository.graph.get(uuid) for uuid in thing.links)
        return [node.instance for node in nodes if node is not None and node.instance is not None]


class Driver:
    def __init__(self, name, tick, answers):
        self.name = name
        self.tick = tick
        self.answers = answers
        self.commands = queue.Queue()
        self.exits = []
        self.program = None
        self.edit_number = 0
        self.running = True
        session.register('on_exit')(lambda reason: self.exits.append(reason))
        self.new_repository()

    def new_repository(self):
        protocol = DataTranslationProtocol()
        protocol.register_implementation(Thing, ThingDatablock)
        self.repository = Repository(rdp=protocol, username=self.name)
        session.repository = self.repository

    @property
    def graph(self):
        return self.repository.graph

    # The loop

    def run(self):
        threading.Thread(target=self.read_commands, daemon=True).start()
        while self.running:
            started = time.monotonic()
            self.listen()
            while not self.commands.empty():
                self.answer(self.commands.get())
            if self.program is not None and session.state == constants.STATE_ACTIVE:
                self.program.step()
            time.sleep(max(0.0, self.tick - (time.monotonic() - started)))

    @staticmethod
    def listen():
        try:
            session.listen()
        except OSError as error:
            # 0.10.3 goes on watching a socket that it closed itself when a send failed, and raises at
            # the next look. The addon's timers end the session when anything raises in them.
            if error.errno != errno.EBADF:
                raise
            session.disconnect(reason='Server lost')

    def read_commands(self):
        with os.fdopen(self.input, 'r', encoding='utf-8') as lines:
            for line in lines:
                self.commands.put(json.loads(line))
        self.commands.put({'id': 0, 'command': 'quit'})

    def answer(self, command):
        number = command.pop('id')
        name = command.pop('command')
        try:
            result = getattr(self, 'do_' + name)(**command)
        except Exception:
            self.send({'id': number, 'error': traceback.format_exc()})
        else:
            self.send({'id': number, 'result': result})

    def send(self, message):
        self.answers.write(json.dumps(message) + '\n')
        self.answers.flush()

    # Commands

    def do_connect(self, port, address='127.0.0.1', timeout=10000, server_password=None,
                   admin_password=None, keep_graph=False):
        if not keep_graph:
            self.new_repository()
        self.exits.clear()
        porcelain.remote_add(self.repository, 'origin', address, port,
                             server_password=server_password, admin_password=admin_password)
        session.connect(repository=self.repository, timeout=timeout,
                        server_password=server_password, admin_password=admin_password)

    def do_status(self):
        remote = self.repository.remote
        return {
            'state': STATES[session.state],
            'exits': [repr(reason) for reason in self.exits],
            'nodes': len(self.graph),
            'users': sorted(remote.online_users or {}) if remote else [],
            'program_done': self.program is None or self.program.done(),
        }

    def do_identity(self):
        return self.repository.remote.uuid.hex

    def do_users(self):
        """Name -> what the server says about the user; as text, for it holds Python data."""
        return values.encode(copy.deepcopy(self.repository.remote.online_users))

    def do_stage(self, content, links=()):
        """Adds a node to the repository only: before init, as the addon does it."""
        return porcelain.add(self.repository, Thing(values.decode(content), links))

    def do_init(self):
        session.init()

    def do_add(self, content, links=(), owner=None):
        return self.add(values.decode(content), links, owner)

    def do_edit(self, uuid, content, links=None, whole=False):
        self.edit(uuid, values.decode(content), links, whole)

    def do_delete(self, uuid):
        porcelain.rm(self.repository, uuid, remove_dependencies=False)

    def do_lock(self, uuids):
        porcelain.lock(self.repository, uuids, affect_dependencies=False)

    def do_unlock(self, uuids):
        porcelain.unlock(self.repository, uuids, affect_dependencies=False)

    def do_kick(self, user):
        porcelain.kick(self.repository, user)

    def do_metadata(self, fields):
        porcelain.update_user_metadata(self.repository, values.decode(fields))

    def do_push_raw(self, channel, chunks):
        """Sends chunks as they are through the library's own socket: what a broken or hostile
        client could send after a good login."""
        socket = getattr(self.repository.remote, channel)
        # Of ZeroMQ, or of the library's own network layer.
        send = getattr(socket, 'send_multipart', socket.send)
        send(values.decode(chunks))

    def do_session_info(self, port):
        """What the addon's server list asks for."""
        return porcelain.request_session_info(f'127.0.0.1:{port}', 2000)

    def do_graph(self):
        return values.canonical_graph(self.graph)

    def do_content(self, uuid):
        return values.encode(self.graph[uuid].data['content'])

    def do_program(self, seed, operations, deletes=True):
        self.program = RandomEditor(self, seed, operations, deletes)

    def do_program_log(self):
        return {'edits': self.program.edits, 'counts': self.program.counts}

    def do_disconnect(self):
        session.disconnect(reason='asked to')

    def do_quit(self):
        if session.state != constants.STATE_INITIAL:
            session.disconnect(reason='quit')
        self.running = False

    # What the commands are made of

    def add(self, content, links=(), owner=None):
        uuid = porcelain.add(self.repository, Thing(content, links), owner=owner)
        porcelain.commit(self.repository, uuid)
        porcelain.push(self.repository, 'origin', uuid)
        return uuid

    def newest(self, uuid):
        """The instance of a node, brought up to what has been received, as a timer of the addon
        does it."""
        node = self.graph[uuid]
        if node.state == constants.FETCHED or node.instance is None:
            porcelain.apply(self.repository, uuid)
        return node.instance

    def edit(self, uuid, content, links=None, whole=False):
        """Changes a node as an artist would: local data first, then commit, then push. `whole`
        pushes the node itself in place of the delta. A change on which the local library raises
        is taken back and raised again."""
        thing = self.newest(uuid)
        node = self.graph[uuid]
        self.repository.assert_modification_rights(uuid)
        dependencies = list(node.dependencies or [])
        thing.content = content
        if links is not None:
            thing.links = list(links)
        try:
            for link in thing.links:
                if link in self.graph:
                    self.newest(link)
            porcelain.commit(self.repository, uuid)
        except Exception:
            ThingDatablock.load(node.data, thing)
            node.dependencies = dependencies
            raise
        porcelain.push(self.repository, 'origin', uuid, force=whole)


class RandomEditor:
    """Edits at random from a seed, one operation in four ticks: a client takes one data message a
    tick, so three who edited faster would drift apart instead of working together.

    Content of its nodes: 'maker' (a name), 'free' (anything; only the maker edits it), 'plain' (a
    dict of small values that everybody edits) and 'seen', a version vector: user -> number of that
    user's last edit that this version contains. Each edit is logged as (node, number, what it had
    seen), from which the test decides afterwards which edits were concurrent.
    """

    def __init__(self, driver, seed, operations, deletes):
        self.driver = driver
        self.rng = random.Random(seed)
        self.deletes = 5 if deletes else 0
        self.left = operations
        self.tick = 0
        self.edits = []
        self.counts = {}

    def done(self):
        return self.left == 0

    def step(self):
        self.tick += 1
        if self.left == 0 or self.tick % 4 != 0:
            return
        self.left -= 1
        operation = self.rng.choices(
            [self.edit_own, self.edit_any, self.add, self.delete, self.lock, self.unlock,
             self.metadata],
            weights=[50, 20, 12, self.deletes, 5, 5, 3])[0]
        name = operation.__name__
        try:
            done = operation()
        except Exception:
            # The library itself raises on some deltas; the edit was then never sent.
            logging.warning('operation skipped: %s', traceback.format_exc())
            done = False
        name = name if done else name + ' skipped'
        self.counts[name] = self.counts.get(name, 0) + 1

    def pick(self, mine=None):
        name = self.driver.name
        nodes = [uuid for uuid, node in self.driver.graph.items()
                 if node.owner in (name, constants.RP_COMMON)
                 and 'maker' in node.data['content']
                 and (mine is None or (node.data['content']['maker'] == name) == mine)]
        return self.rng.choice(nodes) if nodes else None

    def edit(self, uuid, change, whole=False, links=None):
        content = copy.deepcopy(self.driver.newest(uuid).content)
        seen = dict(content['seen'])
        change(content)
        self.driver.edit_number += 1
        content['seen'][self.driver.name] = self.driver.edit_number
        self.driver.edit(uuid, content, links, whole)
        self.edits.append([uuid, self.driver.edit_number, seen])
        return True

    def edit_own(self):
        uuid = self.pick(mine=True)
        if uuid is None:
            return self.add()

        def change(content):
            content['free'] = values.mutated(self.rng, content['free'])

        links = None
        if self.rng.random() < 0.1:
            links = [name for name in (self.pick() for _ in range(2)) if name and name != uuid
                     and not self.driver.graph[name].dependencies]
        return self.edit(uuid, change, whole=self.rng.random() < 0.05, links=links)

    def edit_any(self):
        uuid = self.pick()
        if uuid is None:
            return False

        def change(content):
            key = f'p{self.rng.randrange(8)}'
            if key in content['plain'] and self.rng.random() < 0.3:
                del content['plain'][key]
            else:
                content['plain'][key] = self.rng.choice(
                    [self.rng.randrange(1000), f'text {self.rng.randrange(1000)}'])

        return self.edit(uuid, change)

    def add(self):
        name = self.driver.name
        self.driver.edit_number += 1
        content = {'maker': name, 'free': {'v': values.random_value(self.rng)}, 'plain': {},
                   'seen': {name: self.driver.edit_number}}
        self.driver.add(content, owner=self.rng.choice([name, None]))
        return True

    def delete(self):
        uuid = self.pick()
        if uuid is None or len(self.driver.graph) < 20:
            return False
        self.driver.do_delete(uuid)
        return True

    def lock(self):
        uuid = self.pick()
        if uuid is None:
            return False
        self.driver.do_lock([uuid])
        return True

    def unlock(self):
        mine = [uuid for uuid, node in self.driver.graph.items()
                if node.owner == self.driver.name]
        if not mine:
            return False
        self.driver.do_unlock([self.rng.choice(mine)])
        return True

    def metadata(self):
        self.driver.do_metadata(values.encode({'frame_current': self.rng.randrange(250)}))
        return True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--name', required=True)
    parser.add_argument('--tick', type=float, default=0.01)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr,
                        format='%(asctime)s %(levelname)s %(message)s')

    # The heartbeat process of the library inherits descriptors 0 and 1: what we talk through must
    # not stay open in it when we are killed.
    answers = os.fdopen(os.dup(1), 'w', encoding='utf-8')
    os.dup2(2, 1)
    commands = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)

    driver = Driver(options.name, options.tick, answers)
    driver.input = commands
    driver.send({'id': 0, 'result': 'ready'})
    try:
        driver.run()
    except Exception:
        driver.send({'id': -1, 'crashed': traceback.format_exc()})
        traceback.print_exc()
        logging.shutdown()
        os._exit(70)
    logging.shutdown()
    os._exit(0)


if __name__ == '__main__':
    main()
