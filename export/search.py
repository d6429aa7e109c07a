"""Search in the graph."""

import abc

import numpy as np
import tensorflow as tf

from realm_tf.environment import import_scann
from realm_tf.search.embeddings import Embeddings
from realm_tf.search.ivf import IvfSearcher
from realm_tf.search.scann_searcher import ScannSearcher


class GraphSearcher(tf.Module, abc.ABC):
    """Finds the blocks with the highest inner products, as TensorFlow operations."""

    @abc.abstractmethod
    def search(self, queries: tf.Tensor, k: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Searches for queries, float32 `[batch, dimension]`.

        Returns:
          Block ids, int64, and exact scores, float32, `[batch, k]`, best first; -1 and -inf where there are fewer.
        """


class ExactGraphSearcher(GraphSearcher):
    """Exact search with core operations: a stock TensorFlow Serving runs it.

    Args:
      embeddings: of the blocks, float32 `[blocks, dimension]`.
    """

    def __init__(self, embeddings: np.ndarray):
        super().__init__()
        self._embeddings = tf.Variable(embeddings, trainable=False, name='block_embeddings')

    def search(self, queries, k):
        scores, block_ids = tf.math.top_k(tf.matmul(queries, self._embeddings, transpose_b=True), k)
        return tf.cast(block_ids, tf.int64), scores


class IvfGraphSearcher(GraphSearcher):
    """Approximate search with core operations: a stock TensorFlow Serving runs it.

    Args:
      index: an index, which looks as far as it was tuned to.
    """

    def __init__(self, index: IvfSearcher):
        super().__init__()
        self._graph = index.graph
        self._effort_for = index.effort_for

    def search(self, queries, k):
        effort = self._effort_for(k)
        block_ids, scores = self._graph.search(queries, k, effort.leaves, effort.reordered)
        return tf.ensure_shape(tf.cast(block_ids, tf.int64), [None, k]), tf.ensure_shape(scores, [None, k])


class ScannGraphSearcher(GraphSearcher):
    """Approximate search with ScaNN's operations, sorted by the exact scores.

    Args:
      index: an index, which looks as far as it was tuned to.
      embeddings: of the blocks; left alone where the index has them itself.
    """

    def __init__(self, index: ScannSearcher, embeddings: Embeddings):
        super().__init__()
        self._operations = import_scann().scann_ops
        *codes, vectors = index.tensors()
        self._module = self._operations.ScannState([*codes, vectors])
        self._how_far = index.how_far
        self._dimension = index.dimension
        self._embeddings = self._module.dataset
        # With index.reordering=int8 the index has none.
        if not vectors.ndim:
            self._embeddings = tf.Variable(embeddings.as_array(), trainable=False, name='block_embeddings')

    def search(self, queries, k):
        searcher = self._operations.searcher_from_module(self._module)
        found, scores = searcher.search_batched(queries, k, **self._how_far(k))
        found = tf.cast(found, tf.int64)
        # ScaNN pads with id 0 and the score NaN.
        # [batch, k, dimension]
        vectors = tf.ensure_shape(tf.gather(self._embeddings, found), [None, k, self._dimension])
        exact = tf.einsum('bd,bkd->bk', queries, vectors)
        is_padding = tf.math.is_nan(scores)
        best, order = tf.math.top_k(tf.where(is_padding, float('-inf'), exact), k)
        return tf.gather(tf.where(is_padding, tf.constant(-1, tf.int64), found), order, batch_dims=1), best
