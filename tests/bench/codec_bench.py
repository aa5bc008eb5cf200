"""The codec beside Python: the pickle gate, the fold of deltas, the memory of a session. One run.

A report, not a test. Needs the virtual environment of tests/interop and a release build:

    meson setup build/bench --buildtype=release -Dwerror=false -Dtests=true
    ninja -C build/bench tests/bench/codec_bench
    build/venv/bin/python tests/bench/codec_bench.py

Best of 9 rounds each, one core, the same bytes for both. The gate ("check") is what each message passes
before it is relayed; "read" builds values, as the fold needs them. A fold is reading the delta and
folding it into a node: ours into a node that stays parsed, deepdiff's into a dict that a client holds
(`data + Delta(bytes)`, which copies the dict; so does a client). Memory: growth of the process when
it loads a session file of 10,000 nodes of about 2.5 KB, ours and the library's.
"""

import argparse
import gzip
import json
import os
import pathlib
import pickle
import random
import struct
import subprocess
import sys
import tempfile
import time
import zipfile

from deepdiff import DeepDiff, Delta

ROOT = pathlib.Path(__file__).resolve().parents[2]


def mesh(vertices):
    rng = random.Random(1)
    def floats(count):
        return struct.pack(f"<{count}f", *(rng.uniform(-9, 9) for _ in range(count)))
    return {"type_id": "Mesh", "name": "Mesh", "vertex_count": vertices,
            "vertices": {"co": floats(3 * vertices)}, "edges": {"vertices": floats(4 * vertices)},
            "loops": {"vertex_index": floats(4 * vertices)},
            "polygons": {"loop_total": floats(vertices), "loop_start": floats(vertices)},
            "uv_layers": {"UVMap": {"data": floats(8 * vertices)}}, "materials": [("uuid", "Rock")]}


def commit_of_1_kb():
    old = {"type_id": "Object", "fields": {f"field_{n}": n * 0.5 for n in range(40)}}
    new = {"type_id": "Object", "fields": {f"field_{n}": n * 0.25 + 1 for n in range(40)}}
    new["fields"] = dict(list(new["fields"].items())[:17] + list(old["fields"].items())[17:])
    return Delta(DeepDiff(old, new, cache_size=5000)).dumps()


def node_of_2_kb(number):
    rng = random.Random(number)
    return {"type_id": "Object", "name": f"Object.{number:05}", "uuid": str(number),
            "matrix_world": [[rng.random() for _ in range(4)] for _ in range(4)],
            "location": [rng.random() for _ in range(3)],
            "fields": {f"property_{n}": rng.choice([True, 1.5, "NONE", n, [0.0, 0.0, 1.0]]) for n in range(90)},
            "modifiers": {"Sub": {"levels": 2, "show": True}}}


def folds(folder):
    """Edits of recorded blocks: a value in a big dict, a bone, a list compared without order, a mesh."""
    chosen = {"object 1: place": "object/001", "object 2: modifiers": "object/002",
              "material 1: two values": "material/001", "collection 1: 3 objects gone": "collection/001",
              "scene 1: render": "scene/001", "pose 1: rotations": "pose/001", "mesh 1: vertices": "mesh/001"}
    corpus = zipfile.ZipFile(ROOT / "tests" / "corpus" / "bpy" / "blocks.zip")
    for name, entry in chosen.items():
        kind, number = entry.split("/")
        data = pickle.loads(corpus.read(f"{kind}/000.node"))
        for step in range(1, int(number)):
            data = data + Delta(corpus.read(f"{kind}/{step:03}.delta"))
        (folder / f"{name}.base").write_bytes(pickle.dumps(data, protocol=4))
        (folder / f"{name}.delta").write_bytes(corpus.read(f"{entry}.delta"))
        yield name, data, corpus.read(f"{entry}.delta")


def best(once):
    result = 1e18
    for _ in range(9):
        begin, times = time.perf_counter_ns(), 0
        while time.perf_counter_ns() - begin < 60_000_000:
            once()
            times += 1
        result = min(result, (time.perf_counter_ns() - begin) / times)
    return result


LOADER = """
import os, sys
from replication.repository import Repository
def resident():
    return int(open('/proc/self/statm').read().split()[1]) * 4096
repository = Repository(username='reader')
before = resident()
repository.loads(sys.argv[1])
print(len(repository.graph), resident() - before)
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tool", default=ROOT / "build" / "bench" / "tests" / "bench" / "codec_bench")
    parser.add_argument("--json", help="also write the figures here")
    options = parser.parse_args()
    figures = {}
    with tempfile.TemporaryDirectory() as directory:
        folder = pathlib.Path(directory) / "inputs"
        folder.mkdir()
        pickles = {"commit of 1 KB": commit_of_1_kb(), "mesh of 1 MB": pickle.dumps(mesh(12_000), protocol=4),
                   "object of 2.5 KB": pickle.dumps(node_of_2_kb(1), protocol=4)}
        for name, data in pickles.items():
            (folder / f"{name}.pickle").write_bytes(data)
        cases = list(folds(folder))
        out = subprocess.run([options.tool, folder], check=True, capture_output=True, text=True).stdout
        ours = {name: float(number) for name, number in (line.rsplit(" ", 1) for line in out.splitlines())}
        print(f"{'the gate':22} {'bytes':>9} {'memcpy':>10} {'check':>10} {'read':>10} {'loads':>10}"
              "   check:memcpy  loads:check")
        for name, data in pickles.items():
            copy, check, read = (ours[f"{what}:{name}"] / 1000 for what in ("copy", "check", "read"))
            loads = best(lambda data=data: pickle.loads(data)) / 1000
            figures[name] = {"bytes": len(data), "memcpy_us": copy, "check_us": check, "read_us": read,
                             "loads_us": loads}
            print(f"{name:22} {len(data):9} {copy:8.2f}us {check:8.2f}us {read:8.2f}us {loads:8.2f}us"
                  f"   {check / copy:12.2f} {loads / check:12.2f}")
        print(f"\n{'the fold':32} {'delta':>7} {'ours':>10} {'deepdiff':>12}   deepdiff:ours")
        for name, data, delta in cases:
            ours_us = ours[f"fold:{name}"] / 1000
            theirs_us = best(lambda data=data, delta=delta: data + Delta(delta)) / 1000
            figures[name] = {"bytes": len(delta), "ours_us": ours_us, "deepdiff_us": theirs_us}
            print(f"{name:32} {len(delta):7} {ours_us:8.2f}us {theirs_us:10.2f}us   {theirs_us / ours_us:8.0f}")
        path = pathlib.Path(directory) / "session.db"
        P = pickle.dumps
        nodes = [[P(2, protocol=4), f"{n:08}".encode(), b"ada", P([], protocol=4), P(node_of_2_kb(n), protocol=4)]
                 for n in range(10_000)]
        path.write_bytes(gzip.compress(P({"nodes": nodes, "users": {}}, protocol=4), 1))
        out = subprocess.run([options.tool, path], check=True, capture_output=True, text=True).stdout
        memory = dict(line.split() for line in out.splitlines())
        count, theirs = map(int, subprocess.run([sys.executable, "-c", LOADER, path], check=True, text=True,
                                                capture_output=True, env=os.environ).stdout.split())
        size = sum(len(chunk) for node in nodes for chunk in node)
        figures["memory"] = {"nodes": count, "bytes": size, "ours": int(memory["memory"]), "theirs": theirs}
        print(f"\nmemory of {count} nodes: {size / count:.0f} bytes each as sent; ours "
              f"{int(memory['memory']) / count:.0f} each, the library's {theirs / count:.0f}: "
              f"{theirs / int(memory['memory']):.1f} times as much")
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
