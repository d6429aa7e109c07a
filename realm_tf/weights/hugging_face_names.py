"""Hugging Face's names of our parameters, and of the settings of the encoder, in one table for both directions.

Its kernels lie transposed, and its attention has query, key and value in three arrays, where ours has one.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from realm_tf.config import EncoderConfig

# What `config.json` calls our settings of the encoder.
SETTINGS = {
    'num_layers': 'num_hidden_layers',
    'hidden_size': 'hidden_size',
    'num_heads': 'num_attention_heads',
    'intermediate_size': 'intermediate_size',
    'vocabulary_size': 'vocab_size',
    'max_positions': 'max_position_embeddings',
    'num_segments': 'type_vocab_size',
    'layer_norm_epsilon': 'layer_norm_eps',
}
# The activation is another there too: our values by theirs.
ACTIVATION = 'hidden_act'
ACTIVATIONS = {'gelu': 'gelu', 'gelu_new': 'gelu_tanh', 'gelu_pytorch_tanh': 'gelu_tanh'}


class Name(NamedTuple):
    """A parameter of ours.

    Attributes:
      ours: its name, below a network.
      theirs: the arrays that it is made of, one after the other along its last dimension.
      shape: the shape of each of them, as they lie there.
      transposed: whether they lie transposed there.
    """

    ours: str
    theirs: tuple[str, ...]
    shape: tuple[int, ...]
    transposed: bool = False

    def joined(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """Our array, float32, from theirs."""
        turned = [array.T if self.transposed else array for array in arrays]
        whole = turned[0] if len(turned) == 1 else np.concatenate(turned, axis=-1)
        return np.asarray(whole, np.float32)

    def split(self, array: np.ndarray) -> dict[str, np.ndarray]:
        """Their arrays by name, from ours."""
        parts = np.split(np.asarray(array), len(self.theirs), axis=-1)
        return {theirs: part.T if self.transposed else part for theirs, part in zip(self.theirs, parts, strict=True)}

    def below(self, ours: str, theirs: str) -> 'Name':
        """The same below another network: with prefixes before the names."""
        return self._replace(ours=ours + self.ours, theirs=tuple(theirs + name for name in self.theirs))


def encoder_names(config: EncoderConfig) -> list[Name]:
    """A BERT without its heads: ours below a `BertEncoder`, theirs below a `BertModel`."""
    hidden, inner = config.hidden_size, config.intermediate_size
    names = [
        Name('word_embeddings', ('embeddings.word_embeddings.weight',), (config.vocabulary_size, hidden)),
        Name('position_embeddings', ('embeddings.position_embeddings.weight',), (config.max_positions, hidden)),
        Name('segment_embeddings', ('embeddings.token_type_embeddings.weight',), (config.num_segments, hidden)),
        *_layer_norm('embedding_layer_norm', 'embeddings.LayerNorm', hidden),
    ]
    attention = tuple(f'attention.self.{part}' for part in ('query', 'key', 'value'))
    layer = [
        *_dense('query_key_value', attention, hidden, hidden),
        *_dense('attention_output', ('attention.output.dense',), hidden, hidden),
        *_layer_norm('attention_layer_norm', 'attention.output.LayerNorm', hidden),
        *_dense('intermediate', ('intermediate.dense',), hidden, inner),
        *_dense('output', ('output.dense',), inner, hidden),
        *_layer_norm('output_layer_norm', 'output.LayerNorm', hidden),
    ]
    return names + [
        name.below(f'layer_{index}/', f'encoder.layer.{index}.') for index in range(config.num_layers) for name in layer
    ]


def pooler_names(config: EncoderConfig) -> list[Name]:
    """The dense layer on [CLS]: ours below a tower, theirs below a `BertModel`."""
    return _dense('pooler', ('pooler.dense',), config.hidden_size, config.hidden_size)


def head_names(config: EncoderConfig) -> list[Name]:
    """The masked-language-model head: ours below a network, theirs below `cls.predictions`."""
    return [
        *_dense('head/transform', ('transform.dense',), config.hidden_size, config.hidden_size),
        *_layer_norm('head/layer_norm', 'transform.LayerNorm', config.hidden_size),
        Name('head/bias', ('bias',), (config.vocabulary_size,)),
    ]


def projection_names(config: EncoderConfig, projection_size: int) -> list[Name]:
    """The projection and its LayerNorm: ours below a tower, theirs below the `cls` of a `RealmEmbedder`."""
    return [
        *_dense('projection', ('dense',), config.hidden_size, projection_size),
        *_layer_norm('projection_layer_norm', 'LayerNorm', projection_size),
    ]


def span_names(config: EncoderConfig, span_size: int) -> list[Name]:
    """What scores spans: ours below a reader, theirs below the `qa_outputs` of a `RealmReader`."""
    return [
        *_dense('ends', ('dense_intermediate',), config.hidden_size, 2 * span_size),
        *_dense('score', ('dense_output',), span_size, 1),
        *_layer_norm('layer_norm', 'layer_normalization', span_size),
    ]


def below(names: Sequence[Name], ours: str, theirs: str) -> list[Name]:
    """Names with prefixes before them."""
    return [name.below(ours, theirs) for name in names]


def to_theirs(names: Sequence[Name], parameters: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Their arrays by name, from ours."""
    return {theirs: part for name in names for theirs, part in name.split(parameters[name.ours]).items()}


def _dense(ours: str, theirs: tuple[str, ...], inputs: int, outputs: int) -> list[Name]:
    return [
        Name(f'{ours}/kernel', tuple(f'{name}.weight' for name in theirs), (outputs, inputs), transposed=True),
        Name(f'{ours}/bias', tuple(f'{name}.bias' for name in theirs), (outputs,)),
    ]


def _layer_norm(ours: str, theirs: str, size: int) -> list[Name]:
    return [
        Name(f'{ours}/gamma', (f'{theirs}.weight',), (size,)),
        Name(f'{ours}/beta', (f'{theirs}.bias',), (size,)),
    ]
