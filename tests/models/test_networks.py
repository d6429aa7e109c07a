"""The networks as a configuration makes them."""

import concurrent.futures
import dataclasses

import keras
import numpy as np
import pytest

from realm_tf.config import load_config
from realm_tf.weights.networks import make_knowledge_augmented_encoder, make_reader, make_retriever

CONFIG = load_config('tiny', overrides={'encoder.dropout': 0.0})


def ids(batch, length, seed=0):
    return np.random.default_rng(seed).integers(5, 30000, (batch, length)).astype(np.int32)


@pytest.mark.parametrize('pooling', ['cls', 'mean'])
@pytest.mark.parametrize('shared', [True, False])
def test_the_retriever_scores_by_inner_products(pooling, shared):
    settings = dataclasses.replace(CONFIG.retriever, pooling=pooling, shared_towers=shared)
    retriever = make_retriever(dataclasses.replace(CONFIG, retriever=settings))
    queries, documents, segments = ids(2, 6), ids(3, 8, seed=1), np.zeros((3, 8), np.int32)
    expected = (
        np.asarray(retriever.embed_queries(queries)) @ np.asarray(retriever.embed_documents(documents, segments)).T
    )
    np.testing.assert_allclose(retriever(queries, documents, segments), expected, atol=1e-4)


def test_separate_towers_double_the_parameters():
    shared, separate = (
        make_retriever(
            dataclasses.replace(CONFIG, retriever=dataclasses.replace(CONFIG.retriever, shared_towers=is_shared))
        ).count_params()
        for is_shared in (True, False)
    )
    assert separate == 2 * shared


def test_the_projection_is_dropped_out_in_training_alone():
    retriever = make_retriever(load_config('tiny', overrides={'encoder.dropout': 0.25}))
    tokens = ids(40, 9)
    dropped = np.asarray(retriever.embed_queries(tokens, training=True)) == 0.0
    assert 0.2 < dropped.mean() < 0.3
    assert np.asarray(retriever.embed_queries(tokens)).all()


def number_of_parameters(make, config):
    """Counted from shapes alone: nothing is initialised."""

    def count():
        with keras.StatelessScope(initialize_variables=False):
            return sum(int(np.prod(variable.shape)) for variable in make(config).trainable_variables)

    # Keras keeps a list, one a thread, of variables that wait to be initialised: this one ends with its thread.
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        return thread.submit(count).result()


@pytest.mark.parametrize('shared, of_towers, millions', [(False, 219_161_856, 330), (True, 109_580_928, 220)])
def test_the_paper_has_three_bert_base_networks(shared, of_towers, millions):
    """330M parameters (REALM, table 1): query tower, document tower and reader."""
    config = load_config('paper', overrides={'retriever.shared_towers': shared})
    towers, reader = (number_of_parameters(make, config) for make in (make_retriever, make_reader))
    # BERT-base is embeddings, twelve layers, and for a tower the pooler; then projection and LayerNorm, or span scores.
    embeddings = (30522 + 512 + 2) * 768 + 2 * 768
    layers = 12 * (4 * (768 * 768 + 768) + 2 * 768 * 3072 + 3072 + 768 + 4 * 768)
    tower = embeddings + layers + 768 * 768 + 768 + 768 * 128 + 3 * 128
    assert towers == of_towers == tower * (1 if shared else 2)
    assert reader == 109_286_145 == embeddings + layers + 768 * 512 + 512 + 2 * 256 + 256 + 1
    assert round(towers + reader, -7) == millions * 1_000_000


def test_only_the_masked_positions_meet_the_vocabulary():
    reader = make_knowledge_augmented_encoder(CONFIG)
    tokens, segments = ids(2, 12), np.zeros((2, 12), np.int32)
    logits = reader(tokens, segments, np.array([[1, 5, 0], [3, 0, 0]], np.int32))
    assert logits.shape == (2, 3, CONFIG.encoder.vocabulary_size)
    again = reader(tokens, segments, np.array([[5, 1, 0], [0, 3, 0]], np.int32))
    np.testing.assert_allclose(np.asarray(logits)[0, :2], np.asarray(again)[0, 1::-1], atol=1e-5)


def test_spans_lie_in_the_block_and_are_scored_from_their_ends():
    reader = make_reader(CONFIG)
    # [CLS] q q [SEP] b b b b [SEP] [PAD]
    tokens = ids(1, 10)
    tokens[0, 9] = 0
    segments = np.array([[0, 0, 0, 0, 1, 1, 1, 1, 1, 0]], np.int32)
    logits, is_span = reader(tokens, segments)
    spans = {(int(start), int(start + width)) for start, width in np.argwhere(np.asarray(is_span)[0])}
    assert spans == {(start, end) for start in range(4, 8) for end in range(start, 8)}

    hidden = np.asarray(reader.encoder(tokens, segments))[0]
    starts, ends = np.split(hidden @ np.asarray(reader.ends.kernel) + np.asarray(reader.ends.bias), 2, axis=1)
    span = np.maximum(starts[5] + ends[7], 0)
    normal = (span - span.mean()) / np.sqrt(span.var() + 1e-3)
    expected = normal @ np.asarray(reader.score.kernel)[:, 0] + np.asarray(reader.score.bias)[0]
    np.testing.assert_allclose(np.asarray(logits)[0, 5, 2], expected, rtol=1e-3, atol=1e-5)


def test_a_block_of_the_paper_has_3155_spans():
    reader = make_reader(CONFIG)
    # 320 wordpieces of the block, and its [SEP].
    _, is_span = reader(ids(1, 321), np.ones((1, 321), np.int32))
    assert reader.max_answer_length == 10
    assert np.asarray(is_span).sum() == 3155
