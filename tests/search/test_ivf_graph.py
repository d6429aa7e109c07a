import numpy as np
import pytest
import tensorflow as tf

from realm_tf.search.ivf import IvfSearcher

K = 8


class Served(tf.Module):
    def __init__(self, searcher: IvfSearcher):
        super().__init__()
        self.graph = searcher.graph
        self.effort = searcher.effort_for(K)

    @tf.function(input_signature=[tf.TensorSpec([None, 16], name='queries')])
    def __call__(self, queries):
        block_ids, scores = self.graph.search(queries, K, self.effort.leaves, self.effort.reordered)
        return {'block_ids': block_ids, 'scores': scores}


@pytest.fixture(scope='module')
def searcher():
    return IvfSearcher.build([np.random.default_rng(0).standard_normal((4000, 16), np.float32)])


@pytest.fixture(scope='module')
def saved(searcher, tmp_path_factory):
    path = str(tmp_path_factory.mktemp('served'))
    served = Served(searcher)
    tf.saved_model.save(served, path, signatures=served.__call__)
    return path


def test_a_saved_model_finds_what_the_searcher_finds(searcher, saved):
    queries = np.random.default_rng(1).standard_normal((5, 16), np.float32)
    found = tf.saved_model.load(saved).signatures['serving_default'](queries=tf.constant(queries))
    expected = searcher.search(queries, K)
    np.testing.assert_array_equal(found['block_ids'], expected.block_ids)
    np.testing.assert_array_equal(found['scores'], expected.scores)


def test_vectors_are_variables_and_not_constants(saved):
    graph = tf.saved_model.load(saved).signatures['serving_default'].graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    assert sum(node.attr['value'].ByteSize() for node in nodes if node.op == 'Const') < 4000 * 16
    assert {'MatMul', 'TopKV2'} <= {node.op for node in nodes}


def test_fewer_than_k_are_padded(searcher):
    queries = np.random.default_rng(2).standard_normal((3, 16), np.float32)
    block_ids, scores = (array.numpy() for array in searcher.graph.search(tf.constant(queries), 200, 1, 200))
    assert block_ids.shape == scores.shape == (3, 200)
    np.testing.assert_array_equal(block_ids < 0, np.isneginf(scores))
    # One leaf holds some blocks, and not 200.
    assert (block_ids >= 0).any(axis=1).all() and (block_ids < 0).any(axis=1).all()
