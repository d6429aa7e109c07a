"""Search in the graph, with core operations of TensorFlow alone."""

import numpy as np
import tensorflow as tf


class IvfGraph(tf.Module):
    """An inverted file: int8 vectors by leaf, and exact scores for the most promising.

    It holds variables, not constants, of which none above 2 GB can be saved in a graph; a stock TensorFlow Serving runs
    it. Queries are taken one after the other, as what is read for one then stays in the processor's cache.

    Args:
      centroids: of the leaves, float32 `[num_leaves, dimension]`.
      ends: where the blocks of each leaf end, in the order of leaves, int32 `[num_leaves]`.
      block_ids: blocks in the order of leaves, int32 `[blocks]`.
      codes: their vectors, int8 `[blocks, dimension]`.
      multipliers: what the vectors were multiplied by, float32 `[dimension]`.
      vectors: in the order of block ids, float32 `[blocks, dimension]`.
    """

    def __init__(
        self,
        centroids: np.ndarray,
        ends: np.ndarray,
        block_ids: np.ndarray,
        codes: np.ndarray,
        multipliers: np.ndarray,
        vectors: np.ndarray,
    ):
        super().__init__()
        self.centroids = tf.Variable(centroids, trainable=False, name='centroids')
        self.ends = tf.Variable(ends, trainable=False, name='ends')
        self.block_ids = tf.Variable(block_ids, trainable=False, name='block_ids')
        self.codes = tf.Variable(codes, trainable=False, name='codes')
        self.multipliers = tf.Variable(multipliers, trainable=False, name='multipliers')
        self.vectors = tf.Variable(vectors, trainable=False, name='block_embeddings')

    def search(
        self, queries: tf.Tensor, k: tf.Tensor | int, leaves: tf.Tensor | int, reordered: tf.Tensor | int
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Finds the best k blocks of each query.

        Args:
          queries: float32 `[batch, dimension]`.
          k: how many blocks.
          leaves: leaves that are looked into.
          reordered: blocks that are scored exactly, at least k.

        Returns:
          Block ids, int32, and exact scores, float32, `[batch, k]`, best first; -1 and -inf where there are fewer.
        """
        # [batch, leaves]
        nearest = tf.math.top_k(tf.matmul(queries, self.centroids, transpose_b=True), leaves, sorted=False).indices
        return tf.map_fn(
            lambda row: self._search_leaves(*row, k, reordered),
            (queries, nearest),
            fn_output_signature=(tf.int32, tf.float32),
            parallel_iterations=1,
        )

    def _search_leaves(self, query, leaves, k, reordered):
        """The blocks of one query, `[dimension]`, in its leaves, `[leaves]`: `search` of one row."""
        starts = tf.where(leaves > 0, tf.gather(self.ends, tf.maximum(leaves - 1, 0)), 0)
        # [positions]
        positions = tf.ragged.range(starts, tf.gather(self.ends, leaves)).flat_values
        codes = tf.cast(tf.gather(self.codes, positions), tf.float32)
        # [positions]; a row times a matrix is twice as fast as the matrix times a column
        scores = tf.matmul((query / self.multipliers)[tf.newaxis], codes, transpose_b=True)[0]
        promising = tf.math.top_k(scores, tf.minimum(reordered, tf.size(scores)), sorted=False).indices
        # [promising], ascending, so that of equal scores the smaller id comes first
        block_ids = tf.sort(tf.gather(self.block_ids, tf.gather(positions, promising)))
        exact = tf.matmul(query[tf.newaxis], tf.gather(self.vectors, block_ids), transpose_b=True)[0]
        best, order = tf.math.top_k(exact, tf.minimum(k, tf.size(exact)))
        missing = [[0, k - tf.size(best)]]
        return (
            tf.pad(tf.gather(block_ids, order), missing, constant_values=-1),
            tf.pad(best, missing, constant_values=float('-inf')),
        )
