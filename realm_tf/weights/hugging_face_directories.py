"""Hugging Face directories of the REALM classes of transformers 4.40, written."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from realm_tf.config import Config
from realm_tf.corpus.block_store import BlockStore
from realm_tf.errors import RealmError
from realm_tf.files import open_binary
from realm_tf.search.embeddings import Embeddings
from realm_tf.weights.hugging_face import (
    BLOCK_EMBEDDINGS,
    CONFIG,
    SAFETENSORS,
    TOKENIZER_CONFIG,
    VOCABULARY,
    knowledge_augmented_encoder_names,
    reader_names,
    tower_names,
)
from realm_tf.weights.hugging_face_names import (
    ACTIVATION,
    ACTIVATIONS,
    SETTINGS,
    Name,
    below,
    head_names,
    pooler_names,
    to_theirs,
)
from realm_tf.weights.pretrained import (
    DOCUMENT_TOWER,
    KNOWLEDGE_AUGMENTED_ENCODER,
    QUERY_TOWER,
    READER,
    Pretrained,
)
from realm_tf.weights.tensor_files import write_tensors

BLOCK_RECORDS = 'block_records.npy'


def write(
    pretrained: Pretrained,
    output: epath.Path,
    config: Config,
    *,
    embeddings: Embeddings | None = None,
    corpus: BlockStore | None = None,
) -> list[epath.Path]:
    """Writes weights as directories that transformers 4.40 loads, with no array missing and none unexpected.

    `embedder` is a `RealmEmbedder`; with separate towers, `scorer` is a `RealmScorer`, whose `from_pretrained` has to
    be given a `query_embedder`. `encoder` is a `RealmKnowledgeAugEncoder`, `reader` a `RealmReader`. With embeddings,
    `openqa` is a `RealmForOpenQA`, and with a corpus it has the `block_records.npy` that `RealmRetriever` reads: the
    texts of the blocks, without titles.

    The classes have arrays that their forward pass never uses: the masked-language-model head of an embedder and of a
    reader, the pooler of a knowledge-augmented encoder and of a reader. They are zeros.

    Args:
      pretrained: the weights.
      output: the directory, below which these are written.
      config: the settings they were made with.
      embeddings: a model's embeddings.
      corpus: a model's corpus.

    Returns:
      The directories written.

    Raises:
      RealmError: if the classes cannot express the networks, or a corpus is given that nothing has a place for.
    """
    if corpus is not None and (embeddings is None or READER not in pretrained.parts):
        raise RealmError('The texts of a corpus go into openqa, which needs a model and its --embeddings as well.')
    _require_expressible(pretrained, config)
    encoder = pretrained.encoder
    tower = tower_names(encoder, config.retriever.projection_size)
    directories = {}
    if config.retriever.shared_towers:
        directories['embedder'] = ('RealmEmbedder', _embedder(pretrained, QUERY_TOWER, tower))
    else:
        towers = {
            **_prefixed('query_embedder.', _embedder(pretrained, QUERY_TOWER, tower)),
            **_prefixed('embedder.', _embedder(pretrained, DOCUMENT_TOWER, tower)),
        }
        directories['scorer'] = ('RealmScorer', towers)
    if KNOWLEDGE_AUGMENTED_ENCODER in pretrained.parts:
        names = knowledge_augmented_encoder_names(encoder)
        arrays = to_theirs(names, pretrained.parts[KNOWLEDGE_AUGMENTED_ENCODER])
        unused = _zeros(below(pooler_names(encoder), '', 'realm.'))
        directories['encoder'] = ('RealmKnowledgeAugEncoder', arrays | unused)
    if READER in pretrained.parts:
        reader = _reader(pretrained, reader_names(encoder, config.finetune.reader_hidden_size))
        directories['reader'] = ('RealmReader', reader)
        if embeddings is not None:
            arrays = {
                BLOCK_EMBEDDINGS: _Rows(embeddings),
                **_prefixed('embedder.', _embedder(pretrained, QUERY_TOWER, tower)),
                **_prefixed('reader.', reader),
            }
            directories['openqa'] = ('RealmForOpenQA', arrays)
    for name, (architecture, arrays) in directories.items():
        path = output / name
        path.mkdir(parents=True)
        write_tensors(arrays, path / SAFETENSORS)
        settings = _config(config, architecture, num_block_records=0 if embeddings is None else len(embeddings))
        (path / CONFIG).write_text(json.dumps(settings, indent=2) + '\n')
        pretrained.vocabulary.write(path / VOCABULARY)
        tokenizer = {
            'tokenizer_class': 'RealmTokenizer',
            'do_lower_case': True,
            'model_max_length': encoder.max_positions,
        }
        (path / TOKENIZER_CONFIG).write_text(json.dumps(tokenizer, indent=2) + '\n')
    if 'openqa' in directories and corpus is not None:
        records = np.array([text.encode() for text in corpus.texts(np.arange(len(corpus)))], dtype=object)
        with open_binary(output / 'openqa' / BLOCK_RECORDS, 'wb') as file:
            np.save(file, records)
    return [output / name for name in directories]


def _require_expressible(pretrained: Pretrained, config: Config) -> None:
    if config.retriever.pooling != 'cls':
        raise RealmError(
            f"{pretrained.source} embeds by the mean of the wordpieces (retriever.pooling = 'mean'). "
            "transformers' REALM classes embed by [CLS], and cannot express it."
        )
    ours, theirs = config.retriever.projection_layer_norm_epsilon, config.encoder.layer_norm_epsilon
    if ours != theirs:
        raise RealmError(
            "transformers' REALM classes have one epsilon for the LayerNorms of encoder and projection; "
            f'{pretrained.source} has encoder.layer_norm_epsilon = {theirs} and '
            f'retriever.projection_layer_norm_epsilon = {ours}.'
        )


def _embedder(pretrained: Pretrained, part: str, names: Sequence[Name]) -> dict[str, np.ndarray]:
    return to_theirs(names, pretrained.parts[part]) | _unused_head(pretrained)


def _reader(pretrained: Pretrained, names: Sequence[Name]) -> dict[str, np.ndarray]:
    unused = _zeros(below(pooler_names(pretrained.encoder), '', 'realm.')) | _unused_head(pretrained)
    return to_theirs(names, pretrained.parts[READER]) | unused


def _unused_head(pretrained: Pretrained) -> dict[str, np.ndarray]:
    encoder = pretrained.encoder
    decoder = np.broadcast_to(np.float32(0), (encoder.vocabulary_size, encoder.hidden_size))
    return _zeros(below(head_names(encoder), '', 'cls.predictions.')) | {'cls.predictions.decoder.weight': decoder}


def _zeros(names: Sequence[Name]) -> dict[str, np.ndarray]:
    return {theirs: np.zeros(name.shape, np.float32) for name in names for theirs in name.theirs}


def _prefixed(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {prefix + name: array for name, array in arrays.items()}


def _config(config: Config, architecture: str, num_block_records: int) -> dict[str, Any]:
    encoder, finetune = config.encoder, config.finetune
    return {
        'architectures': [architecture],
        'model_type': 'realm',
        **{theirs: getattr(encoder, ours) for ours, theirs in SETTINGS.items()},
        ACTIVATION: next(theirs for theirs, ours in ACTIVATIONS.items() if ours == encoder.activation),
        'hidden_dropout_prob': encoder.dropout,
        'attention_probs_dropout_prob': encoder.dropout,
        'initializer_range': encoder.initializer_range,
        'pad_token_id': 0,
        'retriever_proj_size': config.retriever.projection_size,
        'num_candidates': config.pretrain.num_candidates,
        'span_hidden_size': finetune.reader_hidden_size,
        'max_span_width': finetune.max_answer_length,
        'reader_layer_norm_eps': finetune.reader_layer_norm_epsilon,
        'reader_beam_size': finetune.reader_blocks,
        'reader_seq_len': finetune.reader_length,
        'searcher_beam_size': finetune.num_candidates,
        'num_block_records': num_block_records,
        'torch_dtype': 'float32',
    }


class _Rows:
    """Embeddings as an array that is sliced by rows."""

    dtype = np.dtype(np.float32)

    def __init__(self, embeddings: Embeddings):
        self._embeddings = embeddings
        self.shape = (len(embeddings), embeddings.dimension)

    def __len__(self) -> int:
        return len(self._embeddings)

    def __getitem__(self, rows: slice) -> np.ndarray:
        return self._embeddings.rows(np.arange(*rows.indices(len(self))))
