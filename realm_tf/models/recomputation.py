"""Computing what a layer computes again in the backward pass, in place of keeping it."""

from collections.abc import Callable

import tensorflow as tf


def recomputed(function: Callable[[tf.Tensor], tf.Tensor], inputs: tf.Tensor) -> tf.Tensor:
    """Calls a function of which only the input is kept for the backward pass (Chen et al. 2016, arXiv:1604.06174).

    As `keras.remat`, whose second computation XLA finds to be the first, and leaves out: for a TPU it saves nothing.
    Here it waits for the gradient of the outputs in a way that XLA cannot see through.

    Args:
      function: of one floating-point tensor; gives one. It may use variables.
      inputs: its argument.

    Returns:
      What the function gives.
    """

    @tf.custom_gradient
    def call(inputs):
        def gradients(upstream, variables=()):
            again = inputs + tf.cast(_zero_after(upstream), inputs.dtype)
            with tf.GradientTape() as tape:
                tape.watch([again, *variables])
                outputs = function(again)
            of_inputs, *of_variables = tape.gradient(outputs, [again, *variables], output_gradients=upstream)
            return of_inputs, of_variables

        return function(inputs), gradients

    return call(inputs)


def _zero_after(tensor: tf.Tensor) -> tf.Tensor:
    """Zero, when there is the tensor: only a number that is none differs from itself, which no compiler rules out."""
    first = tf.reshape(tensor, [-1])[0]
    return tf.where(first == first, tf.zeros_like(first), first)
