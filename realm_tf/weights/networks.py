"""The networks that a configuration describes, built and freshly initialised."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import keras

from realm_tf.config import Config
from realm_tf.models.dual_encoder import DualEncoder
from realm_tf.models.knowledge_augmented_encoder import KnowledgeAugmentedEncoder
from realm_tf.models.span_reader import SpanReader
from realm_tf.weights.parameters import assign_parameters, named_parameters

Network = TypeVar('Network', bound=keras.layers.Layer)


def make_retriever(config: Config) -> DualEncoder:
    """The dual encoder."""
    tower = {
        'encoder': _encoder_arguments(config),
        'projection_size': config.retriever.projection_size,
        'pooling': config.retriever.pooling,
        'projection_layer_norm_epsilon': config.retriever.projection_layer_norm_epsilon,
    }
    return _made(DualEncoder, config, 'retriever', tower, shared_towers=config.retriever.shared_towers)


def make_knowledge_augmented_encoder(config: Config) -> KnowledgeAugmentedEncoder:
    """The knowledge-augmented encoder of pre-training."""
    return _made(KnowledgeAugmentedEncoder, config, 'knowledge_augmented_encoder', _encoder_arguments(config))


def make_reader(config: Config) -> SpanReader:
    """The span reader of fine-tuning."""
    return _made(
        SpanReader,
        config,
        'reader',
        _encoder_arguments(config),
        max_answer_length=config.finetune.max_answer_length,
        span_size=config.finetune.reader_hidden_size,
        layer_norm_epsilon=config.finetune.reader_layer_norm_epsilon,
    )


def for_inference(network: Network) -> Network:
    """A network that computes the same, forward, where shapes may depend on the batch, as they may on a processor.

    Its weights are in the precision that it computes in: in mixed precision that saves half the memory, and the cast
    of every weight in every call. It skips padding: a text costs what its own length costs. It is the network itself
    where both are so, and a copy where not.
    """
    arguments = network.get_config()
    lean = _skipping_padding(arguments)
    if lean == arguments and network.compute_dtype == network.variable_dtype:
        return network
    copy = type(network).from_config(lean | {'dtype': network.compute_dtype})
    copy.build()
    assign_parameters(copy, named_parameters(network), source=network.name)
    return copy


def _skipping_padding(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The constructor arguments of a network, or of the tower in it, with an encoder that skips padding."""
    if 'tower' in arguments:
        return {**arguments, 'tower': _skipping_padding(arguments['tower'])}
    return {**arguments, 'encoder': arguments['encoder'] | {'skip_padding': True}}


def _encoder_arguments(config: Config) -> dict[str, Any]:
    return dataclasses.asdict(config.encoder) | {
        'rematerialize': config.rematerialize,
        'skip_padding': config.skip_padding,
    }


def _made(network: Callable[..., Network], config: Config, name: str, *arguments, **keywords) -> Network:
    # Before the layers are constructed: those of dropout draw their seeds then.
    keras.utils.set_random_seed(config.seed)
    made = network(*arguments, **keywords, dtype=config.precision, name=name)
    made.build()
    return made
