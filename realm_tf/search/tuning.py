"""How far a searcher has to look: the least that reaches a recall, found by trying."""

from collections.abc import Callable

import numpy as np

from realm_tf.errors import RealmError
from realm_tf.search.partitioned import Effort, PartitionedSearcher
from realm_tf.search.searcher import SearchResult

# Blocks that are scored again, for each that is wanted.
_REORDERED_PER_BLOCK = (32, 24, 16, 12, 8, 6, 4, 3, 2, 1)


def recall(expected: SearchResult, found: SearchResult) -> float:
    """The share of the blocks in `expected` that are in the same row of `found`."""
    # [queries, k]
    hits = (expected.block_ids[:, :, None] == found.block_ids[:, None, :]).any(axis=-1) & expected.found
    return float(hits.sum() / expected.found.sum())


def tune(searcher: PartitionedSearcher, queries: np.ndarray, expected: SearchResult, wanted: float) -> None:
    """Sets a searcher's effort to the least costly that reaches a recall.

    What an effort costs is reckoned, not timed, so that the same index comes out on a busy machine.

    Args:
      searcher: its `effort` is set; it has a tree.
      queries: float32 `[queries, dimension]`.
      expected: their best k blocks by exact search.
      wanted: the recall@k.

    Raises:
      RealmError: if no effort reaches it.
    """
    k = expected.block_ids.shape[1]
    best, best_cost, least = None, np.inf, 1

    def reaches(leaves: int, reordered: int) -> bool:
        searcher.effort = Effort(k, leaves, reordered)
        return recall(expected, searcher.search(queries, k)) >= wanted

    for reordered in sorted({min(len(searcher), k * times) for times in _REORDERED_PER_BLOCK}, reverse=True):
        # With fewer blocks scored again no fewer leaves are enough; more than would cost as much as the best are none.
        most = least - 1
        while most < searcher.num_leaves and searcher.cost(Effort(k, most + 1, reordered)) < best_cost:
            most += 1
        found = _least(least, most, lambda leaves, reordered=reordered: reaches(leaves, reordered))
        if found is not None:
            least, best = found, Effort(k, found, reordered)
            best_cost = searcher.cost(best)
        elif best is None:
            break
        else:
            least = most + 1
    if best is None:
        raise RealmError(
            f'The index cannot reach recall@{k} {wanted}, however far it looks. Ask for less (index.recall), score the '
            'best blocks again with float32 (index.reordering), or set index.searcher=exact.'
        )
    searcher.effort = best


def _least(low: int, high: int, holds: Callable[[int], bool]) -> int | None:
    """The least number from `low` to `high` for which something holds that holds for all larger ones; None if none."""
    step, below = 1, low - 1
    # Doubling first: what is far above the least is slow to try.
    while below < high:
        tried = min(high, below + step)
        if holds(tried):
            high = tried
            break
        below, step = tried, 2 * step
    else:
        return None
    while high - below > 1:
        middle = (below + high) // 2
        if holds(middle):
            high = middle
        else:
            below = middle
    return high
