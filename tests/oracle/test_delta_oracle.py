"""The fold of deltas against deepdiff 8.1.1 itself.

Cases come from seeds. A failure prints its seed and a smaller case that fails too. By default some
thousands of cases; HOLDFAST_LONG=1 runs several hundred thousand, HOLDFAST_SEED=n just that one,
HOLDFAST_FIRST_SEED=n as many from there on. The tool is taken from HOLDFAST_BUILD, by default build/dev.
"""

import io
import logging
import math
import os
import pathlib
import pickle
import random
import struct
import subprocess
import traceback

import pytest

deepdiff = pytest.importorskip("deepdiff")
from deepdiff import DeepDiff, Delta  # noqa: E402
from deepdiff.helper import Opcode  # noqa: E402
from deepdiff.path import _path_to_elements  # noqa: E402
from deepdiff.serialization import pickle_dump  # noqa: E402

from delta_writer import compare_by_name, memory_limit, write_delta  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("HOLDFAST_BUILD", ROOT / "build" / "dev"))
LONG = os.environ.get("HOLDFAST_LONG") == "1"


class Records(logging.Handler):
    def __init__(self):
        super().__init__(logging.ERROR)
        self.count = 0

    def emit(self, record):
        self.count += 1


RECORDS = Records()
logging.getLogger("deepdiff").addHandler(RECORDS)
logging.getLogger("deepdiff").propagate = False


class Tool:
    def __init__(self):
        path = BUILD / "tests" / "delta_tool"
        if not path.exists():
            pytest.skip(f"{path} is not built")
        self.process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, request):
        self.process.stdin.write(request)
        self.process.stdin.flush()
        status = self.read(1)
        if status == b"O":
            skipped = struct.unpack("<I", self.read(4))[0]
            return "ok", skipped, self.read_string()
        assert status == b"E"
        kind = self.read(1).decode()
        return kind, 0, self.read_string().decode(errors="replace")

    def read(self, size):
        data = self.process.stdout.read(size)
        assert len(data) == size, "the tool has died"
        return data

    def read_string(self):
        return self.read(struct.unpack("<I", self.read(4))[0])

    @staticmethod
    def string(data):
        return struct.pack("<I", len(data)) + data

    def fold(self, base, delta):
        return self.ask(b"F" + self.string(base) + self.string(delta))


@pytest.fixture(scope="module")
def tool():
    assert deepdiff.__version__ == "8.1.1"
    return Tool()


# --- Comparison: same types, same order of dicts, same bits of floats, same sharing -----------------

def same(a, b, pairs=None):
    pairs = {} if pairs is None else pairs
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, dict, set, bytearray)):
        if id(a) in pairs or id(b) in pairs:
            return pairs.get(id(a)) == id(b) and pairs.get(id(b)) == id(a)
        pairs[id(a)] = id(b)
        pairs[id(b)] = id(a)
    if isinstance(a, float):
        return struct.pack("<d", a) == struct.pack("<d", b) or (math.isnan(a) and math.isnan(b))
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y, pairs) for x, y in zip(a, b))
    if isinstance(a, dict):
        return len(a) == len(b) and all(
            same(k, m, pairs) and same(v, w, pairs) for (k, v), (m, w) in zip(a.items(), b.items()))
    if isinstance(a, (set, frozenset)):
        return len(a) == len(b) and sorted(map(typed, a)) == sorted(map(typed, b))
    return a == b


def typed(value):
    if isinstance(value, (tuple, frozenset)):
        parts = [typed(item) for item in value]
        return f"{type(value).__name__}({', '.join(parts if isinstance(value, tuple) else sorted(parts))})"
    return f"{type(value).__name__}:{value!r}"


def expected(base, delta):
    """What a client does: Commit._deserialize, then Node.patch. None where it raises."""
    RECORDS.count = 0
    try:
        with memory_limit():
            return "ok", pickle.loads(base) + Delta(delta), None
    except Exception as error:  # whatever it is, it ends the client's session
        return "R", None, "".join(traceback.format_exception_only(error))


def verdict(tool, base, delta):
    """Nothing if both folds agree, or what is wrong; and the kind of our answer."""
    status, wanted, error = expected(base, delta)
    logged = RECORDS.count
    kind, skipped, answer = tool.fold(base, delta)
    if kind in "UL" or (kind == "P" and status == "R"):
        return None, (kind, answer)
    if kind in "PX":
        return f"tool: {kind} {answer}", (kind, answer)
    if kind != status:
        got = pickle.loads(answer) if kind == "ok" else answer
        return f"deepdiff: {status} {error or repr(wanted)}\n    ours: {kind} {got!r}", (kind, "")
    if kind == "R":
        return None, (kind, answer)
    try:
        # As a reader of our pickle would have it.
        wanted = pickle.loads(pickle.dumps(wanted, protocol=4))
    except RecursionError:
        return f"deepdiff made a value in itself, we: {pickle.loads(answer)!r}", (kind, "")
    got = pickle.loads(answer)
    if not same(got, wanted):
        return f"deepdiff: {wanted!r}\n    ours: {got!r}", (kind, "")
    if (skipped > 0) != (logged > 0):
        return f"deepdiff logged {logged}, we skipped {skipped}: {wanted!r}", (kind, "")
    return None, (kind, "")


# --- Random values -----------------------------------------------------------------------------------

STRINGS = ["a", "b", "name", "x y", "it's", 'say "x"', """both ' and \"""", "", "back\\slash", "1", "2.5",
           "None", "True", "[0]", "a.b", "__private", "é", "日本", "𝆺𝅥𝅯", "\n", "tab\t", "root", "a]b",
           "(1, 2)", "-1", "b'x'", "NONE", "int:1", "long " * 6, "\ud800", "0", "#"]


class Random:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.shared = []

    def chance(self, one_in):
        return self.random.randrange(one_in) == 0

    def string(self):
        return self.random.choice(STRINGS[:8] if self.chance(2) else STRINGS)

    def number(self):
        return self.random.choice([
            0, 1, 2, 3, -1, self.random.randrange(-1000, 1000), 2**63, -2**63, 2**64 + 1, -2**70,
            10**30, 0.0, -0.0, 1.0, 1.5, -2.25, 1e300, 1e16, 1e-5, 123456.789, float("inf"),
            float("nan") if self.chance(4) else 2.0])

    def leaf(self):
        return self.random.choice([
            self.string, self.number, self.number, lambda: None, lambda: True, lambda: False,
            lambda: self.random.choice([b"", b"abc", b"12", b"\xff\x00'", b"x" * 2000]),
            lambda: self.random.randrange(10)])()

    def key(self):
        if not self.chance(4):
            return self.string()
        return self.random.choice([0, 1, 2, -1, 1.5, True, None, (1, 2), (1,), (), b"k", 2**65, "",
                                   (1, (2, None)), 1e20, "a"])

    def hashable(self, depth=0):
        if depth < 2 and self.chance(5):
            return tuple(self.hashable(depth + 1) for _ in range(self.random.randrange(3)))
        if depth < 2 and self.chance(8):
            return frozenset(self.hashable(depth + 1) for _ in range(self.random.randrange(3)))
        return self.leaf()

    def value(self, depth=0, flat=6):
        if self.shared and self.chance(12):
            return self.random.choice(self.shared)
        if depth >= 4 or self.chance(3):
            return self.leaf()
        kind = self.random.randrange(20)
        size = self.random.randrange(flat)
        if kind < 8:
            made = {self.key(): self.value(depth + 1) for _ in range(size)}
        elif kind < 14:
            # Lists of plain items are what deepdiff makes opcodes for.
            made = [self.random.randrange(5) if kind < 10 else self.value(depth + 1)
                    for _ in range(size)]
        elif kind < 17:
            made = tuple(self.value(depth + 1) for _ in range(size))
        elif kind < 19:
            made = {self.hashable() for _ in range(size)}
        else:
            made = frozenset(self.hashable() for _ in range(size))
        if isinstance(made, (list, dict)) and self.chance(6):
            self.shared.append(made)
        return made

    def edited(self, value, depth=0):
        """A new value, much like the old one."""
        if self.chance(12):
            return self.value(depth)
        if isinstance(value, dict):
            items = [(k, self.edited(v, depth + 1) if self.chance(2) else v) for k, v in value.items()]
            if items and self.chance(3):
                del items[self.random.randrange(len(items))]
            if self.chance(3):
                items.insert(self.random.randrange(len(items) + 1), (self.key(), self.value(depth + 1)))
            return dict(items)
        if isinstance(value, (list, tuple)):
            items = [self.edited(v, depth + 1) if self.chance(2) else v for v in value]
            for _ in range(self.random.randrange(3)):
                if items and self.chance(2):
                    del items[self.random.randrange(len(items))]
                elif self.chance(2):
                    items.insert(self.random.randrange(len(items) + 1), self.value(depth + 1))
                elif len(items) > 1 and self.chance(3):
                    self.random.shuffle(items)
            kind = type(value)
            if self.chance(15):
                kind = self.random.choice([list, tuple])
            return kind(items)
        if isinstance(value, (set, frozenset)):
            items = [v for v in value if not self.chance(4)]
            if self.chance(2):
                items.append(self.hashable())
            return type(value)(items)
        return self.converted(value) if self.chance(2) else self.leaf()

    def converted(self, value):
        """The value as another type: changes of type that carry no new value."""
        kind = self.random.choice([str, int, float, bool, list, tuple, set, frozenset, dict, bytes])
        try:
            return kind(value) if not (kind is bytes and isinstance(value, int)) else value
        except Exception:
            return value


# --- Deltas ------------------------------------------------------------------------------------------

def diff_options(rng):
    options = {"cache_size": 5000}
    kind = rng.random.randrange(10)
    if kind in (0, 1, 2):
        options.update(ignore_order=True, report_repetition=True)
    elif kind == 3:
        options["iterable_compare_func"] = compare_by_name
    elif kind == 4:
        options["ignore_string_type_changes"] = True
    elif kind == 5:
        options["zip_ordered_iterables"] = True
    return options


class Crafted:
    """Deltas that deepdiff would not make: any action at any path."""

    def __init__(self, rng, base):
        self.rng = rng
        self.paths = ["root"]
        self.values = {}
        self.walk(base, "root", 0)

    def walk(self, value, path, depth):
        if depth > 5 or len(self.paths) > 60:
            return
        if isinstance(value, dict):
            children = [(repr(key), item) for key, item in value.items()]
        elif isinstance(value, (list, tuple)):
            children = [(str(index), item) for index, item in enumerate(value)]
        else:
            children = []
        for key, item in children:
            self.paths.append(f"{path}[{key}]")
            self.values[f"{path}[{key}]"] = item
            self.walk(item, f"{path}[{key}]", depth + 1)

    def path(self):
        rng = self.rng
        path = rng.random.choice(self.paths)
        while rng.chance(2):
            path += rng.random.choice(["[0]", "[1]", "[2]", "[-1]", "['a']", "['name']", '["b"]', "[None]", "[1.5]",
                                       "[True]", ".name", ".a", "[99]", "['']", "[(1, 2)]", "[b'k']", "[5]",
                                       "[3]", ".index", "[36893488147419103232]", "[-5]", "[a]"])
        return path

    def items(self, make, most=3):
        count = 40 if self.rng.chance(40) else self.rng.random.randrange(1, most + 1)
        items = {self.path(): make() for _ in range(count)}
        if self.rng.chance(5):  # many of one container
            path = self.rng.random.choice(self.paths)
            keys = self.rng.random.sample(range(-1 if self.rng.chance(4) else 0, 25), 15)
            for key in keys:
                there = self.values.get(f"{path}[{key}]", 0)
                items[f"{path}[{key}]"] = make() if self.rng.chance(20) else make(there)
        if not self.rng.chance(4):
            items.pop("root", None)
        return items

    def delta(self):
        rng = self.rng
        value = lambda there=None: rng.value(2) if there is None else there  # noqa: E731
        types = [str, int, float, bool, list, tuple, dict, set, frozenset, bytes, type(None), complex]
        opcode = lambda: Opcode(  # noqa: E731
            rng.random.choice(["equal", "replace", "insert", "delete"]), rng.random.randrange(-1, 4),
            rng.random.choice([None, 0, 1, 2, 5]), 0, 0, None,
            rng.random.choice([None, [value()], [value(), value()], []]))
        type_change = lambda: {"old_type": int, "new_type": rng.random.choice(types)}  # noqa: E731
        actions = {
            "values_changed": lambda there=None: {"new_value": value()},
            "type_changes": lambda there=None: type_change() if rng.chance(2) else
            {**type_change(), "new_value": value()},
            "dictionary_item_added": value, "dictionary_item_removed": value,
            "iterable_item_added": value, "iterable_item_removed": value,
            "attribute_added": value, "attribute_removed": value,
            "set_item_added": lambda there=None: {rng.hashable()}, "set_item_removed": lambda there=None: {rng.hashable()},
            "_iterable_opcodes": lambda there=None: [opcode() for _ in range(rng.random.randrange(4))],
            "iterable_items_added_at_indexes":
                lambda there=None: {rng.random.randrange(5): value() for _ in range(2)},
            "iterable_items_removed_at_indexes":
                lambda there=None: {rng.random.randrange(5): value() for _ in range(2)},
            "iterable_item_moved": lambda there=None: {"new_path": self.path(), "value": value()},
        }
        delta = {}
        for _ in range(rng.random.randrange(1, 4)):
            name = rng.random.choice(list(actions))
            delta[name] = self.items(actions[name])
        if rng.chance(20):
            delta["_iterable_compare_func_was_used"] = True
        if rng.chance(30):
            delta["unknown"] = {"root": 1}
        return pickle_dump(delta)


def make_base(rng):
    old = rng.value(flat=9)
    while not isinstance(old, (dict, list)) and not rng.chance(5):
        old = rng.value(flat=9)
    return old


def make_case(seed):
    rng = Random(seed)
    old = make_base(rng)
    kind = seed % 4
    if kind == 3:
        if isinstance(old, dict) and rng.chance(2):
            old["long"] = [rng.random.randrange(3) if rng.chance(2) else rng.leaf() for _ in range(20)]
            old["wide"] = {key: rng.leaf() for key in range(20)}
        return old, Crafted(rng, old).delta()
    new = rng.edited(old)
    delta = write_delta(old, new, diff_options(rng))
    if kind == 2:  # a delta that was not made for this base
        old = rng.edited(old) if rng.chance(2) else rng.edited(rng.edited(new))
    return old, delta


def shrink(tool, base, delta, wrong):
    """Leaves out parts of the delta and of the base for as long as it still fails."""
    def fails(candidate_base, candidate_delta):
        try:
            pair = (pickle.dumps(candidate_base, protocol=4), pickle_dump(candidate_delta))
            return verdict(tool, *pair)[0]
        except Exception:
            return None

    def without(value):
        if isinstance(value, dict):
            for key in value:
                yield {k: v for k, v in value.items() if k != key}
            for key in value:
                for smaller in without(value[key]):
                    yield {**value, key: smaller}
        elif isinstance(value, (list, tuple)) and not isinstance(value, Opcode):
            for index in range(len(value)):
                yield type(value)(list(value[:index]) + list(value[index + 1:]))
            for index in range(len(value)):
                for smaller in without(value[index]):
                    yield type(value)(list(value[:index]) + [smaller] + list(value[index + 1:]))

    base = pickle.loads(base)
    delta = Delta(delta).diff
    for _ in range(300):
        for candidate in [(base, d) for d in without(delta)] + [(b, delta) for b in without(base)]:
            found = fails(*candidate)
            if found:
                base, delta = candidate
                wrong = found
                break
        else:
            break
    return f"base:  {base!r}\n    delta: {delta!r}\n    {wrong}"


def seeds(short, long):
    if "HOLDFAST_SEED" in os.environ:
        return [int(os.environ["HOLDFAST_SEED"])]
    first = int(os.environ.get("HOLDFAST_FIRST_SEED", "0"))
    return range(first, first + (long if LONG else short))


def test_folds_as_deepdiff_does(tool):
    kinds = {}
    reasons = {}
    for seed in seeds(8_000, 400_000):
        old, delta = make_case(seed)
        if delta is None:
            continue
        try:
            base = pickle.dumps(old, protocol=4)
        except RecursionError:
            continue
        wrong, (kind, reason) = verdict(tool, base, delta)
        assert not wrong, f"\n  seed {seed}\n    {shrink(tool, base, delta, wrong)}"
        where = "made" if seed % 4 < 2 else "other base" if seed % 4 == 2 else "crafted"
        kinds[where, kind] = kinds.get((where, kind), 0) + 1
        if kind in "ULP":
            text = f"{where} {kind} {reason[:60]}"
            reasons[text] = reasons.get(text, 0) + 1
    print(kinds)
    for reason, count in sorted(reasons.items(), key=lambda item: -item[1])[:40]:
        print(f"{count:6} {reason}")
    if "HOLDFAST_SEED" not in os.environ:
        made = sum(count for (where, _), count in kinds.items() if where == "made")
        refused = sum(count for (where, kind), count in kinds.items()
                      if where == "made" and kind in "ULP")
        assert refused < made * 0.03, "what deepdiff itself makes is folded, but for rare values"


# --- Values that are inside themselves ---------------------------------------------------------------

class RecursiveRandom(Random):
    """Many of its lists and dicts stand somewhere in themselves."""

    def __init__(self, seed):
        super().__init__(seed)
        self.above = []

    def value(self, depth=0, flat=6):
        if self.above and self.chance(5):
            return self.random.choice(self.above)
        if depth >= 4 or self.chance(2):
            made = super().value(depth, flat)
        elif self.chance(2):
            made = []
            self.above.append(made)
            made.extend(self.value(depth + 1) for _ in range(self.random.randrange(flat)))
            self.above.pop()
        else:
            made = {}
            self.above.append(made)
            for _ in range(self.random.randrange(flat)):
                made[self.key()] = self.value(depth + 1)
            self.above.pop()
        if self.above:
            self.shared.clear()  # what refers to what it is in must not come twice
        return made

    def edited(self, value, depth=0):
        """A copy with some changes in place."""
        value = pickle.loads(pickle.dumps(value, protocol=4))
        for _ in range(self.random.randrange(1, 4)):
            self.edit(value)
        return value

    def edit(self, value):
        around = []
        while isinstance(value, (list, dict, tuple)) and value:
            around.append(value)
            inner = self.random.choice(list(value.values()) if isinstance(value, dict) else value)
            if not isinstance(inner, (list, dict, tuple)) or any(inner is one for one in around) or self.chance(3):
                break
            value = inner
        around = [one for one in around if not isinstance(one, tuple)]
        new = self.random.choice(around) if around and self.chance(4) else super().value(3)
        if isinstance(value, dict):
            if value and self.chance(3):
                del value[self.random.choice(list(value))]
            else:
                value[self.random.choice(list(value)) if value and self.chance(2) else self.key()] = new
        elif isinstance(value, list):
            if value and self.chance(3):
                del value[self.random.randrange(len(value))]
            elif value and self.chance(2):
                value[self.random.randrange(len(value))] = new
            else:
                value.insert(self.random.randrange(len(value) + 1), new)


def test_folds_recursive_values_as_deepdiff_does(tool):
    kinds = {}
    reasons = {}
    for seed in seeds(3_000, 150_000):
        rng = RecursiveRandom(seed)
        old = make_base(rng)
        is_made = seed % 3 > 0
        delta = write_delta(old, rng.edited(old), diff_options(rng)) if is_made else Crafted(rng, old).delta()
        if delta is None:
            continue
        base = pickle.dumps(old, protocol=4)
        wrong, (kind, reason) = verdict(tool, base, delta)
        if wrong and kind == "P" and "two ways" in reason:
            kind = "two ways"
        else:
            assert not wrong, f"\n  seed {seed}\n    base: {old!r}\n    delta: {Delta(delta).diff!r}\n    {wrong}"
        is_recursive = "recursive" if "..." in repr(old) or "..." in repr(Delta(delta).diff) else "plain"
        kinds[is_recursive, is_made, kind] = kinds.get((is_recursive, is_made, kind), 0) + 1
        if kind in "ULP" and is_made:
            reasons[reason[:60]] = reasons.get(reason[:60], 0) + 1
    print(kinds)
    print(reasons)
    if "HOLDFAST_SEED" not in os.environ:
        assert kinds["recursive", True, "ok"] > 300


# --- Paths -------------------------------------------------------------------------------------------

PIECES = ["root", "[", "]", "'", '"', ".", "a", "name", "__x", "0", "1", "-1", "-", "+", "1.5", "1e5", "1_000",
          "0x1f", "0o17", "0b1", "007", "00", "None", "True", "False", "(", ")", ",", " ", "\t", "\n", "\\",
          "𝆺𝅥𝅯", "é", "b'", "u'", "r'", "f'", "B\"", "rb'", "j", "#", "_", "\f", "\r", "set", "()", "{", "}",
          "...", "9" * 20, "1.", ".5", "e", "inf", "nan", "\x00", "\ud800", "０", "(1, 2)", "(1,)", "'a'",
          "['a']", "[0]", "['it\"s']", '["it\'s"]', "a'b", "1e400", "-0.0", "5 ", " 5", "5\n", "1 2"]


def test_paths_are_read_as_deepdiff_does(tool):
    refused = 0
    for seed in seeds(20_000, 1_000_000):
        rng = random.Random(seed)
        path = "root" if rng.random() < 0.9 else ""
        for _ in range(rng.randrange(1, 9)):
            path += rng.choice(PIECES)
            if rng.random() < 0.3:
                path += f"[{''.join(rng.choice(PIECES) for _ in range(rng.randrange(4)))}]"
        wanted = [(key, action == "GETATTR") for key, action in _path_to_elements(path)[1:]]
        kind, _, answer = tool.ask(b"P" + tool.string(path.encode("utf-8", "surrogatepass")))
        if kind == "U":
            refused += 1
            continue
        got = pickle.loads(answer)
        assert same(got, wanted), f"seed {seed}: {path!r}\n  deepdiff: {wanted!r}\n  ours: {got!r}"
    assert refused < 2_000 or LONG


def test_every_key_that_deepdiff_writes_is_read(tool):
    """A change below each kind of key goes where deepdiff takes it."""
    for key in STRINGS + [0, -1, 1.5, -0.0, 1e20, 1e-7, True, None, (), (1,), (1, (2, 3)), b"k", b"'", 2**80,
                          -2**80, ("a", 1)]:
        old, new = {key: {"x": [1, {"y": 2}]}}, {key: {"x": [1, {"y": 3}]}}
        try:
            delta = Delta(DeepDiff(old, new)).dumps()
        except TypeError:
            assert isinstance(key, bytes)  # deepdiff itself cannot write such a path
            continue
        wrong, _ = verdict(tool, pickle.dumps(old, protocol=4), delta)
        assert not wrong, f"{key!r}: {wrong}"


# --- What Python cannot print, parse or copy ---------------------------------------------------------

HUGE = 10**5000  # Python raises when it writes more than 4,300 digits
HEX = "0x" + "f" * 4000


def nested(wrap, levels):
    value = 1
    for _ in range(levels):
        value = wrap(value)
    return value


@pytest.mark.parametrize("base, delta", [
    # The log line of what is gone over holds the values, and so does that of a list's index.
    ({"a": [HUGE, 1]}, {"iterable_items_removed_at_indexes": {"root['a']": {0: 5}}}),
    ({"a": [3, 1]}, {"iterable_items_removed_at_indexes": {"root['a']": {0: HUGE}}}),
    ({"a": [3]}, {"iterable_items_added_at_indexes": {"root['a']": {9: 5, 11: [HUGE]}}}),
    ({"a": HUGE}, {"type_changes": {"root['a']": {"old_type": int, "new_type": list}}}),
    ({"a": {HUGE: 1}}, {"type_changes": {"root['a']": {"old_type": dict, "new_type": int}}}),
    ({"a": [1]}, {"dictionary_item_added": {f"root['a'][{HEX}]": 1}}),
    ({"a": (1,)}, {"iterable_item_added": {f"root['a'][{HEX}]": 1}}),
    # A part without quotes is parsed as Python; its parser raises on some, before anything is logged.
    ({1: 2}, {"dictionary_item_removed": {f"root[{'-' * 3000}1]": 1, "root[1]": 3}}),
    ({1: 2}, {"dictionary_item_removed": {f"root[{'not ' * 5000}1]": 1, "root[1]": 3}}),
    ({1: 2}, {"attribute_added": {f"root[{'(' * 200}=1]": 1, "root[1]": 3}}),
    ({1: 2}, {"iterable_item_added": {f"root.{'lambda:' * 5000}": 1, "root[1]": 3}}),
    # Each edit begins with a copy of the node, made by functions that call themselves.
    ({"a": nested(lambda inner: frozenset([inner]), 200), "b": 1}, {"values_changed": {"root['b']": {"new_value": 2}}}),
], ids=range(12))
def test_what_would_raise_in_every_client_is_refused(tool, base, delta):
    base, delta = pickle.dumps(base, protocol=4), pickle_dump(delta)
    assert expected(base, delta)[0] == "R"
    wrong, (kind, _) = verdict(tool, base, delta)
    assert not wrong and kind != "ok"


def test_what_would_make_a_later_delta_raise_is_refused(tool):
    """deepdiff keeps the paths of changed tuples in a cache of the process, in which 1.0 is 1."""
    def changed(path, value):
        return pickle.dumps(value, protocol=4), pickle_dump({"values_changed": {path: {"new_value": 9}}})

    first = changed("root['a'][1.0][0]", {"a": {1.0: (5,)}})
    second = changed("root['a'][1][0]", {"a": [0, (5,)]})
    _path_to_elements.cache_clear()
    try:
        assert expected(*second)[0] == "ok" and tool.fold(*second)[0] == "ok"
        _path_to_elements.cache_clear()
        assert expected(*first)[0] == "ok" and expected(*second)[0] == "R"
    finally:
        _path_to_elements.cache_clear()
    assert tool.fold(*first)[0] == "U"
    for path, value in (("root[1.5][0]", {1.5: (5,)}), ("root[1.0]", {1.0: 5}), ("root[1.0]['b'][0]", {1.0: {"b": [5]}}),
                        ("root[1e20][0]", {1e20: (5,)})):
        wrong, (kind, _) = verdict(tool, *changed(path, value))
        assert not wrong and kind == "ok", path


@pytest.mark.parametrize("base, delta", [
    ({"a": bytes(20_000_000)}, {"iterable_items_added_at_indexes": {"root['a']": {0: 1}}}),
    ({"a": 1}, {"dictionary_item_removed": {f"root{'[0]' * 5_000}{n}": 1 for n in range(500)}}),
    ({"a": 1}, {"dictionary_item_removed": {f"root['{'x' * 20_000}']": 1}}),
], ids=range(3))
def test_what_would_keep_clients_busy_is_refused(base, delta):
    """deepdiff takes seconds to minutes for these, and keeps long paths for ever."""
    tool = Tool()
    kind, _, answer = tool.fold(pickle.dumps(base, protocol=4), pickle_dump(delta))
    peak = next(int(line.split()[1]) for line in open(f"/proc/{tool.process.pid}/status") if line.startswith("VmHWM:"))
    assert kind == "L", answer[:200]
    assert peak < 2 << 20, "KiB"
    tool.process.stdin.close()
    tool.process.wait()


@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: (v,), lambda v: {"k": v}, lambda v: frozenset([v]),
                                  lambda v: {(v,) if not isinstance(v, dict) else 1: v}],
                         ids=["list", "tuple", "dict", "frozenset", "both"])
def test_what_is_as_deep_as_we_let_pass_clients_can_copy_and_compare(tool, wrap):
    for levels in range(90, 140):
        try:
            value = nested(wrap, levels)
        except TypeError:
            value = nested(lambda v: [v], levels)
        bases = ({"a": value, "b": 1}, {"a": [value, [value]], "b": 1})
        deltas = ({"values_changed": {"root['b']": {"new_value": 2}}},
                  {"iterable_items_added_at_indexes": {"root['a']": {0: [1]}}})
        for base, delta in zip(bases, deltas):
            wrong, (kind, _) = verdict(tool, pickle.dumps(base, protocol=4), pickle_dump(delta))
            assert not wrong or (kind == "P" and levels > 120), f"{levels}: {wrong}"
    assert kind == "P", "deeper values are refused"


# --- Order -------------------------------------------------------------------------------------------

def test_items_are_sorted_as_deepdiff_does(tool):
    keys = ["['a']", "['b']", "[0]", "[1]", "[10]", "[2]", "[True]", "[1.5]", "[None]", "[(1, 2)]", "[(1, 'a')]",
            "['1']", "['10']", "[b'x']", ".a", "[-1]", "[1e20]", "['é']", "[36893488147419103232]"]
    delta = Delta({})
    for seed in seeds(5_000, 200_000):
        rng = random.Random(seed)
        some = rng.sample(keys, rng.randrange(1, 6))
        paths = list({"root" + "".join(rng.choice(some) for _ in range(rng.randrange(1, 4)))
                      for _ in range(rng.choice([2, 3, 5, 10, 60]))})
        backwards = rng.random() < 0.5
        items = {path: None for path in paths}
        try:
            try:
                wanted = sorted(items.items(), key=delta._sort_key_for_item_added, reverse=backwards)
            except TypeError:
                from functools import cmp_to_key
                wanted = sorted(items.items(), key=cmp_to_key(delta._sort_comparison), reverse=backwards)
            wanted = [path for path, _ in wanted]
        except TypeError:
            wanted = None
        request = io.BytesIO()
        request.write(b"SR" if backwards else b"SA")
        request.write(tool.string(pickle.dumps(paths, protocol=4)))
        kind, _, answer = tool.ask(request.getvalue())
        if kind == "U":
            continue
        got = pickle.loads(answer) if kind == "ok" else None
        assert got == wanted, f"seed {seed}: {paths!r}\n  deepdiff: {wanted!r}\n  ours: {got!r}"
