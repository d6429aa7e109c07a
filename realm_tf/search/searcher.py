"""What every searcher does: find the blocks whose embeddings have the largest inner product with a query."""

import abc
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from etils import epath

from realm_tf.errors import RealmError

# Which blocks of some queries are wanted: of the numbers of the queries in their batch, int64 `[n]`, and their best
# blocks, int64 `[n, width]`, best first and -1 where there is none; bool `[n, width]`.
Keeps = Callable[[np.ndarray, np.ndarray], np.ndarray]

# How much further a search looks where its filter kept too few.
_WIDENING = 4


class SearchResult(NamedTuple):
    """The best blocks of each query, best first; equal scores in the order of block ids.

    Where there are fewer blocks than were asked for, the end of a row has score -inf, block id -1 and `found` False.

    Attributes:
      scores: inner products, float32 `[batch, k]`.
      block_ids: int64 `[batch, k]`.
      found: whether there is a block at all, bool `[batch, k]`.
    """

    scores: np.ndarray
    block_ids: np.ndarray
    found: np.ndarray

    @classmethod
    def ranked(cls, scores: np.ndarray, block_ids: np.ndarray, k: int) -> 'SearchResult':
        """The best k of candidates in any order, `[batch, candidates]`; those without a score are missing."""
        # A missing candidate may carry NaN and the id of a real block.
        missing = ~np.isfinite(scores)
        scores = np.where(missing, np.float32(-np.inf), scores)
        block_ids = np.where(missing, np.int64(-1), block_ids)
        # [batch, at most k]; plain indexing, as numpy's own conveniences take longer than a search
        order = np.lexsort((block_ids, -scores), axis=1)[:, :k]
        rows = np.arange(len(order))[:, None]
        best_scores = np.full((len(order), k), -np.inf, np.float32)
        best_scores[:, : order.shape[1]] = scores[rows, order]
        best_ids = np.full((len(order), k), -1, np.int64)
        best_ids[:, : order.shape[1]] = block_ids[rows, order]
        return cls(best_scores, best_ids, best_ids >= 0)


class Searcher(abc.ABC):
    """Searches the embeddings of blocks for the largest inner product.

    A subclass builds, saves and loads itself, and finds candidates; checks, order, padding and exclusions are here.
    """

    @classmethod
    @abc.abstractmethod
    def build(cls, shards: Sequence[np.ndarray], reordering: str = 'float32') -> 'Searcher':
        """Makes a searcher over embeddings.

        Args:
          shards: float32 `[blocks of the shard, dimension]` each, finite; a block's id is its row in all of them.
          reordering: what the best blocks are scored again with, where they are: `float32` or `int8`.
        """

    @classmethod
    def update(
        cls, path: epath.PathLike, shards: Sequence[np.ndarray], old_rows: np.ndarray, reordering: str = 'float32'
    ) -> 'Searcher':
        """Makes a searcher over embeddings many of which are in one that was saved, of which it keeps what it can.

        Args:
          path: where a searcher was saved.
          shards: all embeddings, as for `build`.
          old_rows: which block of the saved searcher has the same embedding, int64 `[blocks]`; -1 if none has.
          reordering: as for `build`.
        """
        return cls.build(shards, reordering)

    @abc.abstractmethod
    def save(self, path: epath.PathLike) -> None:
        """Writes the searcher into a directory, which must exist."""

    @classmethod
    @abc.abstractmethod
    def load(cls, path: epath.PathLike) -> 'Searcher':
        """Opens what `save` wrote, from any working directory; it gives the same results."""

    @property
    @abc.abstractmethod
    def is_exact(self) -> bool:
        """Whether results are those of brute force, always."""

    @property
    @abc.abstractmethod
    def dimension(self) -> int:
        """Size of an embedding."""

    @abc.abstractmethod
    def __len__(self) -> int:
        """How many blocks are searched."""

    @abc.abstractmethod
    def _candidates(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Finds scores and block ids, `[batch, at most k]`, in any order; a score that is not finite is of none."""

    def search(self, queries: np.ndarray, k: int) -> SearchResult:
        """Finds the k best blocks of each query.

        Args:
          queries: float32 `[batch, dimension]`.
          k: how many blocks; where there are fewer, the result is padded.

        Raises:
          RealmError: if the queries have another size, or are not finite, or k is less than 1.
        """
        queries = self._checked(queries)
        if k < 1:
            raise RealmError(f'A search is for at least one block; k is {k}.')
        if not len(queries):
            return SearchResult.ranked(np.zeros((0, 0)), np.zeros((0, 0)), k)
        return SearchResult.ranked(*self._candidates(queries, min(k, len(self))), k)

    def search_with_exclusions(self, queries: np.ndarray, k: int, exclusions: np.ndarray) -> SearchResult:
        """Finds the k best blocks of each query that are not excluded from it.

        Args:
          queries: float32 `[batch, dimension]`.
          k: how many blocks; where there are fewer, the result is padded.
          exclusions: block ids never returned for the query of their row, int64 `[batch, n]`; -1 excludes nothing.

        Raises:
          RealmError: as `search`, or if `exclusions` has no row for each query.
        """
        exclusions = np.asarray(exclusions)
        if exclusions.ndim != 2 or len(exclusions) != len(queries):
            raise RealmError(
                f'Exclusions are block ids [queries, n], with -1 where there are fewer than n: '
                f'{len(queries)} queries came with exclusions of shape {list(exclusions.shape)}.'
            )

        def keeps(rows: np.ndarray, block_ids: np.ndarray) -> np.ndarray:
            # [n, width]
            return ~(block_ids[:, :, None] == exclusions[rows][:, None, :]).any(axis=-1)

        # At most n of the best k + n are excluded, so that k remain.
        return self.search_filtered(queries, k, keeps, margin=exclusions.shape[1])

    def search_filtered(self, queries: np.ndarray, k: int, keeps: Keeps, margin: int) -> SearchResult:
        """Finds the k best blocks of each query that a filter keeps.

        Where fewer than k remain, it looks further, at last at every block.

        Args:
          queries: float32 `[batch, dimension]`.
          k: how many blocks; where there are fewer, the result is padded.
          keeps: the filter. What it says of a block may depend on better blocks, and not on worse ones.
          margin: how many blocks beyond k are looked at to begin with.

        Raises:
          RealmError: as `search`.
        """
        queries = self._checked(queries)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        block_ids = np.full((len(queries), k), -1, np.int64)
        # The queries that are looked for, and how far.
        rows, width = np.arange(len(queries)), k + margin
        while True:
            # [n, width]
            wide = self.search(queries[rows], width)
            kept = np.where(keeps(rows, wide.block_ids), wide.scores, -np.inf)
            best = SearchResult.ranked(kept, wide.block_ids, k)
            scores[rows], block_ids[rows] = best.scores, best.block_ids
            rows = rows[~best.found.all(axis=1)]
            if not len(rows) or width >= len(self):
                return SearchResult(scores, block_ids, block_ids >= 0)
            width = min(width * _WIDENING, len(self))

    def _checked(self, queries: np.ndarray) -> np.ndarray:
        queries = np.ascontiguousarray(queries, np.float32)
        if queries.ndim != 2 or queries.shape[1] != self.dimension:
            raise RealmError(
                f'Queries of shape {list(queries.shape)} do not fit this index of {self.dimension}-dimensional '
                f'embeddings, which needs [batch, {self.dimension}]. '
                'Embed the queries with the encoder that embedded the blocks.'
            )
        if not np.isfinite(queries).all():
            bad = int(np.flatnonzero(~np.isfinite(queries).all(axis=1))[0])
            raise RealmError(f'Query {bad} of the batch is not finite: look for a diverged or a damaged query tower.')
        return queries
