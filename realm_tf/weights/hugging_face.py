"""BERT from a Hugging Face directory."""

import json
import re

import numpy as np
from etils import epath

from realm_tf.artifacts import file_checksum
from realm_tf.config import EncoderConfig
from realm_tf.errors import RealmError
from realm_tf.weights.parameters import read_tensors

WEIGHTS = 'model.safetensors'
_ACTIVATIONS = {'gelu': 'gelu', 'gelu_new': 'gelu_tanh', 'gelu_pytorch_tanh': 'gelu_tanh'}

# Our names below a `BertEncoder`, by theirs; a {} is the layer's number. Kernels lie transposed there.
_NAMES = {
    'embeddings.word_embeddings.weight': 'word_embeddings',
    'embeddings.position_embeddings.weight': 'position_embeddings',
    'embeddings.token_type_embeddings.weight': 'segment_embeddings',
    'embeddings.LayerNorm.weight': 'embedding_layer_norm/gamma',
    'embeddings.LayerNorm.bias': 'embedding_layer_norm/beta',
}
_LAYER_NAMES = {
    'attention.output.dense.weight': 'attention_output/kernel',
    'attention.output.dense.bias': 'attention_output/bias',
    'attention.output.LayerNorm.weight': 'attention_layer_norm/gamma',
    'attention.output.LayerNorm.bias': 'attention_layer_norm/beta',
    'intermediate.dense.weight': 'intermediate/kernel',
    'intermediate.dense.bias': 'intermediate/bias',
    'output.dense.weight': 'output/kernel',
    'output.dense.bias': 'output/bias',
    'output.LayerNorm.weight': 'output_layer_norm/gamma',
    'output.LayerNorm.bias': 'output_layer_norm/beta',
}
# Heads and buffers that the encoder has no use for.
_IGNORED = re.compile(r'(cls\.|pooler\.|.*position_ids$|classifier\.|qa_outputs\.)')


def file_checksums(path: epath.PathLike, *, pretrained: bool) -> dict[str, str]:
    """Checksums of the files of the directory that an import reads, by name.

    Raises:
      RealmError: if one is missing.
    """
    path = epath.Path(path)
    names = ('vocab.txt', 'config.json', WEIGHTS) if pretrained else ('vocab.txt',)
    for name in names:
        if not (path / name).exists():
            raise RealmError(f'There is no {path / name}: a Hugging Face BERT directory holds {", ".join(names)}.')
    return {name: file_checksum(path / name) for name in names}


def read_encoder_config(path: epath.PathLike) -> EncoderConfig:
    """The encoder that a Hugging Face `config.json` describes.

    Raises:
      RealmError: if it describes no BERT.
    """
    path = epath.Path(path) / 'config.json'
    try:
        config = json.loads(path.read_text())
        if config['model_type'] != 'bert':
            raise RealmError(f'{path} describes a {config["model_type"]} model, where a BERT is needed.')
        return EncoderConfig(
            num_layers=config['num_hidden_layers'],
            hidden_size=config['hidden_size'],
            num_heads=config['num_attention_heads'],
            intermediate_size=config['intermediate_size'],
            vocabulary_size=config['vocab_size'],
            max_positions=config['max_position_embeddings'],
            num_segments=config['type_vocab_size'],
            activation=_ACTIVATIONS[config['hidden_act']],
            layer_norm_epsilon=config['layer_norm_eps'],
        )
    except (json.JSONDecodeError, KeyError) as error:
        raise RealmError(f'{path} cannot be read as the configuration of a BERT ({error!r}).') from error


def read_encoder_parameters(path: epath.PathLike, num_layers: int) -> dict[str, np.ndarray]:
    """The parameters of the BERT in a Hugging Face directory, by their names below a `BertEncoder`.

    Args:
      path: the directory.
      num_layers: how many layers it has.

    Raises:
      RealmError: if the file is missing, truncated, or holds no such BERT.
    """
    file = epath.Path(path) / WEIGHTS
    theirs = {
        name.removeprefix('bert.'): tensor
        for name, tensor in read_tensors(file).items()
        if not _IGNORED.match(name.removeprefix('bert.'))
    }

    def take(name: str) -> np.ndarray:
        if name not in theirs:
            raise RealmError(f'{file} lacks {name}.')
        tensor = theirs.pop(name)
        is_kernel = tensor.ndim == 2 and not name.startswith('embeddings.')
        return tensor.T if is_kernel else tensor

    ours = {new: take(old) for old, new in _NAMES.items()}
    for layer in range(num_layers):
        prefix = f'encoder.layer.{layer}.'
        for kind, ending in (('kernel', 'weight'), ('bias', 'bias')):
            parts = [take(f'{prefix}attention.self.{part}.{ending}') for part in ('query', 'key', 'value')]
            ours[f'layer_{layer}/query_key_value/{kind}'] = np.concatenate(parts, axis=-1)
        for old, new in _LAYER_NAMES.items():
            ours[f'layer_{layer}/{new}'] = take(prefix + old)
    if theirs:
        raise RealmError(f'{file} has unexpected {", ".join(sorted(theirs)[:5])}.')
    return ours
