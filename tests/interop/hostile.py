"""What enemies send: pickles that run code or eat memory, and bytes that are no protocol at all.

Nothing here is ever loaded by the tests themselves.
"""

import pickle
import random
import struct

import raw

DATA = {'type_id': 'Thing', 'content': {'small': 1}, 'links': []}
PROTO = b'\x80\x04'


class Call:
    """Pickles as a call of anything: what an enemy writes by hand."""

    def __init__(self, function, *arguments):
        self.reduced = (function, arguments)

    def __reduce__(self):
        return self.reduced


def text(value):
    value = value.encode()
    return b'\x8c' + bytes([len(value)]) + value


def named(module, name):
    """STACK_GLOBAL."""
    return text(module) + text(name) + b'\x93'


def called(function, *arguments):
    return function + b'(' + b''.join(arguments) + b'tR'


def code(witness):
    """Pickles that would leave the file `witness` behind in whoever loads them, by many roads."""
    shell = f'touch {witness}'
    python = f'open({str(witness)!r}, "w")'
    builtin_getattr = named('builtins', 'getattr')
    module_os = called(named('importlib', 'import_module'), text('os'))
    return {
        'os.system': pickle.dumps(Call(__import__('os').system, shell), protocol=4),
        'posix.system': PROTO + called(named('posix', 'system'), text(shell)) + b'.',
        'subprocess': PROTO + called(named('subprocess', 'Popen'),
                                     b'](' + text('touch') + text(str(witness)) + b'e') + b'.',
        'eval': pickle.dumps(Call(eval, python), protocol=4),
        'exec': pickle.dumps(Call(exec, python), protocol=4),
        'getattr chain': PROTO + called(called(builtin_getattr, module_os, text('system')),
                                        text(shell)) + b'.',
        'dotted name': PROTO + called(named('builtins', '__import__.__call__'), text('os')) + b'.',
        'operator': PROTO + called(named('operator', 'methodcaller'), text('system'),
                                   text(shell)) + b'.',
        'runpy': PROTO + called(named('runpy', '_run_code'), text(python), b'}') + b'.',
        'codecs': PROTO + called(named('_codecs', 'encode'), text(shell), text('utf-8')) + b'.',
        'constructor': PROTO + called(named('copyreg', '_reconstructor'), named('os', '_wrap_close'),
                                      named('builtins', 'object'), b'N') + b'.',
        'build': PROTO + named('builtins', 'object') + b')\x81}' + text('__class__')
                 + named('os', '_wrap_close') + b'sb.',
        # The opcodes of old protocols.
        'protocol 0': b'cos\nsystem\n(V' + shell.encode() + b'\ntR.',
        'protocol 0 in 4': PROTO + b'cos\nsystem\n(V' + shell.encode() + b'\ntR.',
        'inst': PROTO + b'(V' + shell.encode() + b'\nios\nsystem\n.',
        'obj': PROTO + b'(cos\nsystem\nV' + shell.encode() + b'\no.',
        # Names that are looked up elsewhere.
        'extension 1': PROTO + b'\x82\x01.',
        'extension 2': PROTO + b'\x83\x01\x00.',
        'extension 4': PROTO + b'\x84\x01\x00\x00\x00.',
        'persistent id': PROTO + b'Pos.system\n.',
        'binary persistent id': PROTO + text(shell) + b'Q.',
    }


def memory():
    """Pickles that would eat the memory of whoever loads them, or his stack."""
    # Lists of ten times the list before, forty levels: few bytes, 10**40 leaves.
    sharing = PROTO + b']\x94' + b''.join(
        b'0](' + (b'h' + bytes([level])) * 10 + b'e\x94' for level in range(40)) + b'.'
    return {
        'range': pickle.dumps(Call(list, range(10**9)), protocol=4),
        'bytes': pickle.dumps(Call(bytes, 10**11), protocol=4),
        'repeat': PROTO + called(named('itertools', 'repeat'), b'N', b'J\xff\xff\xff\x7f') + b'.',
        'sharing': sharing,
        'deep tuples': PROTO + b'(' * 100000 + b't' * 100000 + b'.',
        'deep lists': PROTO + b']' * 20000 + b'a' * 19999 + b'.',
        'deep dicts': PROTO + b'}K\x00' * 10000 + b'N' + b's' * 10000 + b'.',
        'memo': PROTO + b'Nr\xff\xff\xff\x7f0' + b'.',
        'memo unknown': PROTO + b'j\xff\xff\xff\xff.',
        'long length': PROTO + b'\x8b\xff\xff\xff\x7f' + b'abc.',
        'long negative length': PROTO + b'\x8b\xff\xff\xff\xff' + b'abc.',
        'long digits': PROTO + b'\x8b' + struct.pack('<I', 60000) + b'\x01' * 60000 + b'.',
        'text length': PROTO + b'\x8d' + b'\xff' * 7 + b'\x7f' + b'abc.',
        'bytes length': PROTO + b'\x8e' + b'\xff' * 8 + b'abc.',
        'bytearray length': b'\x80\x05\x96' + b'\xff' * 8 + b'abc.',
        'frame length': PROTO + b'\x95' + b'\xff' * 8 + b'N.',
        'next buffer': b'\x80\x05\x97.',
        'cut off': raw.pickled(DATA)[:-5],
        'unfinished list': PROTO + b']\x94' + b'h\x00' * 10,
        'pop of nothing': PROTO + b'0' * 1000 + b'.',
        'mark of nothing': PROTO + b'u.',
        'list in itself': PROTO + b']\x94h\x00a.',
        'dict in itself': PROTO + b'}\x94K\x01h\x00s.',
        'unhashable key': PROTO + b'}]K\x01s.',
        'huge int as text': PROTO + b'I' + b'9' * 60000 + b'\n.',
        'stop at once': PROTO + b'.',
        'no stop': PROTO + b'N' * 60000,
        'empty': b'',
        'noise': random.Random(7).randbytes(50000),
    }


def bombs(witness):
    """All of them, and each once more inside what is otherwise a node's data in good shape (where
    a value may well contain itself)."""
    made = {**code(witness), **memory()}
    for name, bomb in list(made.items()):
        if name.endswith('in itself'):
            continue
        body = bomb.removeprefix(PROTO).removesuffix(b'.')
        made[f'{name}, in a node'] = (PROTO + b'}(' + text('type_id') + text('Thing')
                                      + text('content') + body + text('links') + b']u.')
    return made


def frames(bomb, uuid):
    """(channel, chunks) of every message with the bomb in every place."""
    yield 'command', [bomb]
    yield 'data', [bomb]
    for number in (raw.DELETE, raw.RIGHT, raw.SNAPSHOT, raw.SERVER_SNAPSHOT, raw.KICK,
                   raw.METADATA, raw.AUTH, raw.SERVER_INFO):
        yield 'command', [raw.pickled(number), b'someone', bomb]
    yield 'data', [raw.pickled(raw.NODE), b'new', b'COMMON', raw.pickled(None), bomb]
    yield 'data', [raw.pickled(raw.NODE), b'new', b'COMMON', bomb, raw.pickled(DATA)]
    yield 'data', [raw.pickled(raw.COMMIT), uuid.encode(), raw.pickled([]), bomb]
    yield 'data', [raw.pickled(raw.COMMIT), uuid.encode(), bomb, raw.pickled({})]


GREETING = b'\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03\x01NULL' + bytes(48)


def ready(identity=b'', socket_type=b'DEALER'):
    body = b'\x05READY'
    for name, value in ((b'Socket-Type', socket_type), (b'Identity', identity)):
        body += bytes([len(name)]) + name + struct.pack('>I', len(value)) + value
    return b'\x04' + bytes([len(body)]) + body


def first_words():
    """What comes first from peers that are no clients, by the kind that the server counts."""
    return {
        'http': b'GET / HTTP/1.1\r\nHost: here\r\n\r\n',
        'tls': bytes.fromhex('16030100c8010000c40303') + bytes(190),
        'ssh': b'SSH-2.0-OpenSSH_9.2p1\r\n',
        'framed': b'\x00\x00\x00\x10' + bytes(16) + b'C',
        'old_zmtp': b'\xff\x00\x00\x00\x00\x00\x00\x00\x11\x7f\x01\x05',
        'zmtp': GREETING[:12] + b'CURVE' + bytes(47),
        'other': b'\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x03\x00\x00\x00',
        'silent': b'',
    }


def streams():
    """Bytes for any port, after which nothing may be changed: noise, unfinished and huge frames."""
    noise = random.Random(11)
    shake = GREETING + ready(b'i' * 16)
    yield b''
    yield b'\n'
    yield from first_words().values()
    for size in (1, 64, 5000, 200000):
        yield noise.randbytes(size)
    yield GREETING
    yield GREETING + ready(b'i' * 200)
    yield GREETING + b'\x04\x03\x05RE'
    yield GREETING + ready(socket_type=b'ROUTER')
    yield GREETING + ready(socket_type=b'SUB')
    yield GREETING + b'\x06' + b'\xff' * 8
    for tail in (b'\x02' + b'\xff' * 8, b'\x03' + struct.pack('>Q', 1 << 40) + bytes(100000),
                 b'\x01\x00' * 100000, b'\x07\x00', b'\xff\xff', b'\x00\x05abc',
                 b'\x04\x09\x04PING\x00\x00xy' * 1000, b'\x04\x05\x05ERROR'):
        yield shake + tail
    yield b'\x00\x00\x00\x10' + bytes(16) + b'C' + b'\xff\xff\xff\xff'
    yield b'\x00\x00\x00\x10' + bytes(16) + b'D' + b'\x00\x00\x00\x01\xff\xff\xff\xff' + bytes(1000)
    yield b'\x00\x00\x00\x10' + bytes(16) + b'X'
