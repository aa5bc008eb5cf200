"""Asked by pickle_python_fuzz.cpp: does Python load these two pickles as the same value?

    question = mode length pickle length pickle     mode: 1 byte; lengths: 4 bytes, little endian
    answer   = length text                          what is different, or nothing

Mode 0: as pickle.Unpickler and the unpickler written in Python load them; 1: as deepdiff loads deltas.
Classes are named only, and from a closed list: a gate that lets another one pass has a fault.
"""

import io
import pickle
import struct
import sys

try:
    from deepdiff.serialization import _RestrictedUnpickler as DeltaUnpickler
except ImportError:
    DeltaUnpickler = None

MODULES = {'builtins', '__builtin__', '_codecs', 'deepdiff.helper', 'orderly_set.sets'}
CLASSES = {'bool', 'bytearray', 'bytes', 'complex', 'dict', 'float', 'frozenset', 'int', 'list', 'set', 'str',
           'tuple', 'unicode', 'long', 'encode', 'NoneType', 'Opcode', 'SetOrdered', 'OrderedSet', 'OrderlySet',
           'StableSetEq'}
SETS = ('SetOrdered', 'OrderedSet', 'OrderlySet', 'StableSetEq')
STEPS_MAX = 100_000


class CannotCompare(Exception):
    """Too large, or of a class that is not installed here."""


class Closed:
    def find_class(self, module, name):
        if module not in MODULES or name not in CLASSES:
            raise AssertionError(f'{module}.{name} has passed the gate')
        try:
            return super().find_class(module, name)
        except ImportError as error:
            raise CannotCompare from error

    def persistent_load(self, pid):
        assert pid == '<<NoneType>>'
        return type(None)


class FromC(Closed, pickle.Unpickler):
    pass


class FromPython(Closed, pickle._Unpickler):
    pass


class Forms:
    """Numbers for values: the same for equal types, bits, order and sharing of what can change."""

    def __init__(self):
        self.numbers = {}

    def of(self, value):
        self.places = {}  # by id, of what can change
        self.known = {}  # by id, of what cannot
        self.steps = 0
        return self.walk(value)[0]

    def number(self, *form):
        return self.numbers.setdefault(form, len(self.numbers))

    def walk(self, value):
        """(number, whether it cannot change)"""
        self.steps += 1
        if self.steps > STEPS_MAX:
            raise CannotCompare
        kind = type(value)
        name = kind.__name__
        if kind in (list, dict, set, bytearray) or name in SETS:
            if id(value) in self.places:
                return self.number('again', self.places[id(value)]), False
            self.places[id(value)] = len(self.places)
        elif id(value) in self.known:
            return self.known[id(value)], True
        fixed = kind in (tuple, frozenset) or name == 'Opcode'
        if kind is float:
            parts, fixed = [struct.pack('>d', value)], True
        elif kind is complex:
            parts, fixed = [struct.pack('>dd', value.real, value.imag)], True
        elif kind is dict:
            parts = [self.walk(each)[0] for item in value.items() for each in item]
        elif kind in (set, frozenset):
            parts = sorted(self.walk(item)[0] for item in value)
        elif kind in (list, tuple) or name == 'Opcode' or name in SETS:
            walked = [self.walk(item) for item in value]
            parts = [number for number, _ in walked]
            fixed = fixed and all(same for _, same in walked)
        elif kind is bytearray:
            parts = [bytes(value)]
        elif isinstance(value, type):
            parts, fixed = [value.__module__, value.__qualname__], True
        else:
            assert kind in (type(None), bool, int, str, bytes), kind
            parts, fixed = [value], True
        number = self.number(name, *parts)
        if fixed:
            self.known[id(value)] = number
        return number, fixed


def load(unpickler, data):
    file = io.BytesIO(data)
    value = unpickler(file).load()
    assert unpickler is DeltaUnpickler or not file.read(), 'bytes are left'
    return value


def difference(mode, given, written):
    for unpickler in ([FromC, FromPython] if mode == 0 else [DeltaUnpickler] if DeltaUnpickler else []):
        forms = Forms()
        numbers = []
        for what, data in (('what was accepted', given), ('what we wrote', written)):
            try:
                value = load(unpickler, data)
                numbers.append(forms.of(value))
            except CannotCompare:
                return ''
            except Exception as error:
                return f'{unpickler.__name__} does not load {what}: {error!r}'
        if numbers[0] != numbers[1]:
            return f'{unpickler.__name__} loads another value from what we wrote'
    return ''


def read_string():
    return sys.stdin.buffer.read(struct.unpack('<I', sys.stdin.buffer.read(4))[0])


def main():
    sys.setrecursionlimit(20_000)
    while mode := sys.stdin.buffer.read(1):
        answer = difference(mode[0], read_string(), read_string()).encode(errors='replace')
        sys.stdout.buffer.write(struct.pack('<I', len(answer)) + answer)
        sys.stdout.buffer.flush()


main()
