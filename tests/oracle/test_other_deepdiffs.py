"""Deltas that other versions of deepdiff write, as docs/decisions/0002 has it: those of 5.7.0 (which
`replication` 0.9.10 pins) are refused, since clients cannot read them; those of 9.1.0 (the newest) are
folded as clients with 8.1.1 fold them.

Each version runs in an environment of its own, which scripts/test makes from writers/*.txt. Cases come
from seeds: HOLDFAST_LONG=1, HOLDFAST_SEED and HOLDFAST_FIRST_SEED are those of test_delta_oracle.py.
"""

import collections
import pathlib
import pickle
import struct
import subprocess

import pytest

from deepdiff import Delta
from deepdiff.serialization import ForbiddenModule

from test_delta_oracle import ROOT, Random, Tool, diff_options, make_base, seeds, shrink, verdict

# What the broker's log line says of a delta of 5.7.0, after the peer's name.
WORDS = "the class deepdiff.helper.OrderedDictPlus is not allowed (the client has not deepdiff 8.1.1"
HERE = pathlib.Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def tool():
    return Tool()


class Writer:
    """A Python with another version of deepdiff."""

    def __init__(self, version):
        python = ROOT / "build" / f"venv-deepdiff-{version}" / "bin" / "python"
        if not python.exists():
            pytest.skip(f"{python} is not there: scripts/test makes it")
        said = subprocess.run([python, "-c", "import deepdiff; print(deepdiff.__version__)"],
                              capture_output=True, check=True)
        assert said.stdout.decode().strip() == version
        self.process = subprocess.Popen([python, HERE / "delta_writer.py"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def delta(self, old, new, options):
        """None where that version raises."""
        question = pickle.dumps((old, new, options), protocol=4)
        self.process.stdin.write(struct.pack("<I", len(question)) + question)
        self.process.stdin.flush()
        return self.read(struct.unpack("<I", self.read(4))[0]) or None

    def read(self, size):
        data = self.process.stdout.read(size)
        assert len(data) == size, "the writer has died"
        return data

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(timeout=60) == 0


@pytest.fixture
def writer(request):
    writer = Writer(request.param)
    yield writer
    writer.close()


def cases(writer, short, long):
    """(seed, base, delta) of each case in which the writer makes one; every third is for another base."""
    for seed in seeds(short, long):
        rng = Random(seed)
        old = make_base(rng)
        new = rng.edited(old)
        delta = writer.delta(old, new, diff_options(rng))
        if seed % 3 == 2:
            old = rng.edited(old)
        if delta is not None:
            yield seed, pickle.dumps(old, protocol=4), delta


@pytest.mark.parametrize("writer", ["5.7.0"], indirect=True)
def test_what_5_7_0_writes_is_refused_as_clients_refuse_it(tool, writer):
    kinds = collections.Counter()
    for seed, base, delta in cases(writer, 500, 100_000):
        kind, _, answer = tool.fold(base, delta)
        if kind == "ok":  # nothing had changed: the one delta of it that says the same in all versions
            assert Delta(delta).diff == {}, f"seed {seed}"
            assert not verdict(tool, base, delta)[0], f"seed {seed}"
        else:
            assert kind == "P" and WORDS in answer, f"seed {seed}: {kind} {answer}"
            with pytest.raises(ForbiddenModule):
                Delta(delta)
        kinds[kind] += 1
    print(kinds)
    assert kinds["P"] > 0.7 * kinds.total()


@pytest.mark.parametrize("writer", ["9.1.0"], indirect=True)
def test_what_9_1_0_writes_is_folded_as_clients_fold_it(tool, writer):
    kinds = collections.Counter()
    reasons = collections.Counter()
    for seed, base, delta in cases(writer, 700, 200_000):
        wrong, (kind, reason) = verdict(tool, base, delta)
        assert not wrong, f"\n  seed {seed}\n    {shrink(tool, base, delta, wrong)}"
        kinds[kind] += 1
        if kind in "ULP":
            reasons[reason[:80]] += 1
    print(kinds)
    for reason, count in reasons.most_common():
        print(f"{count:6} {reason}")
    assert kinds["ok"] > 0.9 * kinds.total()
    assert sum(reasons.values()) < 0.03 * kinds.total()
