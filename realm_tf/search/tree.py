"""The tree of a partitioned search: one level of leaves, each the blocks nearest to a centroid."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from realm_tf.search.embeddings import take_rows

_SAMPLE_PER_LEAF = 40
_ITERATIONS = 8
# Floats of the distances that are in memory at once.
_FLOATS_AT_ONCE = 1 << 24


def number_of_leaves(num_blocks: int, per_root: int) -> int:
    """How many leaves a tree has: so many times the square root of the number of blocks.

    A search looks at every centroid and at the blocks of a few leaves: the dearer a block is to look at beside a
    centroid, the more leaves pay.
    """
    return min(num_blocks, round(per_root * math.sqrt(num_blocks)))


def sample_rows(shards: Sequence[np.ndarray], size: int, seed: int = 0) -> np.ndarray:
    """Random rows of the shards laid end to end, in order, float32 `[size, dimension]`; all if there are no more."""
    num_rows = sum(map(len, shards))
    rows = np.random.default_rng(seed).choice(num_rows, min(size, num_rows), replace=False)
    return take_rows(shards, np.sort(rows))


def train_centroids(shards: Sequence[np.ndarray], num_leaves: int) -> np.ndarray:
    """Finds the centroids of a tree, all of one norm, by k-means (Lloyd 1982) on a random sample; the same every time.

    Args:
      shards: float32 `[blocks of the shard, dimension]` each; at least `num_leaves` rows in all.
      num_leaves: how many centroids.

    Returns:
      float32 `[num_leaves, dimension]`.
    """
    # [sample, dimension], in random order
    sample = np.random.default_rng(0).permutation(sample_rows(shards, _SAMPLE_PER_LEAF * num_leaves))
    centroids = sample[:num_leaves].copy()
    for _ in range(_ITERATIONS):
        leaves = nearest_centroids(sample, centroids)
        sizes = np.bincount(leaves, minlength=num_leaves)
        filled = np.flatnonzero(sizes)
        by_leaf = np.argsort(leaves, kind='stable')
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        # Of empty leaves the sums would be wrong: they are left out.
        sums = np.add.reduceat(sample[by_leaf], starts[filled], axis=0)
        centroids[filled] = sums / sizes[filled, None]
        # An empty leaf takes a share of a large one.
        large = filled[np.argsort(-sizes[filled], kind='stable')]
        empty = np.flatnonzero(sizes == 0)[: len(large)]
        centroids[empty] = sample[by_leaf[starts[large[: len(empty)]]]]
    # A query chooses leaves by inner product. Of equal norms, the nearest centroid of a block is also the one of the
    # largest inner product, so that both choose alike.
    norms = np.maximum(np.linalg.norm(centroids, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return centroids * (norms.mean() / norms)


def nearest_centroids(vectors: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """The nearest centroid of each vector by Euclidean distance.

    Args:
      vectors: float32 `[n, dimension]`.
      centroids: float32 `[num_leaves, dimension]`.

    Returns:
      int32 `[n]`.
    """
    half_squares = 0.5 * np.einsum('ld,ld->l', centroids, centroids)
    leaves = np.empty(len(vectors), np.int32)
    rows_at_once = max(1, _FLOATS_AT_ONCE // len(centroids))
    for start in range(0, len(vectors), rows_at_once):
        # [rows, num_leaves]
        closeness = vectors[start : start + rows_at_once] @ centroids.T
        closeness -= half_squares
        leaves[start : start + rows_at_once] = np.argmax(closeness, axis=1)
    return leaves


def pieces_of(shards: Sequence[np.ndarray], rows_at_once: int) -> Iterator[np.ndarray]:
    """The rows of the shards laid end to end, so many at once, float32 `[at most rows_at_once, dimension]` each."""
    num_rows = sum(map(len, shards))
    for start in range(0, num_rows, rows_at_once):
        yield take_rows(shards, np.arange(start, min(start + rows_at_once, num_rows)))
