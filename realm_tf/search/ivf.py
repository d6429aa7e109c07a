"""Approximate search with core operations of TensorFlow: an inverted file (Jégou, Douze and Schmid 2011)."""

import dataclasses
import json
from collections.abc import Mapping, Sequence

import numpy as np
from etils import epath

from realm_tf.search.array_files import read_array, write_array
from realm_tf.search.embeddings import take_rows
from realm_tf.search.int8 import multipliers_for, to_int8
from realm_tf.search.partitioned import Effort, PartitionedSearcher
from realm_tf.search.tree import nearest_centroids, number_of_leaves, pieces_of, train_centroids

_ROWS_AT_ONCE = 1 << 18
_LEAVES_PER_ROOT = 4
_ARRAYS = ('centroids', 'ends', 'block_ids', 'codes', 'multipliers', 'vectors')


class IvfSearcher(PartitionedSearcher):
    """A tree of leaves, int8 vectors in them, and exact scores for the candidates that remain.

    Building is deterministic, and so is searching. Memory is five bytes a dimension of a block.
    """

    # Nanoseconds on the machine of docs/search.md.
    _COST_OF_BLOCK = 40.0
    _COST_OF_REORDERING = 150.0

    def __init__(self, arrays: Mapping[str, np.ndarray], effort: Effort | None = None):
        """Makes the graph; call `build` or `load` instead.

        Args:
          arrays: those of an `IvfGraph`, by name.
          effort: how far it looks.
        """
        super().__init__(len(arrays['centroids']), effort)
        import tensorflow as tf

        from realm_tf.search.ivf_graph import IvfGraph

        number = tf.TensorSpec([], tf.int32)
        self.graph = IvfGraph(**arrays)
        self._search = tf.function(
            self.graph.search,
            input_signature=[tf.TensorSpec([None, arrays['vectors'].shape[1]]), number, number, number],
        ).get_concrete_function()

    @classmethod
    def build(cls, shards: Sequence[np.ndarray], reordering: str = 'float32') -> 'IvfSearcher':
        num_blocks = sum(map(len, shards))
        centroids = train_centroids(shards, number_of_leaves(num_blocks, _LEAVES_PER_ROOT))
        leaves = np.concatenate([nearest_centroids(shard, centroids) for shard in shards])
        return cls(_by_leaf(centroids, leaves, multipliers_for(pieces_of(shards, _ROWS_AT_ONCE)), shards))

    @classmethod
    def update(
        cls, path: epath.PathLike, shards: Sequence[np.ndarray], old_rows: np.ndarray, reordering: str = 'float32'
    ) -> 'IvfSearcher':
        path = epath.Path(path)
        centroids, ends, block_ids, multipliers = (
            read_array(path / f'{name}.npy') for name in ('centroids', 'ends', 'block_ids', 'multipliers')
        )
        old_leaves = np.empty(len(block_ids), np.int32)
        old_leaves[block_ids] = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))
        leaves = np.where(old_rows >= 0, old_leaves[old_rows], -1)
        new = np.flatnonzero(old_rows < 0)
        leaves[new] = nearest_centroids(take_rows(shards, new), centroids)
        return cls(_by_leaf(centroids, leaves, multipliers, shards), _read_effort(path))

    def save(self, path: epath.PathLike) -> None:
        path = epath.Path(path)
        for name in _ARRAYS:
            write_array(path / f'{name}.npy', getattr(self.graph, name).numpy())
        (path / 'searcher.json').write_text(json.dumps(dataclasses.asdict(self.effort)))

    @classmethod
    def load(cls, path: epath.PathLike) -> 'IvfSearcher':
        arrays = {name: read_array(epath.Path(path) / f'{name}.npy') for name in _ARRAYS}
        return cls(arrays, _read_effort(path))

    @property
    def dimension(self) -> int:
        return self.graph.vectors.shape[1]

    def __len__(self) -> int:
        return self.graph.vectors.shape[0]

    def _candidates(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        import tensorflow as tf

        effort = self.effort_for(k)
        # Tensors, to the function itself: to look for it and to convert numbers takes longer than the search.
        arguments = (queries, k, effort.leaves, effort.reordered)
        block_ids, scores = self._search(*(tf.constant(argument) for argument in arguments))
        return scores.numpy(), block_ids.numpy()


def _by_leaf(
    centroids: np.ndarray, leaves: np.ndarray, multipliers: np.ndarray, shards: Sequence[np.ndarray]
) -> dict[str, np.ndarray]:
    """The arrays of an `IvfGraph` for blocks in these leaves, `[blocks]`."""
    vectors = np.concatenate(shards)
    block_ids = np.argsort(leaves, kind='stable').astype(np.int32)
    codes = np.empty(vectors.shape, np.int8)
    for start in range(0, len(codes), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        codes[rows] = to_int8(vectors[block_ids[rows]], multipliers)
    return {
        'centroids': centroids,
        'ends': np.cumsum(np.bincount(leaves, minlength=len(centroids))).astype(np.int32),
        'block_ids': block_ids,
        'codes': codes,
        'multipliers': multipliers,
        'vectors': vectors,
    }


def _read_effort(path: epath.PathLike) -> Effort:
    return Effort(**json.loads((epath.Path(path) / 'searcher.json').read_text()))
