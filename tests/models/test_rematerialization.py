"""Rematerialisation: the same gradients, from activations that are computed again."""

import keras
import numpy as np
import tensorflow as tf

from realm_tf.models.bert_encoder import BertEncoder

TOKENS = np.random.default_rng(0).integers(5, 90, (3, 12)).astype(np.int32)


def gradients_of(rematerialize, precision='float32'):
    """Loss and gradients with dropout, and the operations of the step."""
    keras.utils.set_random_seed(0)
    encoder = BertEncoder(2, 32, 4, 64, 90, 16, dropout=0.3, rematerialize=rematerialize, dtype=precision)
    encoder.build()

    @tf.function
    def step(tokens):
        with tf.GradientTape() as tape:
            hidden = encoder(tokens, tf.zeros_like(tokens), training=True)
            loss = tf.reduce_sum(tf.cast(hidden, tf.float32) ** 3)
        variables = [variable.value for variable in encoder.trainable_variables]
        return loss, [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, variables)]

    # The second step, so that the seeds of dropout are those of a generator under way.
    step(tf.constant(TOKENS))
    operations = [
        operation.type for operation in step.get_concrete_function(tf.constant(TOKENS)).graph.get_operations()
    ]
    return *step(tf.constant(TOKENS)), operations


def test_the_gradients_are_the_same_with_dropout():
    kept, recomputed = gradients_of(False), gradients_of(True)
    np.testing.assert_allclose(recomputed[0], kept[0], rtol=1e-6)
    for one, other in zip(recomputed[1], kept[1], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_dropout_drops_other_units_at_every_step():
    keras.utils.set_random_seed(0)
    encoder = BertEncoder(1, 32, 4, 64, 90, 16, dropout=0.3)
    segments = np.zeros_like(TOKENS)
    first, second = (np.asarray(encoder(TOKENS, segments, training=True)) for _ in range(2))
    assert np.abs(first - second).max() > 0.1
    np.testing.assert_array_equal(encoder(TOKENS, segments), encoder(TOKENS, segments))


def test_activations_are_computed_again():
    kept, recomputed = gradients_of(False)[2], gradients_of(True)[2]
    # What the forward pass of a layer has once, the backward pass has again.
    assert kept.count('Softmax') == 2 and recomputed.count('Softmax') == 4
