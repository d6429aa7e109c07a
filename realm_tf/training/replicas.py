"""What the replicas of a training step exchange; called in the replica context, of one device too."""

from collections.abc import Iterable
from typing import NamedTuple

import keras
import tensorflow as tf


class Average(NamedTuple):
    """An average over the examples of a global batch, of which a replica has its share.

    Attributes:
      total: the sum over this replica's examples, float32 scalar.
      weight: the sum of their weights, or their number, float32 scalar.
    """

    total: tf.Tensor
    weight: tf.Tensor


def mean_of(values: tf.Tensor) -> Average:
    """The average of all the elements of a tensor."""
    values = tf.cast(values, tf.float32)
    return Average(tf.reduce_sum(values), tf.cast(tf.size(values), tf.float32))


def global_averages(averages: dict[str, Average]) -> dict[str, Average]:
    """Sums of totals and weights over all replicas, in one exchange."""
    # [averages, 2]
    own = tf.stack([tf.stack(average) for average in averages.values()])
    summed = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, own)
    return {name: Average(row[0], row[1]) for name, row in zip(averages, tf.unstack(summed), strict=True)}


def gathered(values: tf.Tensor) -> tf.Tensor:
    """The rows of all replicas, in the order of the replicas, `[batch, size]` to `[replicas * batch, size]`.

    Gradients flow back to the replica that a row came from, from the losses of all of them.
    """
    context = tf.distribute.get_replica_context()
    replicas = context.num_replicas_in_sync
    if replicas == 1:
        return values
    # Every replica adds its rows to zeros in the others' places: a sum has a gradient under every strategy.
    place = tf.one_hot(context.replica_id_in_sync_group, replicas, dtype=values.dtype)
    # [replicas, batch, size]
    own = place[:, tf.newaxis, tf.newaxis] * values[tf.newaxis]
    summed = context.all_reduce(tf.distribute.ReduceOp.SUM, own)
    return tf.reshape(summed, [replicas * values.shape[0], *values.shape[1:]])


def first_gathered_row(values: tf.Tensor) -> tf.Tensor:
    """Where this replica's rows begin in what `gathered` returns, int32 scalar."""
    context = tf.distribute.get_replica_context()
    return tf.cast(context.replica_id_in_sync_group, tf.int32) * values.shape[0]


def spread_random_state(networks: Iterable[keras.layers.Layer], strategy: tf.distribute.Strategy) -> None:
    """Gives the dropout of every replica seeds of its own; those of the first stay as they are.

    Call it where the variables are as they were made or restored: the same for all replicas.
    """
    states = [variable.value for network in networks for variable in network.non_trainable_variables]

    def spread():
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        for state in states:
            # [2]: a seed, and how many were drawn
            state.assign_add(tf.cast([replica, 0], state.dtype))

    if strategy.num_replicas_in_sync > 1:
        tf.function(strategy.run)(spread)
