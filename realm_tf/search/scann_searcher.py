"""Approximate search with ScaNN (Guo et al. 2020, arXiv:1908.10396)."""

import json
import math
from collections.abc import Sequence

import numpy as np
from etils import epath

from realm_tf.environment import import_scann
from realm_tf.search.searcher import Searcher

# Fewer blocks than this are scored one by one: leaves of a tree would hold a handful each.
_FEWEST_BLOCKS_FOR_A_TREE = 1000
_TRAINING_SAMPLE_SIZE = 100_000
_CANDIDATES_REORDERED = 200
_FEWEST_LEAVES_SEARCHED = 100
# Queries of one thread: a batch larger than this is shared out among the cores.
_QUERIES_PER_THREAD = 32


class ScannSearcher(Searcher):
    """A tree of partitions, anisotropic hashing within them, and exact scores for the candidates that remain.

    Building is deterministic, and so is searching.
    """

    def __init__(self, scann_searcher, dimension: int, num_blocks: int, num_leaves: int):
        """Wraps a searcher of ScaNN; call `build` or `load` instead.

        Args:
          scann_searcher: ScaNN's own searcher.
          dimension: size of an embedding.
          num_blocks: how many embeddings are in it.
          num_leaves: leaves of its tree; 0 if it has none and scores every block.
        """
        self._scann_searcher = scann_searcher
        self._dimension = dimension
        self._num_blocks = num_blocks
        self._num_leaves = num_leaves

    @classmethod
    def build(cls, shards: Sequence[np.ndarray]) -> 'ScannSearcher':
        vectors = np.concatenate(shards)
        num_blocks, dimension = vectors.shape
        builder = import_scann().scann_ops_pybind.builder(vectors, 10, 'dot_product')
        if num_blocks < _FEWEST_BLOCKS_FOR_A_TREE:
            return cls(builder.score_brute_force().build(), dimension, num_blocks, num_leaves=0)
        num_leaves = round(2 * math.sqrt(num_blocks))
        # Random initial centres, or more than one training thread, give another tree each time.
        builder.tree(
            num_leaves=num_leaves,
            num_leaves_to_search=_leaves_searched(num_leaves),
            training_sample_size=_TRAINING_SAMPLE_SIZE,
            random_init=False,
        ).score_ah(2, anisotropic_quantization_threshold=0.2, training_sample_size=_TRAINING_SAMPLE_SIZE).reorder(
            _CANDIDATES_REORDERED
        ).set_n_training_threads(1)
        return cls(builder.build(), dimension, num_blocks, num_leaves)

    def save(self, path: epath.PathLike) -> None:
        path = epath.Path(path)
        # Asset paths would otherwise be written relative to the working directory.
        self._scann_searcher.serialize(str(path), relative_path=True)
        shape = {'dimension': self._dimension, 'num_blocks': self._num_blocks, 'num_leaves': self._num_leaves}
        (path / 'searcher.json').write_text(json.dumps(shape))

    @classmethod
    def load(cls, path: epath.PathLike) -> 'ScannSearcher':
        path = epath.Path(path)
        shape = json.loads((path / 'searcher.json').read_text())
        return cls(import_scann().scann_ops_pybind.load_searcher(str(path)), **shape)

    @property
    def is_exact(self) -> bool:
        return self._num_leaves == 0

    @property
    def dimension(self) -> int:
        return self._dimension

    def __len__(self) -> int:
        return self._num_blocks

    def _candidates(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        # Where it finds fewer than k, ScaNN pads with block 0 and a score of NaN.
        block_ids, scores = self._scann_searcher.search_batched_parallel(
            queries, k, batch_size=_QUERIES_PER_THREAD, **self._effort(k)
        )
        return scores, block_ids

    def _effort(self, k: int) -> dict[str, int]:
        """How far to look for k blocks: enough leaves to hold several times as many, and as many exact scores."""
        if self.is_exact:
            return {}
        leaves_that_hold_enough = math.ceil(4 * k * self._num_leaves / self._num_blocks)
        return {
            'leaves_to_search': min(self._num_leaves, max(_leaves_searched(self._num_leaves), leaves_that_hold_enough)),
            'pre_reorder_num_neighbors': min(self._num_blocks, max(_CANDIDATES_REORDERED, 4 * k)),
        }


def _leaves_searched(num_leaves: int) -> int:
    return min(num_leaves, max(_FEWEST_LEAVES_SEARCHED, math.ceil(3 * math.sqrt(num_leaves))))
