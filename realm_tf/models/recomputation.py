"""Computing what a layer computes again in the backward pass, in place of keeping it."""

from collections.abc import Callable

import keras


def recomputed(function: Callable, inputs):
    """Calls a function of which only the input is kept for the backward pass (Chen et al. 2016, arXiv:1604.06174).

    That is `keras.remat`. But with TensorFlow, XLA finds its second computation to be the first, and leaves it out: on
    a TPU it saves nothing. There, ours waits for the gradient of the outputs in a way that XLA cannot see through.

    Args:
      function: of one floating-point tensor; gives one. It may use variables.
      inputs: its argument.

    Returns:
      What the function gives.
    """
    recompute = _recomputed_by_tensorflow if keras.backend.backend() == 'tensorflow' else keras.remat
    return recompute(function)(inputs)


def _recomputed_by_tensorflow(function: Callable) -> Callable:
    import tensorflow as tf

    @tf.custom_gradient
    def call(inputs):
        def gradients(upstream, variables=()):
            # Zero, when there is the gradient: only a number that is none differs from itself, which no compiler
            # rules out.
            first = tf.reshape(upstream, [-1])[0]
            zero = tf.where(first == first, tf.zeros_like(first), first)
            again = inputs + tf.cast(zero, inputs.dtype)
            with tf.GradientTape() as tape:
                tape.watch([again, *variables])
                outputs = function(again)
            of_inputs, *of_variables = tape.gradient(outputs, [again, *variables], output_gradients=upstream)
            return of_inputs, of_variables

        return function(inputs), gradients

    return call
