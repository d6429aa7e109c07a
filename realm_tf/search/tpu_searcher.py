"""Approximate search on accelerators (Chern et al. 2022, arXiv:2206.14286)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from etils import epath

from realm_tf.search.array_files import read_array, write_array
from realm_tf.search.searcher import Searcher
from realm_tf.search.tree import pieces_of

if TYPE_CHECKING:
    import tensorflow as tf

# What the operation aims at on a TPU, where it is a reduction in place of a sort. Elsewhere it is exact.
_RECALL_TARGET = 0.99


class TpuSearcher(Searcher):
    """Every query against every block on the replicas of a strategy, each of which holds a part of the blocks.

    A replica finds the best of its part with `tf.math.approx_max_k`, and the host merges what they found. The strategy
    is the one in whose scope the searcher is built or loaded; without one, it is the one device.
    """

    def __init__(self, shards: Sequence[np.ndarray]):
        import tensorflow as tf

        self._dimension = shards[0].shape[1]
        self._num_blocks = sum(map(len, shards))
        self._strategy = tf.distribute.get_strategy()
        replicas = self._strategy.num_replicas_in_sync
        # As many rows for each replica; the last are padding.
        self._rows = -(-self._num_blocks // replicas)
        parts = pieces_of(shards, self._rows)
        on_host = self._strategy.experimental_distribute_values_from_function(lambda _: self._padded(parts))
        with self._strategy.scope():
            # [rows, dimension] and [rows], on each replica's device
            self._vectors, self._penalties = (
                tf.Variable(
                    tf.zeros(shape), trainable=False, synchronization=tf.VariableSynchronization.ON_READ, name=name
                )
                for name, shape in (('vectors', [self._rows, self._dimension]), ('penalties', [self._rows]))
            )
        self._on_replicas(self._set_part)(on_host)
        self._search = self._on_replicas(self._search_part)

    @classmethod
    def build(cls, shards: Sequence[np.ndarray], reordering: str = 'float32') -> TpuSearcher:
        return cls(shards)

    def save(self, path: epath.PathLike) -> None:
        path = epath.Path(path)
        parts = self._strategy.experimental_local_results(self._vectors)
        vectors = np.concatenate([part.numpy() for part in parts])[: self._num_blocks]
        write_array(path / 'vectors.npy', vectors)
        (path / 'searcher.json').write_text(json.dumps({'num_blocks': self._num_blocks}))

    @classmethod
    def load(cls, path: epath.PathLike) -> TpuSearcher:
        return cls([read_array(epath.Path(path) / 'vectors.npy')])

    @property
    def is_exact(self) -> bool:
        return False

    @property
    def dimension(self) -> int:
        return self._dimension

    def __len__(self) -> int:
        return self._num_blocks

    def _on_replicas(self, function: Callable) -> Callable:
        """Compiles a function that each replica runs."""
        import tensorflow as tf

        return tf.function(lambda *arguments: self._strategy.run(function, args=arguments), reduce_retracing=True)

    def _padded(self, parts: Iterator[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """The vectors of the next part, and what is added to their scores: nothing, or for padding -inf."""
        vectors = np.zeros((self._rows, self._dimension), np.float32)
        penalties = np.full(self._rows, -np.inf, np.float32)
        part = next(parts, vectors[:0])
        vectors[: len(part)], penalties[: len(part)] = part, 0
        return vectors, penalties

    def _candidates(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        found = self._search(queries, min(k, self._rows))
        # [replicas, batch, k of a part]
        scores, rows = (
            np.stack([part.numpy() for part in self._strategy.experimental_local_results(values)]) for values in found
        )
        block_ids = rows + self._rows * np.arange(len(rows))[:, None, None]
        # [batch, replicas * k of a part]
        return np.hstack(list(scores)), np.hstack(list(block_ids))

    def _set_part(self, part: tuple[tf.Tensor, tf.Tensor]) -> None:
        for variable, value in zip((self._vectors, self._penalties), part, strict=True):
            variable.assign(value)

    def _search_part(self, queries: tf.Tensor, k: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores and rows of the best k of a replica's part, `[batch, k]`."""
        import tensorflow as tf

        # [batch, rows]
        scores = tf.matmul(queries, self._vectors, transpose_b=True) + self._penalties
        return tf.math.approx_max_k(scores, k, recall_target=_RECALL_TARGET)
