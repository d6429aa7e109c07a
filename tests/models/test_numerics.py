"""What must not change a result: padding, the order of a batch, the compiler, the precision."""

import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf

from realm_tf.config import QuickstartConfig, load_config
from realm_tf.corpus.factbook import factbook_documents
from realm_tf.models.retriever_tower import RetrieverTower
from realm_tf.text.packing import pack_queries
from realm_tf.text.vocabulary import Vocabulary
from realm_tf.text.wordpiece import WordPieceTokenizer
from realm_tf.weights import hugging_face
from realm_tf.weights.networks import make_knowledge_augmented_encoder, make_reader, make_retriever
from realm_tf.weights.parameters import assign_parameters
from realm_tf.weights.pretrained import BERT

CONFIG = load_config('tiny', overrides={'encoder.dropout': 0.0, 'encoder.vocabulary_size': 200})
PADDING = 7


def computing_in(precision, skip_padding=False):
    return dataclasses.replace(CONFIG, precision=precision, skip_padding=skip_padding)


def random_inputs(batch=3, length=14):
    """Token ids, segments, and positions to predict."""
    tokens = np.random.default_rng(0).integers(5, 200, (batch, length)).astype(np.int32)
    segments = np.repeat([[0] * 5 + [1] * (length - 5)], batch, axis=0).astype(np.int32)
    return tokens, segments, np.repeat([[1, 3, 8]], batch, axis=0).astype(np.int32)


def retriever(config):
    network = make_retriever(config)
    return lambda tokens, segments, masks: network.embed_documents(tokens, segments)


def knowledge_augmented_encoder(config):
    return make_knowledge_augmented_encoder(config)


def reader(config):
    network = make_reader(config)

    def score(tokens, segments, masks):
        logits, is_span = network(tokens, segments)
        return tf.where(is_span, logits, 0.0)

    return score


NETWORKS = pytest.mark.parametrize('network', [retriever, knowledge_augmented_encoder, reader])
PADDINGS = pytest.mark.parametrize('skip_padding', [False, True], ids=['padded', 'skipping'])
PRECISIONS = pytest.mark.parametrize(('precision', 'tolerance'), [('float32', 1e-5), ('mixed_bfloat16', 0.02)])


@NETWORKS
@PRECISIONS
@PADDINGS
def test_padding_never_changes_a_result(network, precision, tolerance, skip_padding):
    compute = network(computing_in(precision, skip_padding))
    tokens, segments, masks = random_inputs()
    padding = [(0, 0), (0, PADDING)]
    found = np.asarray(compute(np.pad(tokens, padding), np.pad(segments, padding), masks))
    expected = np.asarray(compute(tokens, segments, masks))
    if network is reader:
        assert not found[:, tokens.shape[1] :].any()
        found = found[:, : tokens.shape[1]]
    np.testing.assert_allclose(found, expected, atol=tolerance)


@NETWORKS
@PRECISIONS
@PADDINGS
def test_the_order_of_a_batch_never_changes_a_result(network, precision, tolerance, skip_padding):
    compute = network(computing_in(precision, skip_padding))
    arrays = random_inputs()
    found = compute(*(array[::-1] for array in arrays))
    np.testing.assert_allclose(np.asarray(found)[::-1], compute(*arrays), atol=tolerance)


@NETWORKS
def test_the_compiler_does_not_change_a_result(network):
    compute = network(computing_in('float32'))
    plain, compiled = (tf.function(compute, jit_compile=is_compiled) for is_compiled in (False, True))
    arrays = [tf.constant(array) for array in random_inputs()]
    np.testing.assert_allclose(compiled(*arrays), plain(*arrays), atol=1e-5)


@PADDINGS
def test_a_row_of_padding_alone_stays_finite(skip_padding):
    compute = retriever(computing_in('mixed_bfloat16', skip_padding))
    empty = np.zeros((2, 6), np.int32)
    assert np.isfinite(compute(empty, empty, None)).all()


def test_bfloat16_embeddings_point_where_those_of_float32_do(pretrained_directory):
    """On real text, by the body of MiniLM and the mean of its hidden states."""
    documents = list(itertools.islice(factbook_documents(QuickstartConfig()), 0, 320, 10))
    vocabulary = Vocabulary.read(pretrained_directory / 'vocab.txt')
    pieces = WordPieceTokenizer(vocabulary).tokenize_to_ragged([document['text'] for document in documents])
    tokens = pack_queries(pieces, 128, vocabulary)
    pretrained = hugging_face.read(pretrained_directory, allow_pickle=False)
    embeddings = []
    for precision in ('float32', 'mixed_bfloat16'):
        tower = RetrieverTower(dataclasses.asdict(pretrained.encoder), pooling='mean', dtype=precision)
        tower.build()
        assign_parameters(tower.encoder, pretrained.body(BERT), source=pretrained.source)
        pooled = np.asarray(tower.pool(tokens, np.zeros_like(tokens)))
        embeddings.append(pooled / np.linalg.norm(pooled, axis=1, keepdims=True))
    cosines = np.sum(embeddings[0] * embeddings[1], axis=1)
    assert cosines.min() >= 0.999
