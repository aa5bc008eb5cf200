"""Makes deltas, with the deepdiff that is installed where it runs.

As a program it is asked by test_other_deepdiffs.py, in an environment with another version:

    question = size pickle of (old, new, options of DeepDiff)
    answer   = size delta                   empty where deepdiff raises; sizes: u32 little endian
"""

import contextlib
import pickle
import resource
import struct
import sys

from deepdiff import DeepDiff, Delta
from deepdiff.helper import CannotCompare

MEMORY_MAX = 4 << 30


@contextlib.contextmanager
def memory_limit():
    """Around what deepdiff does: a case from a seed must not take the machine. No program is started
    inside, since sanitizers reserve more than that."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def compare_by_name(x, y, level=None):
    try:
        return x["name"] == y["name"]
    except Exception:
        raise CannotCompare() from None


def write_delta(old, new, options):
    """The bytes that a client sends; None where deepdiff itself fails, as it does on odd values."""
    try:
        with memory_limit():
            return Delta(DeepDiff(old, new, **options)).dumps()
    except Exception:
        return None


def main():
    while size := sys.stdin.buffer.read(4):
        question = pickle.loads(sys.stdin.buffer.read(struct.unpack("<I", size)[0]))
        answer = write_delta(*question) or b""
        sys.stdout.buffer.write(struct.pack("<I", len(answer)) + answer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
