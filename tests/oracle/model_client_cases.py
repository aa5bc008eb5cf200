"""The model client beside the library that is installed where this runs: see test_model_client.py.

    python model_client_cases.py TOOL FIRST_SEED SEEDS

Its last line is a dict of how many seeds reached each state. No pytest: the environments of the
other versions have only what a client needs.
"""

import logging
import pickle
import random
import socket
import subprocess
import sys

from deepdiff import DeepDiff, Delta
from replication import constants, interface, objects, repository
from replication.protocol import DataTranslationProtocol

try:
    from replication import net
except ImportError:
    net = None  # 0.9.10 has libzmq in its place

FRAMED = net is not None
STATES = {constants.STATE_AUTH: 'AUTH', constants.STATE_LOBBY: 'LOBBY',
          constants.STATE_SRV_SYNC: 'SRV_SYNC', constants.STATE_SYNCING: 'SYNCING',
          constants.STATE_ACTIVE: 'ACTIVE', constants.STATE_INITIAL: 'gone'}
IDS = ['a', 'b', 'c', 'd']


class Socket:
    """In the place of libzmq's: a message is there, or none."""

    def __init__(self):
        self.inbox = []
        self.sent = []
        self.closed = False

    def put(self, chunks):
        self.inbox.append(chunks)

    def take_sent(self):
        sent, self.sent = self.sent, []
        return sent

    def recv_multipart(self, _flags):
        if self.closed:
            raise OSError('closed')
        return self.inbox.pop(0)

    def send_multipart(self, chunks):
        self.sent.append(chunks)

    def close(self):
        self.closed = True


class Line:
    """The server's end of a connection whose other end the library's own Dealer has."""

    def __init__(self, role):
        self.end, other = socket.socketpair()
        self.end.setblocking(False)
        self.dealer = net.Dealer('', 0, identity=b'me', role=role)
        self.dealer._conn = net._Connection(other, b'me')
        self.reader = net.FrameReader()
        self.unsent = bytearray()

    def put(self, chunks):
        self.unsent += net.encode_message(chunks)

    def flush(self):
        """As much as fits between the two is more than the library reads in a tick."""
        try:
            while self.unsent:
                del self.unsent[:self.end.send(self.unsent)]
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            pass

    def take_sent(self):
        sent = []
        try:
            while data := self.end.recv(1 << 20):
                sent += self.reader.feed(data)
        except (BlockingIOError, ConnectionResetError):
            pass
        return sent

    def close(self):
        self.end.close()
        self.dealer.close()


class HeartbeatProcess:
    def __init__(self):
        self.killed = False

    def poll(self):
        return 0 if self.killed else None

    def kill(self):
        self.killed = True


class Remote:
    """What repository.Remote is to a Session, without a network."""

    def __init__(self):
        self.command_line, self.data_line = Socket(), Socket()
        self.command, self.data = self.command_line, self.data_line
        self.online_users = {}
        self.poller = self
        self.context = self

    def poll(self, _timeout):
        return {line: 1 for line in (self.command, self.data) if line.inbox}

    def destroy(self):
        pass

    def flush(self):
        pass

    def close(self):
        pass


class FramedRemote:
    """The same for the framed generation: with the library's own connections and its own poller."""

    def __init__(self):
        self.command_line, self.data_line = Line(net.ROLE_COMMAND), Line(net.ROLE_DATA)
        self.command, self.data = self.command_line.dealer, self.data_line.dealer
        self.online_users = {}
        self.poller = net.Poller()
        self.poller.register(self.command)
        self.poller.register(self.data)

    def flush(self):
        self.command_line.flush()
        self.data_line.flush()

    def close(self):
        self.command_line.close()
        self.data_line.close()
        self.poller.close()


class Real:
    def __init__(self, name):
        self.session = interface.Session()
        self.remote = FramedRemote() if FRAMED else Remote()
        self.repository = repository.Repository(rdp=DataTranslationProtocol(), username=name)
        self.repository.remote = self.remote
        session = self.session
        session.repository = self.repository
        session.remote = self.remote
        session.context = self.remote  # libzmq's
        session._id = name
        session._ttl = HeartbeatProcess()
        session._connection_timeout = 10 ** 9
        session._connection_start_time = interface.current_milli_time()
        session._state = constants.STATE_AUTH
        self.raised = False

    def init(self, ids):
        for uuid in ids:
            node = objects.Node(owner='COMMON', uuid=uuid, dependencies=[],
                                data={'type_id': 'Thing', 'v': 0, 'items': [0]})
            self.repository.object_store[uuid] = node
        self.session.request_server_repository_init()

    def tick(self, command, data):
        for node in self.repository.graph.values():
            node.state = constants.COMMITED  # so that an upload does not look for a data block
        if command:
            self.remote.command_line.put(command)
        if data:
            self.remote.data_line.put(data)
        self.remote.flush()
        try:
            self.session.listen()
        except Exception as error:  # pylint: disable=broad-except
            self.raised = True
            self.error = error

    def result(self):
        sent = [(name, chunks) for name, line in (('command', self.remote.command_line),
                                                  ('data', self.remote.data_line))
                for chunks in line.take_sent()]
        graph = {uuid: (node.owner, node.dependencies, node.data)
                 for uuid, node in self.repository.graph.items()}
        state = 'raised' if self.raised else STATES[self.session.state]
        return state, [(name, loaded(chunks)) for name, chunks in sent], graph


def loaded(chunks):
    """A message without the freedom that picklers have."""
    if pickle.loads(chunks[0]) in (1, 2):
        return [pickle.loads(chunks[0]), *chunks[1:]]
    data = pickle.loads(chunks[2])
    if isinstance(data, dict) and isinstance(data.get('DATA'), list):
        node = data['DATA']
        data['DATA'] = [node[1], node[2], pickle.loads(node[3]), pickle.loads(node[4])]
    return [pickle.loads(chunks[0]), chunks[1], data]


class Model:
    def __init__(self, tool):
        self.tool = tool
        self.ask('new ' + ('framed' if FRAMED else 'zmtp'))

    def ask(self, line):
        self.tool.stdin.write(line + '\n')
        self.tool.stdin.flush()
        answer = self.tool.stdout.readline()
        assert answer, 'the tool has died'
        self.answer = answer.split()

    def init(self, ids):
        self.ask('init ' + ','.join(ids))

    def tick(self, command, data):
        self.ask('tick ' + ' '.join(','.join(chunk.hex() for chunk in message) if message else '-'
                                    for message in (command, data)))

    def result(self):
        words = self.answer
        middle = words.index('graph')
        sent = []
        for word in words[2:middle]:
            channel, _, message = word.partition(':')
            sent.append((channel, loaded([bytes.fromhex(chunk) for chunk in message.split(',')])))
        graph = {}
        for word in words[middle + 1:]:
            uuid, owner, dependencies, data = word.split(':')
            graph[uuid] = (owner, pickle.loads(bytes.fromhex(dependencies)),
                           pickle.loads(bytes.fromhex(data)))
        return words[0], sent, graph


class Messages:
    """What a server could send: mostly what fits the state, now and then anything."""

    def __init__(self, rng, real):
        self.rng = rng
        self.real = real

    def chunks(self, type_of, data, owner='server'):
        return type_of(owner=owner, data=data).as_raw_chunks()

    def command(self):
        state = self.real.session.state
        fitting = {
            constants.STATE_AUTH: [self.auth] * 3 + [self.states, self.right],
            constants.STATE_LOBBY: [self.catalog] * 2 + [self.states, self.metadata, self.right],
            constants.STATE_SRV_SYNC: [self.upload] * 3 + [self.right],
            constants.STATE_SYNCING: [self.set_current] * 6 + [self.states, self.metadata],
            constants.STATE_ACTIVE: [self.right, self.delete, self.states, self.metadata,
                                     self.metadata],
        }.get(state, [self.states])
        anything = [self.auth, self.states, self.metadata, self.catalog, self.empty_catalog,
                    self.set_current, self.set_other, self.upload, self.delete, self.delete_odd,
                    self.right, self.disconnect, self.garbage]
        return self.rng.choice(anything if self.rng.random() < 0.06 else fitting)()

    def auth(self):
        return self.chunks(objects.Auth, self.rng.choice(
            ['LOBBY', 'RUNNING', 'RUNNING', 'FAILED: client already logged in']))

    def states(self):
        users = self.rng.sample(['me', 'x', 'y'], 2)
        return self.chunks(objects.UpdateClientsState, {
            user: {'id': user, 'admin': False, 'latency': 1, 'status': 2, 'metadata': {}}
            for user in users})

    def metadata(self):
        known = sorted(self.real.remote.online_users) or ['x']
        owner = self.rng.choice(known if self.rng.random() < 0.97 else ['stranger'])
        return self.chunks(objects.UpdateUserMetadata, {'frame_current': 3}, owner)

    def catalog(self):
        return self.chunks(objects.Snapshot, {
            'STATE': 'INIT', 'CATALOG': self.rng.sample(IDS, self.rng.randint(1, 4))})

    def empty_catalog(self):
        return self.chunks(objects.Snapshot, {'STATE': 'INIT', 'CATALOG': []})

    def set_current(self):
        uuid = getattr(self.real.session, '_current_snapshot', 'a')
        data = b'removed' if self.rng.random() < 0.2 else self.node(uuid)
        return self.chunks(objects.Snapshot, {'STATE': 'SET', 'DATA': data})

    def set_other(self):
        return self.chunks(objects.Snapshot, {'STATE': 'SET', 'DATA': self.node('zz')})

    def upload(self):
        return self.chunks(objects.ServerSnapshot, {
            'STATE': self.rng.choice(['ACCEPTED', 'ACCEPTED', 'DONE', 'REJECTED'])})

    def delete(self):
        return self.chunks(objects.Delete, self.rng.choice(IDS))

    def delete_odd(self):
        return self.chunks(objects.Delete, self.rng.choice(['', 'nobody']))

    def right(self):
        return self.chunks(objects.Right, {
            'uuid': self.rng.sample(IDS + ['nobody'], self.rng.randint(0, 3)),
            'owner': self.rng.choice(['x', 'me', 'COMMON'])})

    def disconnect(self):
        return self.chunks(objects.Disconnect, {'reason': 'kicked by admin'})

    def garbage(self):
        return [b'\x80\x04K\x63.', b'server', b'x']

    def node(self, uuid):
        return objects.Node(owner=self.rng.choice(['COMMON', 'x']), uuid=uuid,
                            dependencies=self.rng.choice([None, [], ['a'], ['b', 'a', 'b']]),
                            data={'type_id': 'Thing', 'v': self.rng.randrange(9),
                                  'items': [self.rng.randrange(9)], **self.mesh()}).as_raw_chunks()

    def mesh(self):
        """Now and then more than a framed client reads in a tick."""
        if not FRAMED or self.rng.random() < 0.8:
            return {}
        return {'mesh': bytes(self.rng.randrange(150_000))}

    def data(self):
        kind = self.rng.random()
        known = sorted(self.real.repository.graph)
        if kind < 0.3 or not known:
            if known and self.rng.random() < 0.02:
                return self.delete()  # on the data connection
            return self.node(self.rng.choice(IDS))
        uuid = self.rng.choice(known if kind < 0.98 else IDS)
        node = self.real.repository.graph.get(uuid)
        old = node.data if node else {'type_id': 'Thing', 'v': 0, 'items': [0]}
        new = {**old, 'items': list(old['items'])}
        if self.rng.random() < 0.5:
            new['v'] = self.rng.randrange(100)
        else:
            new['items'].append(self.rng.randrange(100))
        commit = objects.Commit()
        commit.node_id = uuid
        commit.deps = self.rng.choice([None, [], ['a'], ['c', 'b']])
        commit.delta = Delta(DeepDiff(old, new, cache_size=5000))
        if self.rng.random() < 0.02:
            commit.delta = Delta({'set_item_added': {"root['v']": {1}}})  # deepdiff raises on it
        return commit.as_raw_chunks()


def shown(value):
    text = repr(value)
    return text if len(text) < 2_000 else text[:2_000] + '...'


def run(tool, seed):
    rng = random.Random(seed)
    real, model = Real('me'), Model(tool)
    model.result()  # its Auth: the library's is sent by connect()
    messages = Messages(rng, real)
    story = []
    try:
        return compare(rng, seed, real, model, messages, story)
    finally:
        real.remote.close()


def compare(rng, seed, real, model, messages, story):
    """Returns the states that were reached."""
    states = set()
    for _ in range(rng.randint(5, 60)):
        if real.session.state == constants.STATE_LOBBY and rng.random() < 0.1:
            ids = sorted(rng.sample(IDS, 2)) if not real.repository.graph else []
            if ids:
                real.init(ids)
                model.init(ids)
                story.append(f'init {ids}')
                assert real.result() == model.result(), '\n'.join(story)
        command = messages.command() if rng.random() < 0.7 else None
        data = messages.data() if rng.random() < 0.5 else None
        story.append(f'{shown(command)} {shown(data)}')
        real.tick(command, data)
        model.tick(command, data)
        expected, got = real.result(), model.result()
        story.append(f'  library: {shown(expected)}\n  model:   {shown(got)}')
        if real.raised:  # it may have done half of what it was about to
            assert got[0] == 'raised', f'seed {seed}: ' + '\n'.join(story)
        else:
            assert expected == got, f'seed {seed}: ' + '\n'.join(story)
        states.add(expected[0])
        if expected[0] in ('raised', 'gone'):
            break
    return states


def main(tool_path, first, many):
    """The library prints what it cannot decode, and logs much."""
    interface.traceback.print_exc = lambda: None
    logging.disable(logging.CRITICAL)
    counts = {}
    with subprocess.Popen([tool_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as tool:
        for seed in range(first, first + many):
            for state in run(tool, seed):
                counts[state] = counts.get(state, 0) + 1
        tool.stdin.close()
    print(counts)


if __name__ == '__main__':
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
