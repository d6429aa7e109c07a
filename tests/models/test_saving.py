"""Every network as a Keras model: its configuration, and a `.keras` file of it."""

import keras
import numpy as np
import pytest

from realm_tf.models.bert_encoder import BertEncoder
from realm_tf.models.dual_encoder import DualEncoder
from realm_tf.models.knowledge_augmented_encoder import KnowledgeAugmentedEncoder
from realm_tf.models.masked_language_model_head import MaskedLanguageModelHead
from realm_tf.models.retriever_tower import RetrieverTower
from realm_tf.models.span_reader import SpanReader
from realm_tf.models.transformer_layer import TransformerLayer

ENCODER = {
    'num_layers': 2,
    'hidden_size': 16,
    'num_heads': 2,
    'intermediate_size': 32,
    'vocabulary_size': 50,
    'max_positions': 24,
}
TOWER = {'encoder': ENCODER, 'projection_size': 8}
TOKENS = np.array([[2, 7, 9, 3, 8, 8, 3, 0], [2, 5, 3, 6, 3, 0, 0, 0]], np.int32)
SEGMENTS = np.array([[0, 0, 0, 0, 1, 1, 1, 0], [0, 0, 0, 1, 1, 0, 0, 0]], np.int32)
MASKS = np.array([[1, 2], [1, 0]], np.int32)
HIDDEN = np.random.default_rng(0).standard_normal((16, 16)).astype(np.float32)
NETWORKS = [
    (TransformerLayer(16, 2, 32, rematerialize=True), [HIDDEN, np.zeros((2, 1, 1, 8), np.float32)]),
    (BertEncoder(**ENCODER), [TOKENS, SEGMENTS]),
    (RetrieverTower(**TOWER), [TOKENS, SEGMENTS]),
    (RetrieverTower(**TOWER, pooling='mean'), [TOKENS, SEGMENTS]),
    (DualEncoder(TOWER), [TOKENS, TOKENS, SEGMENTS]),
    (DualEncoder(TOWER, shared_towers=False), [TOKENS, TOKENS, SEGMENTS]),
    (MaskedLanguageModelHead(16, 50), [HIDDEN, np.ones((50, 16), np.float32)]),
    (KnowledgeAugmentedEncoder(ENCODER), [TOKENS, SEGMENTS, MASKS]),
    (SpanReader(ENCODER, max_answer_length=3, span_size=4), [TOKENS, SEGMENTS]),
]


@pytest.mark.parametrize(('network', 'arrays'), NETWORKS, ids=lambda value: getattr(value, 'name', ''))
def test_a_model_survives_a_file(network, arrays, tmp_path):
    inputs = [keras.Input(batch_shape=(None, *array.shape[1:]), dtype=array.dtype.name) for array in arrays]
    model = keras.Model(inputs, network(*inputs))
    generator = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign(generator.standard_normal(variable.shape))
    model.save(tmp_path / 'x.keras')
    again = keras.saving.load_model(tmp_path / 'x.keras')
    expected, found = (keras.tree.flatten(of_model(arrays)) for of_model in (model, again))
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(('network', 'arrays'), NETWORKS, ids=lambda value: getattr(value, 'name', ''))
def test_a_configuration_makes_the_same_layer(network, arrays):
    again = type(network).from_config(network.get_config())
    assert again.get_config() == network.get_config()
    again(*arrays)
    network(*arrays)
    assert [v.shape for v in again.trainable_variables] == [v.shape for v in network.trainable_variables]
