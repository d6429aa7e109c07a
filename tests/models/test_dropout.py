"""Dropout: how much is dropped, how the rest is scaled, and what is drawn when."""

import hypothesis
import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies

from realm_tf.models.dropout import Dropout


def dropped(rate, shape, dtype='float32', seed=0):
    keras.utils.set_random_seed(seed)
    return np.asarray(tf.cast(Dropout(rate, dtype=dtype)(tf.ones(shape, dtype), training=True), tf.float32))


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
@pytest.mark.parametrize('rate', [0.1, 0.5, 0.9])
def test_the_rate_and_the_scale_hold_in_every_precision(rate, dtype):
    values = dropped(rate, (1000, 1001), dtype)
    # Of a million values, six standard errors.
    assert abs((values == 0).mean() - rate) < 6 * np.sqrt(rate * (1 - rate) / values.size)
    # What is left is scaled, up to the rounding of the precision.
    np.testing.assert_allclose(values[values > 0], 1 / (1 - rate), rtol=1e-4 if dtype == 'float32' else 4e-3)


def test_values_are_dropped_independently():
    kept = dropped(0.5, (512, 512)) > 0
    # The first half of the rows and the second have the two halves of the same numbers of 32 bits.
    for one, other in ((kept[:256], kept[256:]), (kept[:, 1:], kept[:, :-1]), (kept[1:], kept[:-1])):
        assert abs((one == other).mean() - 0.5) < 6 * 0.5 / np.sqrt(one.size)


@hypothesis.given(strategies.lists(strategies.integers(0, 7), max_size=4))
def test_any_shape(shape):
    values = dropped(0.5, shape)
    assert values.shape == tuple(shape) and set(values.flatten()) <= {0.0, 2.0}


def test_a_drawn_function_drops_the_same_again_and_the_next_one_others():
    layer = Dropout(0.5)
    first, second = layer.drawn(True), layer.drawn(True)
    values = tf.ones((100, 3))
    np.testing.assert_array_equal(first(values), first(values))
    assert (np.asarray(first(values)) != np.asarray(second(values))).any()


def test_nothing_is_dropped_outside_training_or_at_rate_zero():
    values = tf.ones((100, 3))
    assert Dropout(0.5)(values) is values
    assert not Dropout(0.0).variables
    np.testing.assert_array_equal(Dropout(0.0)(values, training=True), values)


def test_the_gradient_is_scaled_and_dropped_as_the_values_are():
    values = tf.random.stateless_uniform((40, 3), (0, 0), 1.0, 2.0)
    with tf.GradientTape() as tape:
        tape.watch(values)
        outputs = Dropout(0.25)(values, training=True)
    np.testing.assert_allclose(tape.gradient(outputs, values), outputs / values, rtol=1e-6)


def test_the_compiler_for_accelerators_drops_the_same():
    layer = Dropout(0.3)
    drop = layer.drawn(True)
    values = tf.ones((33, 5))
    np.testing.assert_array_equal(tf.function(drop, jit_compile=True)(values), drop(values))


def test_a_length_that_is_not_known_beforehand():
    layer = Dropout(0.5)

    @tf.function(input_signature=[tf.TensorSpec([None, 3])])
    def drop(values):
        return layer(values, training=True)

    for length in (0, 1, 7):
        assert drop(tf.ones((length, 3))).shape == (length, 3)


@pytest.mark.parametrize('rate', [-0.1, 1.0, 2])
def test_a_rate_that_is_none(rate):
    with pytest.raises(ValueError, match=r'\[0, 1\), not'):
        Dropout(rate)
