"""Functions of a network that the host calls with arrays, computed by the devices of a strategy."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from realm_tf.training.strategies import in_this_process
from realm_tf.training.train_step import shared_out


def computed_on(strategy: tf.distribute.Strategy, function: Callable) -> Callable:
    """Compiles a function of tensors whose first axis is the batch's, and shares the batch out over the replicas.

    Of several workers each computes the whole batch by itself, as each makes the whole batch.

    Args:
      strategy: of the training.
      function: takes tensors by name; returns a tensor or several.

    Returns:
      A function of arrays by name that returns arrays.
    """
    strategy = in_this_process(strategy)
    replicas = strategy.num_replicas_in_sync

    # Not a lambda: TPUStrategy makes a scope of the name.
    @tf.function(reduce_retracing=True)
    def distributed(batch):
        return strategy.run(function, kwargs=batch)

    def compute(**arrays: np.ndarray):
        rows = len(next(iter(arrays.values())))
        # The last row is computed again where the batch does not divide.
        padded = {
            name: array[np.minimum(np.arange(rows + -rows % replicas), rows - 1)] for name, array in arrays.items()
        }
        outputs = distributed(shared_out(padded, strategy))

        def whole(value) -> np.ndarray:
            return np.concatenate([share.numpy() for share in strategy.experimental_local_results(value)])[:rows]

        return tuple(map(whole, outputs)) if isinstance(outputs, tuple) else whole(outputs)

    compute.compiled = distributed
    return compute
