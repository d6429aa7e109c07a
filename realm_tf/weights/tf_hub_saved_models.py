"""SavedModels of TensorFlow Hub's “transformer encoder” interface, written."""

import dataclasses
import pathlib
import tempfile
from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf
from etils import epath

from realm_tf.config import Config
from realm_tf.corpus.block_store import BlockStore
from realm_tf.errors import RealmError
from realm_tf.models.retriever_tower import RetrieverTower
from realm_tf.search.embeddings import Embeddings
from realm_tf.text.vocabulary import Vocabulary
from realm_tf.weights.parameters import named_parameters
from realm_tf.weights.pretrained import DOCUMENT_TOWER, QUERY_TOWER, Pretrained
from realm_tf.weights.tensorflow_variables import of_all_layers
from realm_tf.weights.tf_hub import ENCODER, LOWER_CASE, POOLER

_INPUTS = ('input_word_ids', 'input_mask', 'input_type_ids')
_IDS = tf.TensorSpec([None, None], tf.int32)


def write(
    pretrained: Pretrained,
    output: epath.Path,
    config: Config,
    *,
    embeddings: Embeddings | None = None,
    corpus: BlockStore | None = None,
) -> list[epath.Path]:
    """Writes the BERTs of the retriever's towers as SavedModels that `hub.load` and `hub.KerasLayer` open.

    Shared towers are one SavedModel, `tower`; separate ones are two, `query_tower` and `document_tower`. It is called
    with a dictionary of `input_word_ids`, `input_mask` and `input_type_ids`, int32 `[batch, length]`, and returns one:
    `pooled_output` and `default`, the same float32 `[batch, hidden_size]`; `sequence_output`, float32
    `[batch, length, hidden_size]`; `encoder_outputs`, a list of one such for each layer. The signature
    `serving_default` has all but the list. `pooled_output` is what the tower projects: the tanh-pooled [CLS], or the
    mean over the wordpieces.

    A position whose mask is 0, or whose wordpiece is [PAD], is padding: nothing attends to it, and what comes out at it
    means nothing. There is no dropout, not even in training.

    The variables have the Model Garden's names and shapes; the vocabulary is an asset, `vocab_file`.

    Args:
      pretrained: the weights.
      output: the directory, below which these are written.
      config: the settings they were made with.
      embeddings: none: the interface has no place for them.
      corpus: none, likewise.

    Returns:
      The directories written.

    Raises:
      RealmError: if embeddings or a corpus are given.
    """
    if embeddings is not None or corpus is not None:
        raise RealmError('A SavedModel of TensorFlow Hub has no place for a corpus and its embeddings: leave them out.')
    if config.retriever.shared_towers:
        towers = {'tower': QUERY_TOWER}
    else:
        towers = {part: part for part in (QUERY_TOWER, DOCUMENT_TOWER)}
    for name, part in towers.items():
        _write_tower(output / name, pretrained.parts[part], config, pretrained.vocabulary)
    return [output / name for name in towers]


def _write_tower(
    path: epath.Path, parameters: Mapping[str, np.ndarray], config: Config, vocabulary: Vocabulary
) -> None:
    encoder = config.encoder
    tower = RetrieverTower(dataclasses.asdict(encoder), pooling=config.retriever.pooling, dtype='float32')
    tower.build()
    sizes = {
        'V': encoder.vocabulary_size,
        'P': encoder.max_positions,
        'S': encoder.num_segments,
        'H': encoder.hidden_size,
        'I': encoder.intermediate_size,
        'A': encoder.num_heads,
        'D': encoder.hidden_size // encoder.num_heads,
    }
    names = of_all_layers(ENCODER + (POOLER if tower.pooling == 'cls' else []), encoder.num_layers)
    variables = {
        theirs: tf.Variable(value, name=theirs)
        for name in names
        for theirs, value in name.split(parameters[name.ours], sizes).items()
    }
    ours = named_parameters(tower)

    def encode(word_ids, mask, type_ids):
        # The tower knows padding by its id alone.
        token_ids = tf.where(mask == 0, 0, word_ids)
        values = [
            tf.concat([tf.reshape(variables[theirs], name.shape_here(sizes)) for theirs in name.variables], axis=-1)
            for name in names
        ]
        with keras.StatelessScope(zip([ours[name.ours] for name in names], values, strict=True)):
            outputs = tower.encoder.layer_outputs(token_ids, type_ids)
            pooled = tower.pool_hidden(outputs[-1], token_ids)
        return {'pooled_output': pooled, 'default': pooled, 'sequence_output': outputs[-1]}, outputs

    @tf.function(input_signature=[dict.fromkeys(_INPUTS, _IDS)])
    def call(inputs):
        found, outputs = encode(*(inputs[name] for name in _INPUTS))
        return {**found, 'encoder_outputs': outputs}

    @tf.function(input_signature=[tf.TensorSpec(_IDS.shape, _IDS.dtype, name) for name in _INPUTS])
    def serve(input_word_ids, input_mask, input_type_ids):
        return encode(input_word_ids, input_mask, input_type_ids)[0]

    # What TensorFlow Hub asks of a reusable SavedModel. The raw variables are tracked, not the Keras layer: with it,
    # TensorFlow Serving's loader would not open the SavedModel.
    model = tf.train.Checkpoint()
    model.variables = model.trainable_variables = list(variables.values())
    model.regularization_losses = []
    model.__call__ = call
    setattr(model, LOWER_CASE, tf.Variable(True, trainable=False))
    with tempfile.TemporaryDirectory() as directory:
        vocabulary_file = pathlib.Path(directory) / 'vocab.txt'
        vocabulary.write(vocabulary_file)
        model.vocab_file = tf.saved_model.Asset(str(vocabulary_file))
        tf.saved_model.save(model, str(path), signatures={'serving_default': serve})
