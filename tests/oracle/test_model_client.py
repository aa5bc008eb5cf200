"""The model client of the joins simulation against the library `replication` itself.

The library's own Session runs (model_client_cases.py, in the environment of each version that all
tests know) with connections that we fill: each tick the same command and the same data message come
to it and to the model. After each tick both must be in the same state, have sent the same, and hold
the same graph; where one raises, so must the other. Cases come from seeds; a failure prints its seed
and what came. HOLDFAST_LONG=1 runs many more, HOLDFAST_SEED=n that one. The tool is taken from
HOLDFAST_BUILD, by default build/dev.
"""

import ast
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get('HOLDFAST_BUILD', ROOT / 'build' / 'dev'))
FIRST, MANY = 0, 20000 if os.environ.get('HOLDFAST_LONG') == '1' else 120
if 'HOLDFAST_SEED' in os.environ:
    FIRST, MANY = int(os.environ['HOLDFAST_SEED']), 1
PYTHONS = {'0.9.10': pathlib.Path(sys.executable),
           '0.10.3': ROOT / 'build' / 'venv-0.10.3' / 'bin' / 'python'}


@pytest.mark.parametrize('version', PYTHONS)
def test_model_does_what_the_library_does(version):
    tool = BUILD / 'tests' / 'model_client_tool'
    for path in (tool, PYTHONS[version]):
        if not path.exists():
            pytest.skip(f'{path} is not there')
    cases = pathlib.Path(__file__).with_name('model_client_cases.py')
    run = subprocess.run([PYTHONS[version], cases, tool, str(FIRST), str(MANY)],
                         capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    counts = ast.literal_eval(run.stdout.splitlines()[-1])
    if MANY > 1:
        for state in ('raised', 'gone', 'ACTIVE', 'SYNCING', 'SRV_SYNC'):
            assert counts.get(state, 0) > MANY / 50, counts
