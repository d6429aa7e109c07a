"""Padding that is skipped: what comes out is what comes out with it."""

import keras
import numpy as np
import tensorflow as tf
from hypothesis import given, strategies

from realm_tf.models.bert_encoder import BertEncoder
from realm_tf.models.token_layout import AllTokens, TokensWithoutPadding

LENGTH = 9
TEXTS = strategies.lists(strategies.integers(0, LENGTH), min_size=1, max_size=5)


def padded(lengths, seed=0):
    """Random token ids of texts of these lengths, int32 `[batch, LENGTH]`."""
    ids = np.random.default_rng(seed).integers(5, 90, (len(lengths), LENGTH)).astype(np.int32)
    return np.where(np.arange(LENGTH) < np.array(lengths)[:, np.newaxis], ids, 0)


@given(TEXTS)
def test_tokens_are_found_again_and_padding_is_left_out(lengths):
    ids = padded(lengths)
    layout = TokensWithoutPadding(ids)
    values = np.random.default_rng(1).standard_normal((*ids.shape, 3))
    flat = np.asarray(layout.flat(values))
    assert len(flat) == sum(max(length, 1) for length in lengths)
    again = np.asarray(layout.padded(flat))
    assert again.shape == values.shape
    np.testing.assert_array_equal(again[ids > 0], values[ids > 0])


@given(TEXTS)
def test_all_tokens_are_every_position(lengths):
    layout = AllTokens(padded(lengths))
    values = np.random.default_rng(1).standard_normal((len(lengths), LENGTH, 3))
    assert layout.flat(values).shape == (len(lengths) * LENGTH, 3)
    np.testing.assert_array_equal(layout.padded(layout.flat(values)), values)


def encoders():
    """The same encoder twice: one computes padding, the other skips it."""
    keras.utils.set_random_seed(0)
    computing = BertEncoder(2, 32, 4, 64, 90, 16)
    computing.build()
    skipping = BertEncoder.from_config(computing.get_config() | {'skip_padding': True})
    skipping.build()
    skipping.set_weights(computing.get_weights())
    return computing, skipping


def test_hidden_states_are_the_same():
    computing, skipping = encoders()
    # A text of none at all, too: what a search that found too few leaves behind.
    for lengths in ([9, 4, 1], [0, 9, 3], [0, 0], [5]):
        ids = padded(lengths)
        expected, found = (np.asarray(encoder(ids, np.ones_like(ids))) for encoder in (computing, skipping))
        np.testing.assert_allclose(found[ids > 0], expected[ids > 0], rtol=1e-5, atol=1e-5)
        assert found.shape == expected.shape and np.isfinite(found).all()


def test_products_have_as_many_rows_as_there_are_tokens():
    _, skipping = encoders()
    rows = []
    layer = skipping.layers[0].intermediate
    call = layer.call
    layer.call = lambda inputs, **keywords: rows.append(len(inputs)) or call(inputs, **keywords)
    ids = padded([9, 4, 1])
    skipping(ids, np.ones_like(ids))
    assert rows == [14]


def test_one_function_is_for_batches_of_any_shape():
    computing, skipping = encoders()
    function = tf.function(skipping, input_signature=[tf.TensorSpec([None, None], tf.int32)] * 2)
    for lengths in ([9], [3, 9, 2, 1]):
        ids = padded(lengths)
        expected = np.asarray(computing(ids, np.ones_like(ids)))
        found = np.asarray(function(ids, np.ones_like(ids)))
        np.testing.assert_allclose(found[ids > 0], expected[ids > 0], rtol=1e-5, atol=1e-5)
