"""The authors' TensorFlow 1 checkpoints, and those of BERT: variables by name, no graph.

Layouts that are read:
* the pre-trained directory: `embedder/` and `bert/`, two TF-Hub modules of TensorFlow 1, with the block embeddings in
  `embedder/encoded/encoded.ckpt`;
* one of the two alone;
* the fine-tuned model: `export/best_default/checkpoint/model.ckpt-*`;
* BERT as it was released: `bert_model.ckpt`, `bert_config.json`, `vocab.txt`.
"""

import dataclasses
import math
import re

import numpy as np
from etils import epath

from realm_tf.config import EncoderConfig
from realm_tf.errors import RealmError
from realm_tf.files import is_remote, length_of
from realm_tf.text.vocabulary import Vocabulary
from realm_tf.weights.json_files import read_json
from realm_tf.weights.pretrained import (
    BERT,
    DOCUMENT_TOWER,
    KNOWLEDGE_AUGMENTED_ENCODER,
    QUERY_TOWER,
    READER,
    Pretrained,
)
from realm_tf.weights.refusal import refuse_names
from realm_tf.weights.tensorflow_variables import (
    INDEX,
    Checkpoint,
    Name,
    Variables,
    dense_names,
    encoder_config,
    is_object_based,
    layer_norm_names,
)

BLOCK_EMBEDDINGS = 'block_emb'
# Every BERT of Google has heads of this size; the checkpoints do not say how many there are.
HEAD_SIZE = 64

_EMBEDDER, _BERT = 'embedder', 'bert'
# The checkpoint of a TF-Hub module, and its folder; the folders of the fine-tuned one below what people may name.
_VARIABLES = 'variables'
_FINE_TUNED = ('checkpoint', 'best_default/checkpoint', 'export/best_default/checkpoint')
_FILE_ENDING = re.compile(r'\.(index|data-\d{5}-of-\d{5})$')
_BERT_CONFIG = 'bert_config.json'
# What it calls the sizes that the variables have too.
_CONFIG_NAMES = {
    'num_layers': 'num_hidden_layers',
    'hidden_size': 'hidden_size',
    'intermediate_size': 'intermediate_size',
    'vocabulary_size': 'vocab_size',
    'max_positions': 'max_position_embeddings',
    'num_segments': 'type_vocab_size',
}
_HEADS, _ACTIVATION = 'num_attention_heads', 'hidden_act'
# Of the LayerNorms that are not BERT's; no file says them.
_EPSILONS = {'retriever.projection_layer_norm_epsilon': 1e-12, 'finetune.reader_layer_norm_epsilon': 1e-3}

_LAYER, _THEIR_LAYER = 'encoder/layer_{layer}', 'bert/encoder/layer_{layer}'
_ENCODER = [
    Name('encoder/word_embeddings', 'bert/embeddings/word_embeddings', 'VH'),
    Name('encoder/position_embeddings', 'bert/embeddings/position_embeddings', 'PH'),
    Name('encoder/segment_embeddings', 'bert/embeddings/token_type_embeddings', 'SH'),
    *layer_norm_names('encoder/embedding_layer_norm', 'bert/embeddings/LayerNorm', 'H'),
    *dense_names(f'{_LAYER}/query_key_value', _THEIR_LAYER + '/attention/self/{part}', 'H', 'H'),
    *dense_names(f'{_LAYER}/attention_output', f'{_THEIR_LAYER}/attention/output/dense', 'H', 'H'),
    *layer_norm_names(f'{_LAYER}/attention_layer_norm', f'{_THEIR_LAYER}/attention/output/LayerNorm', 'H'),
    *dense_names(f'{_LAYER}/intermediate', f'{_THEIR_LAYER}/intermediate/dense', 'H', 'I'),
    *dense_names(f'{_LAYER}/output', f'{_THEIR_LAYER}/output/dense', 'I', 'H'),
    *layer_norm_names(f'{_LAYER}/output_layer_norm', f'{_THEIR_LAYER}/output/LayerNorm', 'H'),
]
_POOLER = dense_names('pooler', 'bert/pooler/dense', 'H', 'H')
_HEAD = [
    *dense_names('head/transform', 'cls/predictions/transform/dense', 'H', 'H'),
    *layer_norm_names('head/layer_norm', 'cls/predictions/transform/LayerNorm', 'H'),
    Name('head/bias', 'cls/predictions/output_bias', 'V'),
]
# E is the size of an embedding.
_PROJECTION = [
    *dense_names('projection', 'dense', 'H', 'E'),
    *layer_norm_names('projection_layer_norm', 'LayerNorm', 'E'),
]
# T is twice R, the size of a span's representation.
_SPANS = [
    *dense_names('ends', 'dense', 'H', 'T'),
    *layer_norm_names('layer_norm', 'layer_normalization', 'R'),
    *dense_names('score', 'dense_1', 'R', '1'),
]
# Of the optimizer and of heads that REALM does not train, or that a network has no use for.
_UNUSED = (
    r'.*/adam_[mv]|global_step|(reader/)?('
    r'cls/seq_relationship/output_(weights|bias)'
    r'|cls/predictions/(output_bias|transform/(dense/(kernel|bias)|LayerNorm/(gamma|beta)))'
    r'|bert/pooler/dense/(kernel|bias))'
)


def recognises(path: epath.PathLike) -> bool:
    """Whether there is a TensorFlow 1 checkpoint at the path, in one of the layouts above."""
    path = epath.Path(path)
    return _is_pretraining(path) or any(not is_object_based(prefix) for prefix in _find_checkpoints(path)[:1])


def files(path: epath.PathLike) -> list[epath.Path]:
    """The files that `read` reads."""
    path = epath.Path(path)
    if _is_pretraining(path):
        return [file for module in (_EMBEDDER, _BERT) for file in files(path / module)]
    prefix = _find_checkpoints(path)[0]
    beside = [prefix.parent / _BERT_CONFIG, _vocabulary_of(prefix)]
    return [
        *(file for each in (prefix, *_encoded_beside(prefix)) for file in _files_of(each)),
        *(file for file in beside if file is not None and file.exists()),
    ]


def read(path: epath.PathLike) -> Pretrained:
    """Reads a TensorFlow 1 checkpoint.

    The embedder gives both towers, the same arrays twice. `bert/` beside it gives the knowledge-augmented encoder;
    alone it is a BERT with its heads, like any other. The fine-tuned model gives the query tower and the reader:
    documents kept the embeddings that the embedder had given them. `adam_m`, `adam_v`, `global_step`, the next-sentence
    head, and what a network has no use for, are left out.

    Args:
      path: a directory in one of the layouts above, or a checkpoint, by its prefix or one of its files. Of several
        checkpoints in a directory the newest is read, and a line says which one that is.

    Returns:
      The weights. Block embeddings are memory-mapped where they lie in a local file of their own, as the authors' do.

    Raises:
      RealmError: if there is no such checkpoint, a file is damaged, or a variable is missing, unexpected, or of a shape
        that does not fit the others.
    """
    path = epath.Path(path)
    if _is_pretraining(path):
        return _read_pretraining(path)
    found = _find_checkpoints(path)
    if not found:
        raise RealmError(
            f'There is no TensorFlow 1 checkpoint at {path}: neither {path}{INDEX} nor a file *{INDEX} in that '
            f'directory, in {_VARIABLES}/ or in {_FINE_TUNED[-1]}/.'
        )
    if len(found) > 1:
        print(f'{found[0].parent} holds {len(found)} checkpoints: {found[0].name} is read, the newest.')
    return _read_checkpoint(found[0])


def _is_pretraining(path: epath.Path) -> bool:
    return any((path / module / _VARIABLES).is_dir() for module in (_EMBEDDER, _BERT))


def _read_pretraining(path: epath.Path) -> Pretrained:
    for module, other in ((_EMBEDDER, _BERT), (_BERT, _EMBEDDER)):
        if not (path / module / _VARIABLES).is_dir():
            raise RealmError(
                f'{path} lacks {module}/{_VARIABLES}/, which a pre-trained REALM has beside {other}/. '
                f'Copy it there, or name {path / other} to read that alone.'
            )
    embedder, reader = (_read_checkpoint(path / module / _VARIABLES / _VARIABLES) for module in (_EMBEDDER, _BERT))
    if embedder.encoder != reader.encoder:
        raise RealmError(f'{embedder.source} is of {embedder.encoder}, {reader.source} of another, {reader.encoder}.')
    body = {name: value for name, value in reader.parts[BERT].items() if not name.startswith('pooler/')}
    if 'head/bias' not in body:
        raise RealmError(f'{reader.source} lacks cls/predictions, the masked-language-model head.')
    parts = {**embedder.parts, KNOWLEDGE_AUGMENTED_ENCODER: body}
    return dataclasses.replace(embedder, source=str(path), parts=parts)


def _read_checkpoint(prefix: epath.Path) -> Pretrained:
    variables = _open(prefix)
    sizes: dict[str, int] = {}
    parts: dict[str, dict[str, np.ndarray]] = {}
    if variables.any_below('dense/'):
        parts[QUERY_TOWER] = variables.take(_ENCODER + _POOLER + _PROJECTION, sizes)
        if not variables.any_below('reader/'):
            parts[DOCUMENT_TOWER] = parts[QUERY_TOWER]
    elif variables.any_below('bert/'):
        heads = [(_POOLER, 'bert/pooler/'), (_HEAD, 'cls/predictions/')]
        there = [name for names, prefix_there in heads if variables.any_below(prefix_there) for name in names]
        parts[BERT] = variables.take(_ENCODER + there, sizes)
    if variables.any_below('reader/'):
        parts[READER] = variables.take([name.below('', 'reader/') for name in _ENCODER + _SPANS], sizes)
    if not parts:
        raise RealmError(
            f'{prefix} holds {", ".join(sorted(variables.shapes)[:3]) or "nothing"}, and no BERT. Block embeddings are '
            'read together with the embedder that made them: name its directory.'
        )
    variables.refuse_rest(_UNUSED)
    vocabulary = _vocabulary_of(prefix)
    return Pretrained(
        source=str(prefix),
        encoder=_encoder_of(prefix, sizes),
        vocabulary=vocabulary and Vocabulary.read(vocabulary),
        parts=parts,
        block_embeddings=_block_embeddings_of(prefix, sizes) if DOCUMENT_TOWER in parts else None,
        settings=_EPSILONS if QUERY_TOWER in parts or READER in parts else {},
    )


def _open(prefix: epath.Path) -> Variables:
    """The variables by their names after the `module/`s: each use of a TF-Hub module puts one more before them."""
    checkpoint = Checkpoint(prefix)
    stored: dict[str, str] = {}
    for name in sorted(checkpoint.shapes):
        short = re.sub(r'^(reader/)?(module/)+', r'\1', name)
        if short in stored:
            raise RealmError(f'{prefix} holds both {stored[short]} and {name}: which of them is meant cannot be told.')
        stored[short] = name
    return Variables(str(prefix), checkpoint, stored)


def _encoder_of(prefix: epath.Path, sizes: dict[str, int]) -> EncoderConfig:
    file = prefix.parent / _BERT_CONFIG
    if not file.exists():
        if sizes['H'] % HEAD_SIZE:
            raise RealmError(
                f'How many heads {prefix} has cannot be told: its hidden size of {sizes["H"]} is no multiple of '
                f'{HEAD_SIZE}. Put its {_BERT_CONFIG} beside it.'
            )
        return encoder_config(sizes, sizes['H'] // HEAD_SIZE)
    described = read_json(file, 'the configuration of a BERT')
    refuse_names(str(file), 'lacks', {*_CONFIG_NAMES.values(), _HEADS, _ACTIVATION} - described.keys())
    heads, activation = described[_HEADS], described[_ACTIVATION]
    if not isinstance(heads, int) or heads < 1 or sizes['H'] % heads:
        raise RealmError(f'{file} has {_HEADS} = {heads!r}, which does not divide the hidden size of {sizes["H"]}.')
    config = encoder_config(sizes, heads)
    differing = [name for name in _CONFIG_NAMES if described[_CONFIG_NAMES[name]] != getattr(config, name)]
    if differing:
        ours, theirs = differing[0], _CONFIG_NAMES[differing[0]]
        raise RealmError(f'{file} has {theirs} = {described[theirs]}; {prefix} beside it has {getattr(config, ours)}.')
    if activation != 'gelu':
        raise RealmError(f'{file} has {_ACTIVATION} = {activation!r}, where gelu is needed.')
    return config


def _vocabulary_of(prefix: epath.Path) -> epath.Path | None:
    folders = (prefix.parent, prefix.parent / 'assets', prefix.parent.parent / 'assets')
    return next((folder / 'vocab.txt' for folder in folders if (folder / 'vocab.txt').exists()), None)


def _block_embeddings_of(prefix: epath.Path, sizes: dict[str, int]) -> np.ndarray | None:
    for encoded in _encoded_beside(prefix):
        checkpoint = Checkpoint(encoded)
        variables = Variables(str(encoded), checkpoint, {name: name for name in checkpoint.shapes})
        shape = variables.shape_of(BLOCK_EMBEDDINGS, 'BE', sizes)
        data = [file for file in _files_of(encoded) if file.name != encoded.name + INDEX]
        # TensorFlow reads the whole of a variable also for a slice of it. Alone in its file, it can be mapped.
        if len(data) == 1 and not is_remote(encoded) and length_of(data[0]) == math.prod(shape) * 4:
            return np.memmap(data[0], '<f4', mode='r', shape=shape)
        return variables.read(BLOCK_EMBEDDINGS)
    return None


def _encoded_beside(prefix: epath.Path) -> list[epath.Path]:
    """The checkpoint of block embeddings that belongs to an embedder; none for another checkpoint."""
    is_of_module = prefix.parts[-2:] == (_VARIABLES, _VARIABLES)
    return _checkpoints_in(prefix.parent.parent / 'encoded')[:1] if is_of_module else []


def _files_of(prefix: epath.Path) -> list[epath.Path]:
    return sorted(
        file
        for file in prefix.parent.iterdir()
        if _FILE_ENDING.search(file.name) and _FILE_ENDING.sub('', file.name) == prefix.name
    )


def _find_checkpoints(path: epath.Path) -> list[epath.Path]:
    """The checkpoints that a path may mean, newest first."""
    prefix = path.parent / _FILE_ENDING.sub('', path.name)
    if prefix in _checkpoints_in(path.parent):
        return [prefix]
    below = ('', _VARIABLES, *_FINE_TUNED)
    return next(filter(None, (_checkpoints_in(path / folders) for folders in below)), [])


def _checkpoints_in(directory: epath.Path) -> list[epath.Path]:
    """The checkpoints in a directory: first the one that its file `checkpoint` names, then by falling step."""
    if not directory.is_dir():
        return []
    names = {_FILE_ENDING.sub('', file.name) for file in directory.iterdir() if _FILE_ENDING.search(file.name)}
    state = directory / 'checkpoint'
    # The path in it may be of the machine that wrote it.
    last = re.search(r'^model_checkpoint_path: "(?:.*/)?(.+)"', state.read_text(), re.M) if state.is_file() else None
    named = last and last[1]
    return [directory / name for name in sorted(names, key=lambda name: (name != named, -_step(name), name))]


def _step(name: str) -> int:
    number = re.search(r'-(\d+)$', name)
    return int(number[1]) if number else -1
