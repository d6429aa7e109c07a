"""BERT from TensorFlow Hub: SavedModels of the “transformer encoder” interface, as the Model Garden writes them.

https://www.tensorflow.org/hub/common_saved_model_apis/text#transformer-encoders
"""

import re
import tarfile

from etils import epath

from realm_tf.errors import RealmError
from realm_tf.text.vocabulary import Vocabulary
from realm_tf.weights.pretrained import BERT, Pretrained
from realm_tf.weights.tensorflow_variables import (
    OBJECT_GRAPH,
    Checkpoint,
    Name,
    Variables,
    dense_names,
    encoder_config,
    is_object_based,
    layer_norm_names,
)

SAVED_MODEL, VOCABULARY = 'saved_model.pb', 'assets/vocab.txt'
LOWER_CASE = 'do_lower_case'
_VARIABLES = 'variables/variables'
_WORD_EMBEDDINGS = 'word_embeddings/embeddings'

_LAYER, _THEIR_LAYER = 'encoder/layer_{layer}', 'transformer/layer_{layer}'
_ATTENTION = f'{_THEIR_LAYER}/self_attention'
ENCODER = [
    Name('encoder/word_embeddings', _WORD_EMBEDDINGS, 'VH'),
    Name('encoder/position_embeddings', 'position_embedding/embeddings', 'PH'),
    Name('encoder/segment_embeddings', 'type_embeddings/embeddings', 'SH'),
    *layer_norm_names('encoder/embedding_layer_norm', 'embeddings/layer_norm', 'H'),
    *dense_names(f'{_LAYER}/query_key_value', _ATTENTION + '/{part}', 'H', 'AD'),
    Name(f'{_LAYER}/attention_output/kernel', f'{_ATTENTION}/attention_output/kernel', 'ADH'),
    Name(f'{_LAYER}/attention_output/bias', f'{_ATTENTION}/attention_output/bias', 'H'),
    *layer_norm_names(f'{_LAYER}/attention_layer_norm', f'{_THEIR_LAYER}/self_attention_layer_norm', 'H'),
    *dense_names(f'{_LAYER}/intermediate', f'{_THEIR_LAYER}/intermediate', 'H', 'I'),
    *dense_names(f'{_LAYER}/output', f'{_THEIR_LAYER}/output', 'I', 'H'),
    *layer_norm_names(f'{_LAYER}/output_layer_norm', f'{_THEIR_LAYER}/output_layer_norm', 'H'),
]
POOLER = dense_names('pooler', 'pooler_transform', 'H', 'H')
_HEAD = [
    *dense_names('head/transform', 'cls/predictions/transform/dense', 'H', 'H'),
    *layer_norm_names('head/layer_norm', 'cls/predictions/transform/LayerNorm', 'H'),
    Name('head/bias', 'cls/predictions/output_bias/bias', 'V'),
]
# What earlier releases of the Model Garden called them, and where the head lies.
_EARLIER = (
    (r'embedding_postprocessor/(position|type)_embeddings', r'\1_embeddings/embeddings'),
    ('position_embeddings/embeddings', 'position_embedding/embeddings'),
    ('embedding_postprocessor/layer_norm', 'embeddings/layer_norm'),
    (r'^encoder/layer_', 'transformer/layer_'),
    ('self_attention_output/', 'self_attention/attention_output/'),
    (r'^bert/cls/', 'cls/'),
)
# `do_lower_case` and counters have no other name; the rest is the next-sentence head's.
_UNUSED = r'Variable(_\d+)?|save_counter|predictions/transform/logits/.*|cls/seq_relationship/.*'


def is_handle(path: epath.PathLike) -> bool:
    """Whether this is a handle of TensorFlow Hub, and no path."""
    return str(path).startswith(('https://', 'http://'))


def located(path: epath.PathLike) -> epath.Path:
    """The directory of a handle, downloaded unless it is in the cache (`TFHUB_CACHE_DIR`); a path as it is.

    Raises:
      RealmError: if it cannot be downloaded.
    """
    if not is_handle(path):
        return epath.Path(path)
    import tensorflow_hub

    try:
        return epath.Path(tensorflow_hub.resolve(str(path)))
    except (OSError, ValueError, EOFError, tarfile.TarError) as error:
        raise RealmError(
            f'{path} could not be downloaded ({error}). Download the model where there is a network, unpack it, and '
            'name the directory with its saved_model.pb.'
        ) from error


def recognises(path: epath.PathLike) -> bool:
    """Whether there is a SavedModel of TensorFlow 2 at the path."""
    path = epath.Path(path)
    return (path / SAVED_MODEL).exists() and is_object_based(path / _VARIABLES)


def files(path: epath.PathLike) -> list[epath.Path]:
    """The files that `read` reads."""
    variables = sorted((epath.Path(path) / _VARIABLES).parent.iterdir())
    vocabulary = epath.Path(path) / VOCABULARY
    return variables + ([vocabulary] if vocabulary.exists() else [])


def read(path: epath.PathLike) -> Pretrained:
    """Reads the variables of a SavedModel by their names; its functions are not loaded.

    The names of all releases of the Model Garden are known, those with `bert_model/` too, and the masked-language-model
    head where there is one. How many heads the attention has follows from the shapes. GELU is tanh-approximate and the
    epsilon 1e-12, as in every BERT of the Model Garden: the files do not say.

    Args:
      path: the directory.

    Raises:
      RealmError: if it has no BERT of the interface, a variable is missing, unexpected or misshapen, a file is damaged,
        or the BERT is a cased one.
    """
    path = epath.Path(path)
    variables = _open(path)
    sizes: dict[str, int] = {}
    parts = [(POOLER, 'pooler_transform/'), (_HEAD, 'cls/predictions/')]
    there = [name for names, prefix in parts if variables.any_below(prefix) for name in names]
    parameters = variables.take(ENCODER + there, sizes)
    variables.refuse_rest(_UNUSED)
    vocabulary = path / VOCABULARY
    return Pretrained(
        source=str(path),
        encoder=encoder_config(sizes, sizes['A']),
        vocabulary=Vocabulary.read(vocabulary) if vocabulary.exists() else None,
        parts={BERT: parameters},
    )


def _open(path: epath.Path) -> Variables:
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    checkpoint = Checkpoint(path / _VARIABLES)
    graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(checkpoint.read(OBJECT_GRAPH))
    attributes = [attribute for node in graph.nodes for attribute in node.attributes]
    stored = {attribute.full_name: attribute.checkpoint_key for attribute in attributes}
    _require_lower_case(path, checkpoint)
    names = [attribute.full_name for attribute in attributes]
    word_embeddings = [name for name in names if f'/{name}'.endswith(f'/{_WORD_EMBEDDINGS}')]
    if len(word_embeddings) != 1:
        raise RealmError(
            f'{path} is a SavedModel with {len(word_embeddings)} variables {_WORD_EMBEDDINGS}, where a BERT of the '
            'transformer-encoder interface has one.'
        )
    network = word_embeddings[0].removesuffix(_WORD_EMBEDDINGS)
    keys = {_todays(name.removeprefix(network)): key for name, key in stored.items()}
    return Variables(str(path), checkpoint, keys)


def _todays(name: str) -> str:
    for earlier, today in _EARLIER:
        name = re.sub(earlier, today, name)
    return name


def _require_lower_case(path: epath.Path, checkpoint: Checkpoint) -> None:
    key = f'{LOWER_CASE}/.ATTRIBUTES/VARIABLE_VALUE'
    if key in checkpoint.shapes and not checkpoint.read(key):
        raise RealmError(f'{path} is a cased BERT. Texts are lower-cased here: take an uncased one.')
