"""One training step: a batch shared out over replicas, its gradients summed, the weights updated."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from realm_tf.environment import require_changing_weights
from realm_tf.errors import RealmError
from realm_tf.training.optimizer import BertAdamW
from realm_tf.training.replicas import Average, global_averages

Batch = Mapping[str, np.ndarray]


class Loss(NamedTuple):
    """What a loss function gives for a replica's share of a batch.

    Attributes:
      loss: what is minimised.
      metrics: further averages, by name.
    """

    loss: Average
    metrics: Mapping[str, Average]


def make_train_step(
    loss_function: Callable[[Mapping[str, tf.Tensor]], Loss],
    optimizer: BertAdamW,
    strategy: tf.distribute.Strategy,
    accumulation_steps: int = 1,
) -> Callable[[Batch], dict[str, float]]:
    """Compiles one training step: loss, gradients, update.

    The step is that of one device on the whole batch, whatever the number of replicas and of parts: sums of gradients
    are divided by the weight of the whole batch.

    Args:
      loss_function: gives the loss of a part of a batch.
      optimizer: holds the variables, and updates them; made in the strategy's scope.
      strategy: its replicas share each batch, in equal parts along the first axis.
      accumulation_steps: a replica's share is taken in so many parts, one after the other: less memory, more time.

    Returns:
      A function of a batch that makes a step, and gives averages over the batch by name: `loss`, `gradient_norm` and
      `learning_rate` among them.

    Raises:
      RealmError: if the environment has TensorFlow take the weights for fixed.
    """
    require_changing_weights()

    def part_of_step(part):
        with tf.GradientTape() as tape:
            loss = loss_function(part)
        # Embedding gradients are sparse; their rows must be summed before they can be added and clipped.
        gradients = [tf.convert_to_tensor(value) for value in tape.gradient(loss.loss.total, optimizer.variables)]
        return gradients, {'loss': loss.loss, **loss.metrics}

    def accumulated(batch):
        parts = {
            name: tf.reshape(values, [accumulation_steps, -1, *values.shape[1:]]) for name, values in batch.items()
        }
        summed = part_of_step({name: values[0] for name, values in parts.items()})
        for part in tf.range(1, accumulation_steps):
            added = part_of_step({name: values[part] for name, values in parts.items()})
            summed = tf.nest.map_structure(tf.add, summed, added)
        return summed

    def replica_step(batch):
        gradients, averages = part_of_step(batch) if accumulation_steps == 1 else accumulated(batch)
        averages = global_averages(averages)
        learning_rate = optimizer.learning_rate()
        norm = optimizer.apply([gradient / averages['loss'].weight for gradient in gradients])
        metrics = {name: average.total / tf.maximum(average.weight, 1e-9) for name, average in averages.items()}
        return metrics | {'gradient_norm': norm, 'learning_rate': learning_rate}

    @tf.function
    def distributed_step(batch):
        return strategy.run(replica_step, args=(batch,))

    def train_step(batch: Batch) -> dict[str, float]:
        metrics = distributed_step(shared_out(batch, strategy))
        return {name: float(strategy.experimental_local_results(value)[0]) for name, value in metrics.items()}

    train_step.compiled = distributed_step
    return train_step


def shared_out(batch: Batch, strategy: tf.distribute.Strategy) -> Mapping[str, Any]:
    """Gives every replica its part of a batch, along the first axis, in the order of the replicas."""
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return {name: tf.constant(array) for name, array in batch.items()}

    def share(context):
        return {
            name: tf.constant(np.split(array, replicas)[context.replica_id_in_sync_group])
            for name, array in batch.items()
        }

    return strategy.experimental_distribute_values_from_function(share)


def require_divisible(
    batch_size: int, setting: str, strategy: tf.distribute.Strategy, accumulation_steps: int = 1
) -> None:
    """Checks that a batch can be shared out.

    Raises:
      RealmError: if it cannot; it names the setting.
    """
    parts = strategy.num_replicas_in_sync * accumulation_steps
    if batch_size % parts:
        raise RealmError(
            f'{setting} = {batch_size} is not a multiple of {parts}, '
            f'{strategy.num_replicas_in_sync} replicas times {accumulation_steps} accumulation steps.'
        )
