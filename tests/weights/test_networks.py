"""Networks for inference alone."""

import numpy as np
import pytest

from realm_tf.config import load_config
from realm_tf.weights.networks import for_inference, make_reader, make_retriever
from realm_tf.weights.parameters import named_parameters

TOKENS = np.random.default_rng(0).integers(5, 200, (3, 14)).astype(np.int32)
SEGMENTS = np.repeat([[0] * 5 + [1] * 9], 3, axis=0).astype(np.int32)


def config(precision, **overrides):
    return load_config('tiny', overrides={'precision': precision, 'encoder.vocabulary_size': 200} | overrides)


@pytest.mark.parametrize('shared', [True, False])
def test_what_is_for_inference_computes_the_same_to_the_bit(shared):
    made = config('mixed_bfloat16', **{'retriever.shared_towers': shared})
    retriever, reader = make_retriever(made), make_reader(made)
    np.testing.assert_array_equal(for_inference(retriever).embed_queries(TOKENS), retriever.embed_queries(TOKENS))
    documents = for_inference(retriever).embed_documents(TOKENS, SEGMENTS)
    np.testing.assert_array_equal(documents, retriever.embed_documents(TOKENS, SEGMENTS))
    np.testing.assert_array_equal(for_inference(reader)(TOKENS, SEGMENTS)[0], reader(TOKENS, SEGMENTS)[0])


def test_padding_is_skipped_and_changes_nothing_but_rounding():
    # Texts of 14, 11 and 6 wordpieces.
    is_token = np.arange(14) < np.array([[14], [11], [6]])
    tokens, segments = TOKENS * is_token, SEGMENTS * is_token
    padded = config('float32', skip_padding=False)
    retriever, reader = make_retriever(padded), make_reader(padded)
    lean_retriever, lean_reader = for_inference(retriever), for_inference(reader)
    assert lean_retriever.query_tower.encoder.skip_padding and lean_reader.encoder.skip_padding
    documents = lean_retriever.embed_documents(tokens, segments)
    np.testing.assert_allclose(documents, retriever.embed_documents(tokens, segments), rtol=1e-5, atol=1e-5)
    (logits, is_span), (expected, expected_spans) = lean_reader(tokens, segments), reader(tokens, segments)
    np.testing.assert_array_equal(is_span, expected_spans)
    np.testing.assert_allclose(logits[is_span], expected[is_span], rtol=1e-5, atol=1e-5)


def test_the_weights_of_mixed_precision_are_halved_where_they_are_only_computed_with():
    reader = make_reader(config('mixed_bfloat16'))
    assert {variable.dtype for variable in named_parameters(reader).values()} == {'float32'}
    assert {variable.dtype for variable in named_parameters(for_inference(reader)).values()} == {'bfloat16'}
    # The products after the pooling are computed in float32, and their weights stay so.
    retriever = for_inference(make_retriever(config('mixed_bfloat16')))
    in_float32 = {name for name, variable in named_parameters(retriever).items() if variable.dtype == 'float32'}
    assert {name.split('/')[1] for name in in_float32} == {'projection', 'projection_layer_norm'}


def test_a_network_that_is_for_inference_already_is_its_own():
    reader = make_reader(config('float32', skip_padding=True))
    assert for_inference(reader) is reader
