"""Records what the picklers of the Python that runs it write: tests/corpus/writers/pythonX.Y.zip.

    pythonX.Y record_pickles.py OUT_FOLDER

Needs nothing but that Python. test_pickle_oracle.py reads the files with another Python and with us.
"""

import io
import pathlib
import pickle
import random
import sys
import zipfile

LEAVES = [None, True, False, 0, 1, -1, 255, 256, 65535, 65536, 2**31 - 1, 2**31, -2**31 - 1, 2**63, -2**63, -2**64,
          10**50, -2**2039, 2**4000, 0.0, -0.0, 1.5, 5e-324, float("inf"), float("-inf"), float("nan"), "", "a",
          "location", "\ud800", "\udfff\U0001d11e", "äß€", "x" * 256, "y" * 70000, b"", b"\xff", b"z" * 256,
          b"w" * 70000, bytearray(), bytearray(b"abc"), bytearray(300)]


def made(seed):
    rng = random.Random(seed)
    earlier = []

    def key(depth=2):
        if depth and rng.random() < 0.2:
            return rng.choice([tuple, frozenset])([key(depth - 1) for _ in range(rng.randrange(4))])
        return rng.choice([leaf for leaf in LEAVES[:33] if not isinstance(leaf, bytearray)])

    def value(depth):
        if depth == 0 or rng.random() < 0.3:
            return rng.choice(LEAVES[:33] + [bytearray(b"abc")] if rng.random() < 0.95 else LEAVES)
        if earlier and rng.random() < 0.2:
            return rng.choice(earlier)
        size = rng.choice([0, 1, 2, 3, 4])
        result = rng.choice([
            lambda: [value(depth - 1) for _ in range(size)], lambda: {key(): value(depth - 1) for _ in range(size)},
            lambda: tuple(value(depth - 1) for _ in range(size)), lambda: {key() for _ in range(size)},
            lambda: frozenset(key() for _ in range(size)), lambda: bytearray(range(size))])()
        earlier.append(result)
        return result

    return value(4)


def in_python(value, protocol):
    out = io.BytesIO()
    pickle._Pickler(out, protocol).dump(value)
    return out.getvalue()


def main():
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}.zip"
    values = LEAVES + [list(range(2001)), dict.fromkeys(range(1001)), set(range(1000)), tuple(range(300))]
    values += [made(seed) for seed in range(60)]
    with zipfile.ZipFile(pathlib.Path(sys.argv[1]) / name, "w", zipfile.ZIP_DEFLATED) as out:
        for number, value in enumerate(values):
            for protocol in (2, 3, 4, 5):
                for how, write in (("c", pickle.dumps), ("python", in_python)):
                    entry = zipfile.ZipInfo(f"{number:03}-{protocol}-{how}")
                    entry.compress_type = zipfile.ZIP_DEFLATED
                    out.writestr(entry, write(value, protocol))


if __name__ == "__main__":
    main()
