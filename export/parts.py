"""A large batch is computed a part at a time: the memory it takes does not depend on its size."""

from collections.abc import Callable, Mapping

import tensorflow as tf

# Questions computed at a time.
PART = 16


def in_parts(
    compute: Callable[..., Mapping[str, tf.Tensor]], inputs: Mapping[str, tf.TensorSpec], name: str
) -> tf.types.experimental.PolymorphicFunction:
    """Makes a function of a batch of any size, also none, of one that is given parts of it.

    Args:
      compute: gives outputs `[part, …]` for inputs `[part]`, by name.
      inputs: what its arguments are, by name.
      name: of the function.

    Returns:
      A `tf.function` of the same inputs.
    """
    of_part = tf.function(compute, input_signature=list(inputs.values())).get_concrete_function()
    outputs = {name: tf.TensorSpec(output.shape, output.dtype) for name, output in of_part.structured_outputs.items()}

    def of_batch(*values):
        size = tf.shape(values[0])[0]
        # At least one of one: there is no part of nothing. As even as can be: little is padded.
        parts = tf.maximum(1, -(-size // PART))
        part = tf.maximum(1, -(-size // parts))
        padding = [[0, parts * part - size]]
        # [parts, part]
        rows = [tf.reshape(tf.pad(value, padding), [parts, part]) for value in values]
        found = tf.map_fn(lambda row: of_part(*row), rows, fn_output_signature=outputs, parallel_iterations=1)
        return {
            name: tf.reshape(value, tf.concat([[parts * part], tf.shape(value)[2:]], 0))[:size]
            for name, value in found.items()
        }

    of_batch.__name__ = name
    return tf.function(of_batch, input_signature=list(inputs.values()))
