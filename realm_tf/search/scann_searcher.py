"""Approximate search with ScaNN (Guo et al. 2020, arXiv:1908.10396)."""

import dataclasses
import itertools
import json
import math
import os
import pathlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from etils import epath
from numpy.lib.format import open_memmap

from realm_tf.environment import import_scann
from realm_tf.search.embeddings import take_rows
from realm_tf.search.int8 import multipliers_for, to_int8
from realm_tf.search.partitioned import Effort, PartitionedSearcher
from realm_tf.search.scann_files import Coder, Codes, serialized_config, tensors_of_assets, write_assets
from realm_tf.search.tree import number_of_leaves, pieces_of, train_centroids

# Fewer blocks than this are scored one by one: leaves of a tree would hold a handful each.
_FEWEST_BLOCKS_FOR_A_TREE = 1000
_LEAVES_PER_ROOT = 2
# Blocks that a process encodes at once: bounds memory.
BLOCKS_AT_ONCE = 150_000
# Queries of one thread: a batch larger than this is shared out among the cores.
_QUERIES_PER_THREAD = 32


class ScannSearcher(PartitionedSearcher):
    """A tree of leaves, anisotropic hashing within them, and better scores for the candidates that remain.

    Building is deterministic, and so is searching.
    """

    # Nanoseconds on the machine of docs/search.md.
    _COST_OF_BLOCK = 3.0
    _COST_OF_REORDERING = 60.0

    def __init__(self, scann_searcher, dimension: int, num_blocks: int, num_leaves: int, effort: Effort | None = None):
        """Wraps a searcher of ScaNN; call `build` or `load` instead.

        Args:
          scann_searcher: ScaNN's own searcher.
          dimension: size of an embedding.
          num_blocks: how many embeddings are in it.
          num_leaves: leaves of its tree; 0 if it has none and scores every block.
          effort: how far it looks.
        """
        super().__init__(num_leaves, effort)
        self._scann_searcher = scann_searcher
        self._dimension = dimension
        self._num_blocks = num_blocks

    @classmethod
    def build(cls, shards: Sequence[np.ndarray], reordering: str = 'float32') -> 'ScannSearcher':
        num_blocks, dimension = sum(map(len, shards)), shards[0].shape[1]
        if num_blocks < _FEWEST_BLOCKS_FOR_A_TREE:
            builder = import_scann().scann_ops_pybind.builder(np.concatenate(shards), 10, 'dot_product')
            return cls(builder.score_brute_force().build(), dimension, num_blocks, num_leaves=0)
        centroids = train_centroids(shards, number_of_leaves(num_blocks, _LEAVES_PER_ROOT))
        coder = Coder.train(shards, centroids)
        codes = _encoded(coder, shards, np.arange(num_blocks))
        return cls._assembled(coder, codes, shards, len(centroids), reordering)

    @classmethod
    def update(
        cls, path: epath.PathLike, shards: Sequence[np.ndarray], old_rows: np.ndarray, reordering: str = 'float32'
    ) -> 'ScannSearcher':
        path = pathlib.Path(path)
        saved = json.loads((path / 'searcher.json').read_text())
        if not saved['num_leaves'] or len(old_rows) < _FEWEST_BLOCKS_FOR_A_TREE:
            return cls.build(shards, reordering)
        coder, old = Coder.read(path), Codes.read(path, 'r')
        kept, new = np.flatnonzero(old_rows >= 0), np.flatnonzero(old_rows < 0)
        copied = ((ids, Codes(old.leaves[old_rows[ids]], old.hashes[old_rows[ids]])) for ids in _pieces(kept))
        codes = itertools.chain(copied, _encoded(coder, shards, new))
        searcher = cls._assembled(coder, codes, shards, saved['num_leaves'], reordering)
        searcher.effort = Effort(**saved['effort'])
        return searcher

    @classmethod
    def _assembled(
        cls,
        coder: Coder,
        codes: Iterable[tuple[np.ndarray, Codes]],
        shards: Sequence[np.ndarray],
        num_leaves: int,
        reordering: str,
    ) -> 'ScannSearcher':
        """Puts codes of all blocks, in pieces with the ids of their blocks, and vectors together for ScaNN to load."""
        num_blocks, dimension = sum(map(len, shards)), shards[0].shape[1]
        with tempfile.TemporaryDirectory() as scratch:
            path = pathlib.Path(scratch)
            (path / 'serialized_partitioner.pb').write_bytes(coder.partitioner)
            (path / 'ah_codebook.pb').write_bytes(coder.codebook)
            leaves = open_memmap(path / 'datapoint_to_token.npy', 'w+', np.int32, (num_blocks,))
            hashes = open_memmap(path / 'hashed_dataset.npy', 'w+', np.uint8, (num_blocks, -(-dimension // 2)))
            for ids, piece in codes:
                leaves[ids], hashes[ids] = piece.leaves, piece.hashes
            _write_vectors(path, shards, reordering)
            write_assets(path, serialized_config(dimension, reordering))
            searcher = import_scann().scann_ops_pybind.load_searcher(str(path))
        return cls(searcher, dimension, num_blocks, num_leaves)

    def save(self, path: epath.PathLike) -> None:
        path = epath.Path(path)
        # Asset paths would otherwise be written relative to the working directory.
        self._scann_searcher.serialize(str(path), relative_path=True)
        saved = {
            'dimension': self._dimension,
            'num_blocks': self._num_blocks,
            'num_leaves': self.num_leaves,
            'effort': dataclasses.asdict(self.effort),
        }
        (path / 'searcher.json').write_text(json.dumps(saved))

    @classmethod
    def load(cls, path: epath.PathLike) -> 'ScannSearcher':
        path = epath.Path(path)
        saved = json.loads((path / 'searcher.json').read_text())
        saved['effort'] = Effort(**saved['effort'])
        return cls(import_scann().scann_ops_pybind.load_searcher(str(path)), **saved)

    @property
    def dimension(self) -> int:
        return self._dimension

    def __len__(self) -> int:
        return self._num_blocks

    def how_far(self, k: int) -> dict[str, int]:
        """What ScaNN's own searchers are to be told, to look for k blocks as far as this one does."""
        if not self.num_leaves:
            return {}
        effort = self.effort_for(k)
        return {'leaves_to_search': effort.leaves, 'pre_reorder_num_neighbors': effort.reordered}

    def tensors(self) -> list[np.ndarray]:
        """What ScaNN's TensorFlow operations make a searcher from, in the order of its `ScannState`."""
        with tempfile.TemporaryDirectory() as scratch:
            self._scann_searcher.serialize(scratch, relative_path=True)
            return tensors_of_assets(pathlib.Path(scratch))

    def _candidates(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        how_far = self.how_far(k)
        # Where it finds fewer than k, ScaNN pads with block 0 and a score of NaN.
        if len(queries) > _QUERIES_PER_THREAD:
            how_far['batch_size'] = _QUERIES_PER_THREAD
            block_ids, scores = self._scann_searcher.search_batched_parallel(queries, k, **how_far)
        else:
            block_ids, scores = self._scann_searcher.search_batched(queries, k, **how_far)
        return scores, block_ids


def _encoded(coder: Coder, shards: Sequence[np.ndarray], ids: np.ndarray) -> Iterator[tuple[np.ndarray, Codes]]:
    """The codes of blocks, a piece at a time with the ids of its blocks, by as many processes as there are cores."""
    vectors = (take_rows(shards, piece) for piece in _pieces(ids))
    workers = min(os.cpu_count(), math.ceil(len(ids) / BLOCKS_AT_ONCE))
    return zip(_pieces(ids), coder.encode_pieces(vectors, workers), strict=True)


def _pieces(ids: np.ndarray) -> Iterator[np.ndarray]:
    return (ids[start : start + BLOCKS_AT_ONCE] for start in range(0, len(ids), BLOCKS_AT_ONCE))


def _write_vectors(path: pathlib.Path, shards: Sequence[np.ndarray], reordering: str) -> None:
    """Writes the vectors that blocks are scored again with."""
    shape = sum(map(len, shards)), shards[0].shape[1]
    if reordering == 'int8':
        multipliers = multipliers_for(pieces_of(shards, BLOCKS_AT_ONCE))
        np.save(path / 'int8_multipliers.npy', multipliers)
        np.save(path / 'dp_norms.npy', np.zeros(0, np.float32))
        vectors = open_memmap(path / 'int8_dataset.npy', 'w+', np.int8, shape)
    else:
        vectors = open_memmap(path / 'dataset.npy', 'w+', np.float32, shape)
    start = 0
    for piece in pieces_of(shards, BLOCKS_AT_ONCE):
        vectors[start : start + len(piece)] = to_int8(piece, multipliers) if reordering == 'int8' else piece
        start += len(piece)
