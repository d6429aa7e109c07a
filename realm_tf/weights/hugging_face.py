"""Hugging Face directories: BERT, and the five REALM classes of transformers 4.40."""

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from etils import epath

from realm_tf.config import EncoderConfig
from realm_tf.errors import RealmError
from realm_tf.text.vocabulary import Vocabulary
from realm_tf.weights.hugging_face_names import (
    Name,
    below,
    encoder_names,
    head_names,
    pooler_names,
    projection_names,
    span_names,
)
from realm_tf.weights.pretrained import (
    BERT,
    DOCUMENT_TOWER,
    KNOWLEDGE_AUGMENTED_ENCODER,
    QUERY_TOWER,
    READER,
    Pretrained,
)
from realm_tf.weights.pytorch_file import read_pytorch_tensors
from realm_tf.weights.tensor_files import read_tensors

CONFIG, VOCABULARY, TOKENIZER_CONFIG = 'config.json', 'vocab.txt', 'tokenizer_config.json'
SAFETENSORS, PYTORCH = 'model.safetensors', 'pytorch_model.bin'
BLOCK_EMBEDDINGS = 'block_emb'
# In a model of several shards, the file that says which array is in which.
_INDEX = '.index.json'
ACTIVATIONS = {'gelu': 'gelu', 'gelu_new': 'gelu_tanh', 'gelu_pytorch_tanh': 'gelu_tanh'}
# What a configuration that is silent means.
_DEFAULTS = {
    'type_vocab_size': 2,
    'layer_norm_eps': 1e-12,
    'retriever_proj_size': 128,
    'span_hidden_size': 256,
    'reader_layer_norm_eps': 1e-3,
}
# What may be in a file and is not read: buffers, and what a class has and never uses.
_UNUSED = {
    'bert': re.compile(r'.*position_ids|cls\.(predictions|seq_relationship)\..*|(classifier|qa_outputs)\..*'),
    'realm': re.compile(r'.*position_ids|(.*\.)?(cls\.(predictions|seq_relationship)|pooler)\..*'),
}


def recognises(path: epath.PathLike) -> bool:
    """Whether this is a Hugging Face directory."""
    return (epath.Path(path) / CONFIG).exists()


def files(path: epath.PathLike) -> list[epath.Path]:
    """The files of the directory that `read` reads."""
    path = epath.Path(path)
    first = [file for name in (CONFIG, VOCABULARY, TOKENIZER_CONFIG) if (file := path / name).exists()]
    return first + _weight_files(path)


def read(path: epath.PathLike, *, allow_pickle: bool) -> Pretrained:
    """Reads a BERT, a `RealmEmbedder`, `RealmScorer`, `RealmKnowledgeAugEncoder`, `RealmReader` or `RealmForOpenQA`.

    Which it is, its arrays tell. A `RealmScorer` without arrays of a `query_embedder` has one tower for both. Heads
    that have nothing to do with REALM, and what the REALM classes have and never use, are left.

    Args:
      path: the directory: `config.json`, `model.safetensors` or `pytorch_model.bin` (or their shards), `vocab.txt`.
      allow_pickle: whether `pytorch_model.bin`, a pickle, may be opened.

    Raises:
      RealmError: if a file is missing or damaged, the configuration is of another model, or an array is missing,
        unexpected or misshapen.
    """
    path = epath.Path(path)
    config = _read_config(path)
    encoder = _encoder_config(path, config)
    arrays = read_arrays(path, allow_pickle=allow_pickle)
    layout = (_bert_layout if config['model_type'] == 'bert' else _realm_layout)(arrays, config, encoder)
    block_embeddings = arrays.pop(BLOCK_EMBEDDINGS, None) if READER in layout else None
    parts = {
        part: {name.ours: name.joined(_take(name, arrays, path)) for name in names} for part, names in layout.items()
    }
    _require_tied(parts, arrays, path)
    taken = {theirs for names in layout.values() for name in names for theirs in name.theirs}
    unexpected = [name for name in arrays if name not in taken and not _UNUSED[config['model_type']].fullmatch(name)]
    if unexpected:
        raise RealmError(f'{path} has unexpected {", ".join(sorted(unexpected)[:5])}.')
    if QUERY_TOWER in parts:
        # One tower for both, unless it has its own.
        parts.setdefault(DOCUMENT_TOWER, parts[QUERY_TOWER])
    settings = {}
    if QUERY_TOWER in parts:
        settings['retriever.projection_layer_norm_epsilon'] = encoder.layer_norm_epsilon
    if READER in parts:
        settings['finetune.reader_layer_norm_epsilon'] = config['reader_layer_norm_eps']
    has_vocabulary = (path / VOCABULARY).exists()
    return Pretrained(
        source=str(path),
        encoder=encoder,
        vocabulary=Vocabulary.read(path / VOCABULARY) if has_vocabulary else None,
        parts=parts,
        block_embeddings=block_embeddings,
        settings=settings,
    )


def lower_cases(path: epath.PathLike) -> bool:
    """Whether texts are lower-cased before they are tokenised: unless `tokenizer_config.json` says that they are not.

    Raises:
      RealmError: if that file cannot be read.
    """
    file = epath.Path(path) / TOKENIZER_CONFIG
    if not file.exists():
        return True
    try:
        return bool(json.loads(file.read_text()).get('do_lower_case', True))
    except (json.JSONDecodeError, AttributeError) as error:
        raise RealmError(f'{file} is not JSON ({error}).') from error


def read_arrays(path: epath.PathLike, *, allow_pickle: bool) -> dict[str, np.ndarray]:
    """The arrays of a directory by the names they have there; `gamma` and `beta` of old files by today's.

    Raises:
      RealmError: if there are none, a file is damaged, or it is a pickle and these are not allowed.
    """
    arrays = {}
    for file in _weight_files(epath.Path(path)):
        if file.name.endswith('.safetensors'):
            arrays |= read_tensors(file)
        elif not file.name.endswith(_INDEX):
            arrays |= read_pytorch_tensors(file, allow_pickle=allow_pickle)
    if not arrays:
        raise RealmError(f'There are no weights in {path}: it has neither {SAFETENSORS} nor {PYTORCH}.')
    return {re.sub('gamma$', 'weight', re.sub('beta$', 'bias', name)): array for name, array in arrays.items()}


def _weight_files(path: epath.Path) -> list[epath.Path]:
    for name in (SAFETENSORS, PYTORCH):
        if (path / name).exists():
            return [path / name]
        index = path / (name + _INDEX)
        if index.exists():
            try:
                return [
                    index,
                    *(path / file for file in sorted({*json.loads(index.read_text())['weight_map'].values()})),
                ]
            except (json.JSONDecodeError, KeyError, AttributeError) as error:
                raise RealmError(f'{index} cannot be read as the index of a model in shards ({error!r}).') from error
    return []


def _read_config(path: epath.Path) -> dict[str, Any]:
    try:
        config = _DEFAULTS | json.loads((path / CONFIG).read_text())
        model_type = config['model_type']
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise RealmError(f'{path / CONFIG} cannot be read as the configuration of a model ({error!r}).') from error
    if model_type not in _UNUSED:
        raise RealmError(f'{path / CONFIG} describes a {model_type} model, where a BERT or a REALM is needed.')
    return config


def _encoder_config(path: epath.Path, config: Mapping[str, Any]) -> EncoderConfig:
    try:
        if config['hidden_act'] not in ACTIVATIONS:
            raise RealmError(
                f'{path / CONFIG} has hidden_act = {config["hidden_act"]!r}, where one of {", ".join(ACTIVATIONS)} '
                'is needed.'
            )
        return EncoderConfig(
            num_layers=config['num_hidden_layers'],
            hidden_size=config['hidden_size'],
            num_heads=config['num_attention_heads'],
            intermediate_size=config['intermediate_size'],
            vocabulary_size=config['vocab_size'],
            max_positions=config['max_position_embeddings'],
            num_segments=config['type_vocab_size'],
            activation=ACTIVATIONS[config['hidden_act']],
            layer_norm_epsilon=config['layer_norm_eps'],
        )
    except (KeyError, ValueError) as error:
        raise RealmError(f'{path / CONFIG} cannot be read as the configuration of a BERT ({error!r}).') from error


def _bert_layout(arrays: Mapping[str, np.ndarray], config: Mapping, encoder: EncoderConfig) -> dict[str, list[Name]]:
    prefix = 'bert.' if any(name.startswith('bert.') for name in arrays) else ''
    names = below(encoder_names(encoder), 'encoder/', prefix)
    if f'{prefix}pooler.dense.weight' in arrays:
        names += below(pooler_names(encoder), '', prefix)
    if 'cls.predictions.transform.dense.weight' in arrays:
        names += below(head_names(encoder), '', 'cls.predictions.')
    return {BERT: names}


def _realm_layout(arrays: Mapping[str, np.ndarray], config: Mapping, encoder: EncoderConfig) -> dict[str, list[Name]]:
    def has(prefix: str) -> bool:
        return any(name.startswith(prefix) for name in arrays)

    def tower(prefix: str) -> list[Name]:
        return tower_names(encoder, config['retriever_proj_size'], prefix)

    def reader(prefix: str) -> list[Name]:
        return reader_names(encoder, config['span_hidden_size'], prefix)

    if has('reader.') or BLOCK_EMBEDDINGS in arrays:
        return {QUERY_TOWER: tower('embedder.'), READER: reader('reader.')}
    if has('query_embedder.'):
        return {QUERY_TOWER: tower('query_embedder.'), DOCUMENT_TOWER: tower('embedder.')}
    if has('embedder.'):
        return {QUERY_TOWER: tower('embedder.')}
    if has('qa_outputs.'):
        return {READER: reader('')}
    if has('cls.dense.'):
        return {QUERY_TOWER: tower('')}
    return {KNOWLEDGE_AUGMENTED_ENCODER: knowledge_augmented_encoder_names(encoder)}


def tower_names(encoder: EncoderConfig, projection_size: int, prefix: str = '') -> list[Name]:
    """A `RealmEmbedder` below a prefix, as our tower."""
    return [
        *below(encoder_names(encoder), 'encoder/', f'{prefix}realm.'),
        *below(pooler_names(encoder), '', f'{prefix}realm.'),
        *below(projection_names(encoder, projection_size), '', f'{prefix}cls.'),
    ]


def knowledge_augmented_encoder_names(encoder: EncoderConfig) -> list[Name]:
    """A `RealmKnowledgeAugEncoder`, as ours."""
    return [
        *below(encoder_names(encoder), 'encoder/', 'realm.'),
        *below(head_names(encoder), '', 'cls.predictions.'),
    ]


def reader_names(encoder: EncoderConfig, span_size: int, prefix: str = '') -> list[Name]:
    """A `RealmReader` below a prefix, as ours."""
    return [
        *below(encoder_names(encoder), 'encoder/', f'{prefix}realm.'),
        *below(span_names(encoder, span_size), '', f'{prefix}qa_outputs.'),
    ]


def _take(name: Name, arrays: Mapping[str, np.ndarray], path: epath.Path) -> list[np.ndarray]:
    missing = [theirs for theirs in name.theirs if theirs not in arrays]
    if missing:
        raise RealmError(f'{path} lacks {", ".join(missing)}.')
    for theirs in name.theirs:
        if arrays[theirs].shape != name.shape:
            raise RealmError(
                f'In {path}, {theirs} has the shape {arrays[theirs].shape}; by its {CONFIG} it is {name.shape}.'
            )
    return [arrays[theirs] for theirs in name.theirs]


def _require_tied(parts: Mapping, arrays: Mapping[str, np.ndarray], path: epath.Path) -> None:
    """Our masked-language-model head predicts with the word embeddings."""
    decoder = arrays.get('cls.predictions.decoder.weight')
    for part in parts.values():
        if decoder is not None and 'head/bias' in part and not np.array_equal(decoder, part['encoder/word_embeddings']):
            raise RealmError(
                f'In {path}, cls.predictions.decoder.weight is not the word embeddings, with which REALM predicts.'
            )
