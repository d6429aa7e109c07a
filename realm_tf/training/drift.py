"""How far the weights in training have gone from those that the index was made with, measured now and then."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from realm_tf.cadence import Cadence
from realm_tf.config import FinetuneConfig, PretrainConfig
from realm_tf.models.dual_encoder import DualEncoder
from realm_tf.training.current_generation import CurrentGeneration
from realm_tf.training.on_devices import computed_on


def drift_at_refreshes(
    current: CurrentGeneration,
    retriever: DualEncoder,
    settings: PretrainConfig | FinetuneConfig,
    strategy: tf.distribute.Strategy,
) -> Callable[[int, np.ndarray, np.ndarray, np.ndarray], dict[str, float]]:
    """Gives a function that measures the drift at the steps of the refresh, and nothing at others.

    The candidates of the step are embedded once more for it, since what the step itself embedded has dropout.

    Args:
      current: the index in use.
      retriever: the retriever in training.
      settings: those of the training.
      strategy: of the training.

    Returns:
      A function of the step that was made, its candidates' block ids, int32 `[candidates]`, negative where one is no
      block, and their packed token and segment ids, int32 `[candidates, block_length]`; it gives what
      `CurrentGeneration.drift` does.
    """
    cadence = Cadence.parse(settings.refresh_every)
    embed = computed_on(strategy, retriever.embed_documents)

    def drift(step: int, block_ids: np.ndarray, token_ids: np.ndarray, segment_ids: np.ndarray) -> dict[str, float]:
        if not cadence.includes(step):
            return {}
        # As many as there is memory for.
        part = slice(len(block_ids) // settings.accumulation_steps)
        fresh = embed(token_ids=token_ids[part], segment_ids=segment_ids[part])
        return current.drift(step, block_ids[part], fresh)

    return drift
