"""Exact search: every query against every block."""

import json
from collections.abc import Iterator, Sequence

import numpy as np
from etils import epath

from realm_tf.search.array_files import read_array, write_array
from realm_tf.search.searcher import Searcher

# Floats of the scores, and of the vectors, that are in memory at once.
_FLOATS_AT_ONCE = 1 << 24


class ExactSearcher(Searcher):
    """Blocked matrix products and a running top k, in bounded memory; vectors may be memory-mapped."""

    def __init__(self, shards: Sequence[np.ndarray]):
        self._shards = list(shards)

    @classmethod
    def build(cls, shards: Sequence[np.ndarray], reordering: str = 'float32') -> 'ExactSearcher':
        return cls(shards)

    def save(self, path: epath.PathLike) -> None:
        path = epath.Path(path)
        for number, shard in enumerate(self._shards):
            write_array(path / _file(number), shard)
        (path / 'searcher.json').write_text(json.dumps({'shards': len(self._shards)}))

    @classmethod
    def load(cls, path: epath.PathLike) -> 'ExactSearcher':
        path = epath.Path(path)
        saved = json.loads((path / 'searcher.json').read_text())
        return cls([read_array(path / _file(number)) for number in range(saved['shards'])])

    @property
    def is_exact(self) -> bool:
        return True

    @property
    def dimension(self) -> int:
        return self._shards[0].shape[1]

    def __len__(self) -> int:
        return sum(map(len, self._shards))

    def _candidates(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        # [batch, k], best first
        best_scores = np.full((len(queries), k), -np.inf, np.float32)
        best_ids = np.full((len(queries), k), -1, np.int64)
        rows_at_once = max(1, _FLOATS_AT_ONCE // max(len(queries), self.dimension))
        for first_id, vectors in self._pieces(rows_at_once):
            # [batch, rows]
            scores = queries @ vectors.T
            for query, row in enumerate(scores):
                # A block that equals the worst of the best comes after it: its id is larger.
                better = np.flatnonzero(row > best_scores[query, -1])
                if len(better) > k:
                    threshold = np.partition(row[better], -k)[-k]
                    better = better[row[better] >= threshold]
                if len(better):
                    merged_scores = np.concatenate([best_scores[query], row[better]])
                    merged_ids = np.concatenate([best_ids[query], better + first_id])
                    # Stable, and ids ascend among equals: ties go to the smaller id.
                    order = np.argsort(-merged_scores, kind='stable')[:k]
                    best_scores[query], best_ids[query] = merged_scores[order], merged_ids[order]
        return best_scores, best_ids

    def _pieces(self, rows_at_once: int) -> Iterator[tuple[int, np.ndarray]]:
        first_id = 0
        for shard in self._shards:
            for start in range(0, len(shard), rows_at_once):
                yield first_id + start, shard[start : start + rows_at_once]
            first_id += len(shard)


def _file(shard: int) -> str:
    return f'vectors-{shard:05d}.npy'
