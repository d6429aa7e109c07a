import json
import pathlib
import re
import subprocess
import sys

import click.testing
import numpy as np
import pytest

from realm_tf.artifacts import make_artifact, open_artifact
from realm_tf.cli import realm
from realm_tf.config import IndexConfig
from realm_tf.errors import RealmError
from realm_tf.search.embeddings import Embeddings, shard_name
from realm_tf.search.index import MEASUREMENTS, build_index, open_index, update_index

REPOSITORY = pathlib.Path(__file__).parents[2]
NUM_BLOCKS, DIMENSION = 1500, 16


def make_embeddings(path, vectors, num_shards=3):
    shards = np.array_split(vectors, num_shards)
    with make_artifact(path, 'embeddings', configuration={}, inputs={'corpus': 'c', 'snapshot': 's'}) as draft:
        for number, shard in enumerate(shards):
            np.save(draft.path / shard_name(number, num_shards), shard)
        draft.counts['blocks'] = len(vectors)
    return path


@pytest.fixture(scope='module')
def vectors():
    return np.random.default_rng(0).standard_normal((NUM_BLOCKS, DIMENSION), np.float32)


@pytest.fixture(scope='module')
def embeddings_path(vectors, tmp_path_factory):
    return make_embeddings(tmp_path_factory.mktemp('embeddings') / 'embeddings', vectors)


def test_embeddings_come_back_in_block_order(embeddings_path, vectors):
    embeddings = Embeddings.open(embeddings_path)
    assert (len(embeddings), embeddings.dimension, len(embeddings.shards)) == (NUM_BLOCKS, DIMENSION, 3)
    np.testing.assert_array_equal(embeddings.as_array(), vectors)
    ids = np.array([1499, 0, 500, 499, 0])
    np.testing.assert_array_equal(embeddings.rows(ids), vectors[ids])
    assert all(isinstance(shard, np.memmap) for shard in embeddings.shards)
    with pytest.raises(RealmError, match='1500 were asked for'):
        embeddings.rows(np.array([3, 1500]))


@pytest.mark.parametrize('searcher', ['exact', 'scann', 'ivf'])
def test_an_index_is_published_with_its_recall(embeddings_path, vectors, tmp_path, searcher):
    artifact = build_index(embeddings_path, tmp_path / 'index', IndexConfig(searcher=searcher))
    embeddings = open_artifact(embeddings_path)
    assert artifact.inputs == {'embeddings': embeddings.digest}
    assert artifact.counts['blocks'] == NUM_BLOCKS and artifact.counts['dimension'] == DIMENSION
    assert artifact.counts['bytes'] == sum(
        file['bytes'] for name, file in artifact.files.items() if name.startswith('searcher/')
    )
    assert 0.9 <= artifact.counts['recall'] <= 1
    measured = json.loads((tmp_path / 'index' / MEASUREMENTS).read_text())
    assert measured['median_query_milliseconds'] > 0 and measured['queries_per_second_in_batches_of_64'] > 0
    result = open_index(tmp_path / 'index', embeddings).search(vectors[:50] * 3, 1)
    best = np.argmax(vectors[:50] @ vectors.T, axis=1)
    assert np.mean(result.block_ids[:, 0] == best) >= 0.9


@pytest.mark.parametrize('searcher', ['exact', 'scann', 'ivf'])
def test_the_same_index_again_has_the_same_digest(embeddings_path, tmp_path, searcher):
    config = IndexConfig(searcher=searcher)
    first = build_index(embeddings_path, tmp_path / 'first', config)
    second = build_index(embeddings_path, tmp_path / 'second', config)
    assert first.digest == second.digest


def test_an_index_that_is_up_to_date_is_left_alone(embeddings_path, tmp_path):
    config = IndexConfig(searcher='exact')
    build_index(embeddings_path, tmp_path / 'index', config)
    written = (tmp_path / 'index' / 'manifest.json').stat().st_mtime_ns
    build_index(embeddings_path, tmp_path / 'index', config)
    assert (tmp_path / 'index' / 'manifest.json').stat().st_mtime_ns == written
    with pytest.raises(RealmError, match='--overwrite'):
        build_index(embeddings_path, tmp_path / 'index', config, seed=1)
    build_index(embeddings_path, tmp_path / 'index', config, seed=1, overwrite=True)


def test_too_little_recall_publishes_nothing(tmp_path):
    # Without structure, a tree has nothing to go by.
    noise = np.random.default_rng(2).standard_normal((20_000, 64), np.float32)
    path = make_embeddings(tmp_path / 'embeddings', noise)
    # Every other one tunes the search, and is a block, which is nearest to itself; the others are near none.
    queries = np.random.default_rng(3).standard_normal((64, 64), np.float32)
    queries[::2] = noise[:32]
    with pytest.raises(RealmError, match=r'recall@1 is 0\.\d+, and index.minimum_recall is 0.9'):
        build_index(path, tmp_path / 'index', IndexConfig(recall_at=1), sample_queries=queries)
    with pytest.raises(RealmError, match='no finished index'):
        open_index(tmp_path / 'index')


def test_recall_can_be_measured_with_given_queries(embeddings_path, vectors, tmp_path):
    config = IndexConfig(searcher='exact', recall_at=NUM_BLOCKS + 5)
    artifact = build_index(embeddings_path, tmp_path / 'index', config, sample_queries=vectors[:7])
    assert artifact.counts['recall'] == 1 and set(artifact.inputs) == {'embeddings', 'sample_queries'}


def test_an_index_of_other_embeddings_is_refused(embeddings_path, vectors, tmp_path):
    build_index(embeddings_path, tmp_path / 'index', IndexConfig(searcher='exact'))
    others = open_artifact(make_embeddings(tmp_path / 'others', vectors + 1))
    with pytest.raises(RealmError, match=f'not made from the embeddings .* this is {others.digest[:12]}'):
        open_index(tmp_path / 'index', others)


def test_an_index_of_another_release_is_refused(embeddings_path, tmp_path):
    build_index(embeddings_path, tmp_path / 'index', IndexConfig(searcher='scann'))
    saved = tmp_path / 'index' / 'searcher' / 'searcher.json'
    saved.write_text(saved.read_text().replace('effort', 'before'))
    with pytest.raises(RealmError, match="lacks 'effort': build it again"):
        open_index(tmp_path / 'index')


def on_store(store, *arguments):
    command = [sys.executable, 'tests/object_store.py', str(store), 'realm_tf.cli', 'index', *map(str, arguments)]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


def test_an_index_of_core_operations_may_be_on_an_object_store(embeddings_path, tmp_path):
    (tmp_path / 'bucket').mkdir()
    output = ('--output', 'gs://bucket/index', '--set', 'index.searcher=ivf')
    ended = on_store(tmp_path, '--embeddings', embeddings_path, *output)
    assert ended.returncode == 0, ended.stderr
    on_disk = build_index(embeddings_path, tmp_path / 'index', IndexConfig(searcher='ivf'))
    assert open_artifact(tmp_path / 'bucket' / 'index').digest == on_disk.digest


def test_scann_is_refused_on_an_object_store(embeddings_path, tmp_path):
    sentence = (
        r'ScaNN reads and writes files on disks only, and gs://bucket/index is on an object store\. .*=ivf or exact'
    )
    with pytest.raises(RealmError, match=sentence):
        build_index(embeddings_path, 'gs://bucket/index', IndexConfig())
    build_index(embeddings_path, tmp_path / 'bucket' / 'index', IndexConfig())
    with pytest.raises(RealmError, match=sentence):
        update_index(tmp_path / 'bucket' / 'index', embeddings_path, 'gs://bucket/index')
    of_the_store = ('--index', 'gs://bucket/index', '--embeddings', embeddings_path, '--output', tmp_path / 'new')
    ended = on_store(tmp_path, 'update', *of_the_store)
    assert ended.returncode == 2 and re.search(sentence, ended.stderr) and 'Traceback' not in ended.stderr


def test_an_embedding_that_is_not_finite_is_refused(vectors, tmp_path):
    damaged = vectors.copy()
    damaged[777, 3] = np.inf
    path = make_embeddings(tmp_path / 'embeddings', damaged)
    with pytest.raises(RealmError, match='embedding of block 777 is not finite'):
        build_index(path, tmp_path / 'index', IndexConfig())


def edited(vectors):
    """A corpus of the same blocks in another order, without the first 100, 50 of them replaced, and 70 more."""
    random = np.random.default_rng(5)
    edited = np.concatenate([random.permutation(vectors[100:]), 1 + random.standard_normal((70, DIMENSION))])
    edited[:50] = random.standard_normal((50, DIMENSION))
    return edited.astype(np.float32)


@pytest.mark.parametrize('searcher', ['exact', 'scann', 'ivf'])
def test_an_updated_index_finds_what_is_new_and_never_what_is_gone(embeddings_path, vectors, tmp_path, searcher):
    build_index(embeddings_path, tmp_path / 'old', IndexConfig(searcher=searcher))
    now = edited(vectors)
    path = make_embeddings(tmp_path / 'edited', now, num_shards=2)
    artifact = update_index(tmp_path / 'old', path, tmp_path / 'new')
    assert artifact.counts['blocks'] == len(now) and artifact.counts['kept'] == NUM_BLOCKS - 150
    assert artifact.counts['recall'] >= 0.9
    updated = open_index(tmp_path / 'new', open_artifact(path))
    everything = updated.search(vectors[:3], len(now))
    np.testing.assert_array_equal(np.sort(everything.block_ids), np.tile(np.arange(len(now)), (3, 1)))
    np.testing.assert_allclose(
        everything.scores, np.einsum('qd,qkd->qk', vectors[:3], now[everything.block_ids]), rtol=1e-3, atol=1e-3
    )
    new_ones = np.concatenate([now[:50], now[-70:]])
    assert np.mean(updated.search(3 * new_ones, 1).block_ids[:, 0] == np.argmax(new_ones @ now.T, axis=1)) >= 0.9
    with pytest.raises(RealmError, match='not made from the embeddings'):
        open_index(tmp_path / 'new', open_artifact(embeddings_path))


@pytest.mark.parametrize('searcher', ['scann', 'ivf'])
def test_an_update_that_changes_nothing_is_the_same_searcher(embeddings_path, tmp_path, searcher):
    build_index(embeddings_path, tmp_path / 'old', IndexConfig(searcher=searcher))
    update_index(tmp_path / 'old', embeddings_path, tmp_path / 'new')
    for file in (tmp_path / 'old' / 'searcher').iterdir():
        assert (tmp_path / 'new' / 'searcher' / file.name).read_bytes() == file.read_bytes()


def test_an_update_does_not_replace_what_it_updates(embeddings_path, vectors, tmp_path):
    old = build_index(embeddings_path, tmp_path / 'old', IndexConfig(searcher='ivf'))
    path = make_embeddings(tmp_path / 'edited', edited(vectors), num_shards=2)
    with pytest.raises(RealmError, match='cannot be replaced by it'):
        update_index(tmp_path / 'old', path, tmp_path / 'old', overwrite=True)
    assert open_artifact(tmp_path / 'old') == old


def test_an_update_with_embeddings_of_another_size_is_refused(embeddings_path, vectors, tmp_path):
    build_index(embeddings_path, tmp_path / 'old', IndexConfig(searcher='exact'))
    path = make_embeddings(tmp_path / 'edited', vectors[:, :7])
    with pytest.raises(RealmError, match=r'16 dimensions, and those of .* have 7'):
        update_index(tmp_path / 'old', path, tmp_path / 'new')


def test_the_commands(embeddings_path, vectors, tmp_path):
    path = make_embeddings(tmp_path / 'edited', edited(vectors))
    run = click.testing.CliRunner().invoke
    old = ['--output', str(tmp_path / 'old'), '--recall', '0.99', '--k', '5', '--set', 'index.minimum_recall=0.95']
    result = run(realm, ['index', '--embeddings', str(embeddings_path), *old], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    artifact = open_artifact(tmp_path / 'old', 'index')
    assert (artifact.configuration['recall'], artifact.configuration['recall_at']) == (0.99, 5)
    assert artifact.counts['recall'] >= 0.95
    update = ['update', '--index', str(tmp_path / 'old'), '--embeddings', str(path), '--output', str(tmp_path / 'new')]
    result = run(realm, ['index', *update], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert open_artifact(tmp_path / 'new', 'index').counts['kept'] == NUM_BLOCKS - 150
    result = run(realm, ['index', '--output', 'anywhere'])
    assert result.exit_code == 2 and '--embeddings' in result.output
