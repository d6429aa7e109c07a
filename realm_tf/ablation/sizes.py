"""How long the ablations may train, within a budget, from what their stages are measured to take."""

import dataclasses
import math
from collections.abc import Sequence

from realm_tf.ablation.rows import STALE, STALER, Row, trainings_of
from realm_tf.cadence import STEPS_AHEAD
from realm_tf.errors import RealmError

# Shares of the budget, what is left goes to the steps of pre-training.
_FINE_TUNING = 0.35
_REFRESHING = 0.15
_FEWEST_STEPS = 20


@dataclasses.dataclass(frozen=True)
class Costs:
    """What one of each takes here, in seconds.

    Attributes:
      pretraining_step: a step of pre-training.
      finetuning_step: a step of fine-tuning.
      embedding: embedding the corpus and building its index.
      evaluation: both evaluations of a row.
    """

    pretraining_step: float
    finetuning_step: float
    embedding: float
    evaluation: float


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What each training is given.

    Attributes:
      pretraining_steps: steps of each pre-training.
      refreshes: how often the index of each is refreshed meanwhile at most, but for the stale one.
      finetuning_steps: most steps of each fine-tuning.
    """

    pretraining_steps: int
    refreshes: int
    finetuning_steps: int

    @property
    def refresh_every(self) -> int:
        """Steps between two refreshes."""
        return max(1, math.ceil(self.pretraining_steps / (self.refreshes + 1)))

    @property
    def refreshes_made(self) -> int:
        """How many refreshes that is, of which the last steps have none."""
        return max(0, self.pretraining_steps - STEPS_AHEAD) // self.refresh_every


def choose_sizes(costs: Costs, budget_hours: float, seeds: int, rows: Sequence[Row]) -> Sizes:
    """Chooses the sizes that fill a budget.

    Embedding and evaluating every row comes first; a share goes to fine-tuning, a smaller one to refreshing, at most 30
    times a training, and what is left to pre-training.

    Args:
      costs: what things take.
      budget_hours: hours for everything.
      seeds: how often everything is done.
      rows: the rows that are made.

    Raises:
      RealmError: if the budget is too small for trainings of 20 steps; it says what would do.
    """
    budget = 3600 * budget_hours / seeds
    trainings = trainings_of(rows)
    refreshed = len(trainings - {STALE})
    fixed = len(rows) * (costs.embedding + costs.evaluation)
    left = budget - fixed
    refreshes = math.floor(_REFRESHING * left / (max(1, refreshed) * costs.embedding))
    refreshes = min(STALER, refreshes)
    finetuning_steps = math.floor(_FINE_TUNING * left / (len(rows) * costs.finetuning_step))
    left -= refreshes * refreshed * costs.embedding + finetuning_steps * len(rows) * costs.finetuning_step
    pretraining_steps = math.floor(left / (max(1, len(trainings)) * costs.pretraining_step))
    too_few = [finetuning_steps, pretraining_steps] if trainings else [finetuning_steps]
    if (refreshed and refreshes < 1) or min(too_few) < _FEWEST_STEPS:
        needed = fixed + max(
            max(1, refreshed) * costs.embedding / _REFRESHING,
            _FEWEST_STEPS * len(rows) * costs.finetuning_step / _FINE_TUNING,
            _FEWEST_STEPS * max(1, len(trainings)) * costs.pretraining_step / (1 - _FINE_TUNING - _REFRESHING),
        )
        raise RealmError(
            f'{budget_hours:g} hours are too few on this machine: with one refresh and {_FEWEST_STEPS} steps of each '
            f'training it takes about {seeds * needed / 3600:.1f}. Take a smaller corpus, fewer rows, or more hours.'
        )
    return Sizes(pretraining_steps, refreshes, finetuning_steps)
