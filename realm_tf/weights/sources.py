"""What weights can be read from: one place that knows the formats, and tells which a path has."""

import dataclasses
import hashlib
from collections.abc import Callable, Sequence

from etils import epath

from realm_tf.artifacts import file_checksum
from realm_tf.errors import RealmError
from realm_tf.weights import artifact_source, hugging_face, tf1_checkpoint, tf_hub
from realm_tf.weights.pretrained import Pretrained


@dataclasses.dataclass(frozen=True)
class Format:
    """A format of weights.

    Attributes:
      what: what it is, for people.
      recognises: whether a path has it.
      digest: identifies what `read` reads of a path: equal only for equal content.
      read: reads a path; the second argument says whether pickles may be opened.
    """

    what: str
    recognises: Callable[[epath.PathLike], bool]
    digest: Callable[[epath.PathLike], str]
    read: Callable[[epath.PathLike, bool], Pretrained]


def digest_of_files(paths: Sequence[epath.Path]) -> str:
    """Identifies files by their names and contents."""
    checksums = [f'{path.name} {file_checksum(path)}\n' for path in paths]
    return hashlib.sha256(''.join(checksums).encode()).hexdigest()


def _read_hugging_face(path: epath.PathLike, allow_pickle: bool) -> Pretrained:
    if not hugging_face.lower_cases(path):
        raise RealmError(f'{path} is a cased BERT. Texts are lower-cased here: take an uncased one.')
    return hugging_face.read(path, allow_pickle=allow_pickle)


_FORMATS = (
    Format(
        'an encoder or a model that realm made',
        artifact_source.recognises,
        artifact_source.digest,
        lambda path, allow_pickle: artifact_source.read(path),
    ),
    Format(
        'a Hugging Face directory of a BERT or a REALM: config.json, model.safetensors or pytorch_model.bin, vocab.txt',
        hugging_face.recognises,
        lambda path: digest_of_files(hugging_face.files(path)),
        _read_hugging_face,
    ),
    Format(
        'a BERT of TensorFlow Hub, by its handle or as a directory: saved_model.pb, variables, assets/vocab.txt',
        tf_hub.recognises,
        lambda path: digest_of_files(tf_hub.files(path)),
        lambda path, allow_pickle: tf_hub.read(path),
    ),
    Format(
        "a TensorFlow 1 checkpoint: the authors' directory with embedder and bert, either of these, their fine-tuned "
        'model.ckpt, or a bert_model.ckpt',
        tf1_checkpoint.recognises,
        lambda path: digest_of_files(tf1_checkpoint.files(path)),
        lambda path, allow_pickle: tf1_checkpoint.read(path),
    ),
)


def format_of(path: epath.PathLike) -> Format:
    """Tells what a path is.

    Raises:
      RealmError: if it is nothing that weights can be read from.
    """
    for format in _FORMATS:
        if format.recognises(path):
            return format
    if not epath.Path(path).exists():
        raise RealmError(f'There is nothing at {path}. These can be read:{_known()}')
    weights = [name for name in (hugging_face.SAFETENSORS, hugging_face.PYTORCH) if (epath.Path(path) / name).exists()]
    if weights:
        raise RealmError(f'{path} has {weights[0]} and no {hugging_face.CONFIG}, which says what model it is of.')
    raise RealmError(f'{path} is nothing that weights can be imported from. These can be read:{_known()}')


def _known() -> str:
    return ''.join(f'\n  * {format.what}' for format in _FORMATS)


def read_source(path: epath.PathLike, *, allow_pickle: bool = False) -> Pretrained:
    """Reads weights from whatever it is.

    Args:
      path: a path, or a handle of TensorFlow Hub.
      allow_pickle: whether pickles, which can run code, may be opened.

    Raises:
      RealmError: if it is not recognised, or cannot be read.
    """
    directory = tf_hub.located(path)
    pretrained = format_of(directory).read(directory, allow_pickle)
    # That of a handle lies in a cache, under a name that says nothing.
    return dataclasses.replace(pretrained, source=str(path)) if tf_hub.is_handle(path) else pretrained


def source_digest(path: epath.PathLike) -> str:
    """Identifies the content of a source."""
    path = tf_hub.located(path)
    return format_of(path).digest(path)
