"""The networks that a configuration describes, built and freshly initialised."""

import dataclasses

import keras

from realm_tf.config import Config
from realm_tf.models.dual_encoder import DualEncoder
from realm_tf.models.knowledge_augmented_encoder import KnowledgeAugmentedEncoder
from realm_tf.models.span_reader import SpanReader


def make_retriever(config: Config) -> DualEncoder:
    """The dual encoder."""
    tower = {
        'encoder': dataclasses.asdict(config.encoder),
        'projection_size': config.retriever.projection_size,
        'pooling': config.retriever.pooling,
        'projection_layer_norm_epsilon': config.retriever.projection_layer_norm_epsilon,
    }
    return _built(
        DualEncoder(tower, shared_towers=config.retriever.shared_towers, dtype=config.precision, name='retriever'),
        config,
    )


def make_knowledge_augmented_encoder(config: Config) -> KnowledgeAugmentedEncoder:
    """The knowledge-augmented encoder of pre-training."""
    encoder = dataclasses.asdict(config.encoder)
    return _built(
        KnowledgeAugmentedEncoder(encoder, dtype=config.precision, name='knowledge_augmented_encoder'), config
    )


def make_reader(config: Config) -> SpanReader:
    """The span reader of fine-tuning."""
    return _built(
        SpanReader(
            dataclasses.asdict(config.encoder),
            max_answer_length=config.finetune.max_answer_length,
            span_size=config.finetune.reader_hidden_size,
            layer_norm_epsilon=config.finetune.reader_layer_norm_epsilon,
            dtype=config.precision,
            name='reader',
        ),
        config,
    )


def _built(layer: keras.layers.Layer, config: Config) -> keras.layers.Layer:
    keras.utils.set_random_seed(config.seed)
    layer.build()
    return layer
