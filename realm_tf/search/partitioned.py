"""What approximate searchers with a tree have in common: how far they look."""

import dataclasses
import math

from realm_tf.search.searcher import Searcher


@dataclasses.dataclass(frozen=True)
class Effort:
    """How far a search for k blocks looks.

    Attributes:
      k: blocks that are wanted.
      leaves: leaves of the tree that are looked into, those whose centroids score best.
      reordered: the most promising blocks of these leaves, whose scores are computed again from better vectors.
    """

    k: int
    leaves: int
    reordered: int


class PartitionedSearcher(Searcher):
    """Looks into the leaves of a tree that are nearest to a query, and scores the most promising blocks again.

    Attributes:
      effort: how far it looks; `tune` finds the least that reaches a recall, and a search for more blocks than that was
        found for looks further.
      num_leaves: leaves of the tree; 0 if there is none and every block is scored.
    """

    # What it costs to look at one block of a leaf, at one centroid, and to score one block again, in any unit.
    _COST_OF_BLOCK: float
    _COST_OF_REORDERING: float

    def __init__(self, num_leaves: int, effort: Effort | None = None):
        self.num_leaves = num_leaves
        # Far, until it is tuned.
        self.effort = effort or Effort(
            k=50, leaves=min(num_leaves, max(100, math.ceil(3 * math.sqrt(num_leaves)))), reordered=200
        )

    @property
    def is_exact(self) -> bool:
        return self.num_leaves == 0

    def effort_for(self, k: int) -> Effort:
        """How far a search for k blocks looks, into leaves that hold four times as many at the least."""
        leaves, reordered = self.effort.leaves, self.effort.reordered
        if k > self.effort.k:
            leaves = max(leaves, math.ceil(4 * k * self.num_leaves / len(self)))
            # In proportion; of many blocks, few are near enough to the last that is wanted to be mistaken for it.
            reordered = max(reordered, min(math.ceil(reordered * k / self.effort.k), 4 * k))
        return Effort(k, min(leaves, self.num_leaves), min(reordered, len(self)))

    def cost(self, effort: Effort) -> float:
        """What a search costs, beside what does not depend on the effort, in any unit."""
        blocks = effort.leaves * len(self) / self.num_leaves
        return blocks * self._COST_OF_BLOCK + effort.reordered * self._COST_OF_REORDERING
