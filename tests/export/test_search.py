"""Search in the graph finds what the index finds on the host."""

import numpy as np
import pytest
import tensorflow as tf

from export.search import ScannGraphSearcher
from realm_tf.config import IndexConfig
from realm_tf.search.embeddings import Embeddings
from realm_tf.search.index import build_index, open_index
from tests.search.test_index import make_embeddings


@pytest.mark.parametrize(('num_blocks', 'reordering'), [(300, 'float32'), (4000, 'float32'), (4000, 'int8')])
def test_an_index_of_scann_is_searched_as_far_as_it_was_tuned_to(tmp_path, num_blocks, reordering):
    vectors = np.random.default_rng(0).standard_normal((num_blocks, 16), np.float32)
    queries = np.random.default_rng(1).standard_normal((20, 16), np.float32)
    make_embeddings(tmp_path / 'embeddings', vectors)
    build_index(tmp_path / 'embeddings', tmp_path / 'index', IndexConfig(searcher='scann', reordering=reordering))
    embeddings = Embeddings.open(tmp_path / 'embeddings')
    index = open_index(tmp_path / 'index', embeddings.artifact)
    searcher = ScannGraphSearcher(index, embeddings)
    search = tf.function(lambda queries: searcher.search(queries, 5))
    block_ids, scores = (values.numpy() for values in search(tf.constant(queries)))
    # The best blocks by what the index scores them with, whose order the exact scores may change.
    found = index.search(queries, 5).block_ids
    np.testing.assert_array_equal(np.sort(block_ids, axis=1), np.sort(found, axis=1))
    np.testing.assert_allclose(scores, np.einsum('bd,bkd->bk', queries, vectors[block_ids]), atol=1e-5)
    assert (np.diff(scores, axis=1) <= 0).all()
