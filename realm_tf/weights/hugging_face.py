"""Hugging Face directories: BERT, and the five REALM classes of transformers 4.40."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pydantic
from etils import epath

from realm_tf.config import EncoderConfig
from realm_tf.errors import RealmError
from realm_tf.text.vocabulary import Vocabulary
from realm_tf.weights.hugging_face_names import (
    ACTIVATION,
    ACTIVATIONS,
    SETTINGS,
    Name,
    below,
    encoder_names,
    head_names,
    pooler_names,
    projection_names,
    span_names,
)
from realm_tf.weights.json_files import read_json
from realm_tf.weights.pretrained import (
    BERT,
    DOCUMENT_TOWER,
    KNOWLEDGE_AUGMENTED_ENCODER,
    QUERY_TOWER,
    READER,
    Pretrained,
)
from realm_tf.weights.pytorch_file import read_pytorch_tensors
from realm_tf.weights.refusal import refuse_names
from realm_tf.weights.tensor_files import read_tensors

CONFIG, VOCABULARY, TOKENIZER_CONFIG = 'config.json', 'vocab.txt', 'tokenizer_config.json'
SAFETENSORS, PYTORCH = 'model.safetensors', 'pytorch_model.bin'
BLOCK_EMBEDDINGS = 'block_emb'
# In a model of several shards, the file that says which array is in which.
_INDEX = '.index.json'
# What a configuration that is silent means.
_DEFAULTS = {
    'type_vocab_size': 2,
    'layer_norm_eps': 1e-12,
    'retriever_proj_size': 128,
    'span_hidden_size': 256,
    'reader_layer_norm_eps': 1e-3,
}
# What may be in a file and is not read: buffers, and what a class has and never uses. A decoder is the word embeddings.
_BUFFERS = r'(.*\.)?embeddings\.position_ids|(.*\.)?cls\.(predictions\.decoder|seq_relationship)\.(weight|bias)'
_IDLE = r'(.*\.)?(cls\.predictions\.(bias|transform\.(dense|LayerNorm)\.(weight|bias))|pooler\.dense\.(weight|bias))'
_UNUSED = {
    'bert': re.compile(rf'{_BUFFERS}|(classifier|qa_outputs)\..*'),
    'realm': re.compile(rf'{_BUFFERS}|{_IDLE}'),
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
    wanted = {theirs for names in layout.values() for name in names for theirs in name.theirs}
    refuse_names(str(path), 'lacks', wanted - arrays.keys())
    parts = {
        part: {name.ours: name.joined(_take(name, arrays, path)) for name in names} for part, names in layout.items()
    }
    _require_tied(parts, arrays, path)
    unused = _UNUSED[config['model_type']]
    refuse_names(str(path), 'has unexpected', [name for name in arrays.keys() - wanted if not unused.fullmatch(name)])
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
    return not file.exists() or bool(read_json(file, 'the settings of a tokenizer').get('do_lower_case', True))


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
            what = 'the index of a model in shards'
            shards = read_json(index, what).get('weight_map')
            if not isinstance(shards, dict) or not all(isinstance(file, str) for file in shards.values()):
                raise RealmError(f'{index} cannot be read as {what}: its weight_map names no files.')
            return [index, *(path / file for file in sorted(set(shards.values())))]
    return []


def _read_config(path: epath.Path) -> dict[str, Any]:
    config = _DEFAULTS | read_json(path / CONFIG, 'the configuration of a model')
    if config.get('model_type') not in _UNUSED:
        model_type, known = config.get('model_type'), ', '.join(_UNUSED)
        raise RealmError(f'{path / CONFIG} has model_type = {model_type!r}, where one of {known} is needed.')
    refuse_names(str(path / CONFIG), 'lacks', {*SETTINGS.values(), ACTIVATION} - config.keys())
    return config


def _encoder_config(path: epath.Path, config: Mapping[str, Any]) -> EncoderConfig:
    if config[ACTIVATION] not in ACTIVATIONS:
        raise RealmError(
            f'{path / CONFIG} has {ACTIVATION} = {config[ACTIVATION]!r}, where one of {", ".join(ACTIVATIONS)} '
            'is needed.'
        )
    try:
        sizes = {ours: config[theirs] for ours, theirs in SETTINGS.items()}
        return EncoderConfig(**sizes, activation=ACTIVATIONS[config[ACTIVATION]])
    except pydantic.ValidationError as error:
        problem = error.errors()[0]
        name = SETTINGS[problem['loc'][0]]
        raise RealmError(f'{path / CONFIG} has {name} = {config[name]!r}: {problem["msg"]}.') from error


def _bert_layout(arrays: Mapping[str, np.ndarray], config: Mapping, encoder: EncoderConfig) -> dict[str, list[Name]]:
    prefix = 'bert.' if any(name.startswith('bert.') for name in arrays) else ''
    names = below(encoder_names(encoder), 'encoder/', prefix)
    heads = ((f'{prefix}pooler.', prefix, pooler_names), ('cls.predictions.', 'cls.predictions.', head_names))
    for sign, below_there, names_of in heads:
        # Whole, or not at all.
        if any(name.startswith(sign) for name in arrays):
            names += below(names_of(encoder), '', below_there)
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
