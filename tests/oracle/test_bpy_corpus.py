"""Real data blocks of Blender fold exactly: what deepdiff makes of each recorded edit, and what we make.

tests/corpus/bpy/blocks.zip was recorded with bpy (record_bpy.py says how and what). With
HOLDFAST_LONG=1 it is recorded anew, with a bpy that pip installs into build/bpy, and replayed as
well; where bpy cannot be had that part is skipped.
"""

import collections
import os
import pathlib
import pickle
import subprocess
import sys
import zipfile

import pytest

from test_delta_oracle import BUILD, LONG, ROOT, Tool, same, verdict

CORPUS = ROOT / "tests" / "corpus" / "bpy" / "blocks.zip"
KINDS = {"mesh", "material", "armature", "action", "collection", "scene", "curve", "lattice", "camera", "light",
         "object", "pose"}


def recorded(path):
    """By kind of block: the pickled data, and the deltas that follow one another."""
    blocks = collections.defaultdict(list)
    with zipfile.ZipFile(path) as corpus:
        for name in sorted(corpus.namelist()):
            blocks[name.partition("/")[0]].append(corpus.read(name))
    return {kind: (parts[0], parts[1:]) for kind, parts in blocks.items()}


def replay(tool, path):
    blocks = recorded(path)
    assert set(blocks) == KINDS
    actions = set()
    for kind, (data, deltas) in blocks.items():
        assert deltas, kind
        for number, delta in enumerate(deltas, 1):
            wrong, (answer, reason) = verdict(tool, data, delta)
            assert not wrong, f"{kind} {number}: {wrong}"
            assert answer == "ok", f"{kind} {number} is refused: {reason}"
            _, skipped, data = tool.fold(data, delta)
            assert skipped == 0, f"{kind} {number}: a part was gone over"
            actions |= set(deepdiff_actions(delta))
    return actions


def deepdiff_actions(delta):
    from deepdiff import Delta
    return Delta(delta).diff


@pytest.fixture(scope="module")
def tool():
    return Tool()


def test_recorded_blocks_fold_exactly(tool):
    actions = replay(tool, CORPUS)
    assert actions >= {"values_changed", "type_changes", "dictionary_item_added", "dictionary_item_removed",
                       "iterable_item_added", "iterable_item_removed", "iterable_items_added_at_indexes",
                       "iterable_items_removed_at_indexes"}


def test_folding_all_edits_in_one_node_is_the_same_as_one_by_one(tool):
    """Deltas on a base that they were not made for: the edits of one block in another order."""
    folded = 0
    for kind, (data, deltas) in recorded(CORPUS).items():
        for delta in reversed(deltas):
            wrong, (answer, _) = verdict(tool, data, delta)
            assert not wrong, f"{kind}: {wrong}"
            folded += answer == "ok"
    assert folded > 20


@pytest.mark.skipif(not LONG, reason="records with bpy: scripts/test --long")
def test_blocks_recorded_now_fold_exactly(tool, tmp_path):
    venv = BUILD.parent / "bpy" / "venv"
    python = venv / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    has_bpy = subprocess.run([python, "-c", "import bpy, deepdiff"], capture_output=True).returncode == 0
    if not has_bpy:
        installed = subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                                    "bpy==4.5.*", "deepdiff==8.1.1", "orderly-set==5.2.3"], capture_output=True)
        if installed.returncode != 0:
            pytest.skip(f"bpy cannot be installed: {installed.stderr.decode()[-300:]}")
    now = tmp_path / "blocks.zip"
    subprocess.run([python, pathlib.Path(__file__).with_name("record_bpy.py"), now], check=True,
                   capture_output=True, env={**os.environ, "PYTHONHASHSEED": "0"})
    replay(tool, now)
    old, new = recorded(CORPUS), recorded(now)
    for kind in KINDS:
        assert same(pickle.loads(old[kind][0]), pickle.loads(new[kind][0])), f"{kind}: record the corpus anew"
