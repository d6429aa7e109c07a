import json

import numpy as np
import pytest

from realm_tf.artifacts import make_artifact, open_artifact
from realm_tf.config import IndexConfig
from realm_tf.errors import RealmError
from realm_tf.search.embeddings import Embeddings, shard_name
from realm_tf.search.index import MEASUREMENTS, build_index, open_index

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


@pytest.mark.parametrize('searcher', ['exact', 'scann'])
def test_an_index_is_published_with_its_recall(embeddings_path, vectors, tmp_path, searcher):
    artifact = build_index(embeddings_path, tmp_path / 'index', IndexConfig(searcher=searcher))
    embeddings = open_artifact(embeddings_path)
    assert artifact.inputs == {'embeddings': embeddings.digest}
    assert artifact.counts['blocks'] == NUM_BLOCKS and artifact.counts['dimension'] == DIMENSION
    assert artifact.counts['bytes'] == sum(file['bytes'] for file in artifact.files.values())
    assert 0.9 <= artifact.counts['recall'] <= 1
    assert json.loads((tmp_path / 'index' / MEASUREMENTS).read_text())['median_query_milliseconds'] > 0
    result = open_index(tmp_path / 'index', embeddings).search(vectors[:5] * 3, 1)
    np.testing.assert_array_equal(result.block_ids, np.argmax(vectors[:5] @ vectors.T, axis=1)[:, None])


@pytest.mark.parametrize('searcher', ['exact', 'scann'])
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
    with pytest.raises(RealmError, match=r'recall@8 is 0\.\d+, and index.minimum_recall is 0.99'):
        build_index(path, tmp_path / 'index', IndexConfig(minimum_recall=0.99))
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


def test_an_embedding_that_is_not_finite_is_refused(vectors, tmp_path):
    damaged = vectors.copy()
    damaged[777, 3] = np.inf
    path = make_embeddings(tmp_path / 'embeddings', damaged)
    with pytest.raises(RealmError, match='embedding of block 777 is not finite'):
        build_index(path, tmp_path / 'index', IndexConfig())
