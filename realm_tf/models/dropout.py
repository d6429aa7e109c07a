"""Dropout by sixteen random bits a value."""

from collections.abc import Callable

import keras
from keras import ops

from realm_tf.models.drawn_seed import DrawnSeed

_VALUES_OF_16_BITS = 2**16


@keras.saving.register_keras_serializable(package='realm_tf')
class Dropout(keras.layers.Layer):
    """Sets values to zero at random, and scales the others so that the mean stays (Srivastava et al. 2014).

    A value is dropped by 16 random bits, where TensorFlow's own dropout takes 32. The rate is therefore a multiple of
    1 / 65,536, the nearest to what is given, and the scale is that of this multiple, rounded to the values' precision.
    `keras.layers.Dropout` compares numbers in the precision of the values: in bfloat16 a rate of 0.1 is 0.1016 there.

    Args:
      rate: the share of values that are dropped, in [0, 1).

    Call arguments:
      values: floating point, of any shape.
      training: whether anything is dropped.

    Returns:
      Shape and dtype of the values.

    Raises:
      ValueError: the rate is not in [0, 1).
    """

    def __init__(self, rate: float, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f'The rate of dropout is in [0, 1), not {rate}.')
        self.rate = rate
        self.seed_generator = keras.random.SeedGenerator() if rate else None

    def call(self, values, training=False):
        return self.drawn(training)(values)

    def drawn(self, training: bool) -> Callable:
        """A function that drops the same values however often it is called; the next one that is drawn drops others."""
        if not (training and self.rate):
            return lambda values: values
        seed = self.seed_generator.next()
        threshold = min(round(self.rate * _VALUES_OF_16_BITS), _VALUES_OF_16_BITS - 1)
        scale = _VALUES_OF_16_BITS / (_VALUES_OF_16_BITS - threshold)

        def drop(values):
            kept = _at_least(threshold, values, seed)
            # By a product: where it selects, TensorFlow takes twice as long.
            return values * (ops.cast(kept, values.dtype) * scale)

        return drop

    def get_config(self):
        return super().get_config() | {'rate': self.rate}


def _at_least(threshold: int, values, seed):
    """Where 16 random bits for each of the values are a number of at least a threshold, bool."""
    if keras.backend.backend() == 'tensorflow':
        return _at_least_by_tensorflow(threshold, values, seed)
    return keras.random.randint(ops.shape(values), 0, _VALUES_OF_16_BITS, 'int32', DrawnSeed(seed)) >= threshold


def _at_least_by_tensorflow(threshold: int, values, seed):
    """The same from numbers of 32 bits: the lower halves are for the first rows, the upper halves for the others."""
    import tensorflow as tf

    rows, *others = ops.shape(values) or (1,)
    # [rows / 2 rounded up, …]
    pairs = tf.random.stateless_uniform([(rows + 1) // 2, *others], tf.cast(seed, tf.int32), None, None, tf.int32)
    lower, upper = pairs & (_VALUES_OF_16_BITS - 1), tf.bitwise.right_shift(pairs, 16)
    # The upper half has the sign.
    kept = tf.concat([lower >= threshold, upper >= threshold - _VALUES_OF_16_BITS // 2], axis=0)[:rows]
    return tf.reshape(kept, ops.shape(values))
