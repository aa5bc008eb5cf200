"""Session files: what Holdfast writes, the real library loads, and what it dumps, Holdfast reads.

The tool reads a file and writes it again as the snapshotter does, so a file that went from the
library through it and back to the library has been read and written by both.
"""

import gzip
import os
import pathlib
import pickle
import random
import subprocess
import types

import pytest
from replication.objects import Node
from replication.protocol import DataTranslationProtocol
from replication.repository import Repository

import values

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOL = ROOT / os.environ.get('HOLDFAST_BUILD', 'build/dev') / 'tests' / 'session_file_tool'

USERS = {
    'Zoë': {'id': 'Zoë', 'admin': True, 'latency': 3, 'status': 2,
            'metadata': {'tasks': ['rig the fox', {'done', 'open'}], 'color': (1, 0, 0, 1),
                         'view_matrix': [[1.0]], 'scene_current': 'Scene'}},
    'ann': {'id': 'ann', 'admin': False, 'latency': 999, 'status': 10, 'metadata': {}},
}


def new_repository():
    repository = Repository(rdp=DataTranslationProtocol(), username='Zoë')
    repository.remote = types.SimpleNamespace(online_users=USERS)
    return repository


def filled_repository(count, seed):
    rng = random.Random(seed)
    repository = new_repository()
    for index in range(count):
        dependencies = [f'uuid-{rng.randrange(count)}' for _ in range(rng.randrange(3))]
        data = {'type_id': 'Thing', 'content': values.mixed_content(index),
                'random': values.random_value(rng)}
        repository.do_commit(Node(owner=rng.choice(['COMMON', 'Zoë']), uuid=f'uuid-{index}',
                                  data=data, dependencies=dependencies or None))
    return repository


def dumped(repository, directory):
    repository.dumps(str(directory / 'session.db'))
    (path,) = directory.glob('session_*.db')
    return path


def through_holdfast(path, directory, name='session_snapshot.db'):
    subprocess.run([TOOL, 'copy', path, directory / name], check=True, timeout=60)
    return directory / name


def loaded(path):
    repository = Repository(rdp=DataTranslationProtocol(), username='somebody')
    repository.loads(str(path))
    return repository


@pytest.mark.parametrize('count', [1, 60, 2500])
def test_library_to_holdfast_to_library(tmp_path, count):
    repository = filled_repository(count, seed=count)
    ours = through_holdfast(dumped(repository, tmp_path), tmp_path)
    back = loaded(ours)
    assert list(back.graph) == list(repository.graph)
    assert values.differences(values.canonical_graph(repository.graph),
                              values.canonical_graph(back.graph)) == ''


def test_a_file_of_holdfast_goes_through_holdfast_unchanged(tmp_path):
    repository = filled_repository(40, seed=5)
    ours = through_holdfast(dumped(repository, tmp_path), tmp_path)
    again = through_holdfast(ours, tmp_path, 'again.db')
    assert again.read_bytes() == ours.read_bytes()


def test_users_stand_where_the_library_has_them(tmp_path):
    ours = through_holdfast(dumped(filled_repository(3, seed=1), tmp_path), tmp_path)
    with gzip.open(ours, 'rb') as file:
        content = pickle.load(file)
    assert set(content) == {'nodes', 'users', 'holdfast'}
    # What a client makes anew itself is not kept: half-restored, it breaks the addon.
    assert content['users']['Zoë']['metadata'] == {'tasks': ['rig the fox', {'done', 'open'}]}
    assert set(content['users']['Zoë']) == set(USERS['Zoë'])
    assert all(type(chunk) is bytes for node in content['nodes'] for chunk in node)


def test_a_dump_without_users(tmp_path):
    repository = filled_repository(5, seed=2)
    repository.remote = None
    back = loaded(through_holdfast(dumped(repository, tmp_path), tmp_path))
    assert values.differences(values.canonical_graph(repository.graph),
                              values.canonical_graph(back.graph)) == ''


def test_a_file_that_would_run_code_is_refused(tmp_path):
    path = tmp_path / 'evil.db'
    with gzip.open(path, 'wb') as file:
        file.write(b"cos\nsystem\n(S'touch " + str(tmp_path / 'pwned').encode() + b"'\ntR.")
    result = subprocess.run([TOOL, 'copy', path, tmp_path / 'out.db'], capture_output=True,
                            timeout=60)
    assert result.returncode == 1
    assert result.stderr
    assert not (tmp_path / 'out.db').exists()
    assert not (tmp_path / 'pwned').exists()
