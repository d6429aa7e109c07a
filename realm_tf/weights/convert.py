"""Weights of an artefact, written for other libraries."""

from collections.abc import Callable

from etils import epath

from realm_tf.artifacts import open_artifact
from realm_tf.corpus.block_store import BlockStore
from realm_tf.errors import RealmError
from realm_tf.search.embeddings import Embeddings
from realm_tf.weights import artifact_source, hugging_face_directories, tf_hub_saved_models

# What writes each format: from the weights, their configuration, and a model's embeddings and corpus where given, to a
# directory; it returns what it wrote.
_WRITERS: dict[str, Callable[..., list[epath.Path]]] = {
    'hugging-face': hugging_face_directories.write,
    'tf-hub': tf_hub_saved_models.write,
}


def convert(
    source: epath.PathLike,
    output: epath.PathLike,
    format: str,
    *,
    corpus_path: epath.PathLike | None = None,
    embeddings_path: epath.PathLike | None = None,
) -> list[epath.Path]:
    """Writes the weights of an encoder or model artefact in another format.

    Args:
      source: the artefact.
      output: a new or empty directory.
      format: `hugging-face` or `tf-hub`.
      corpus_path: a model's corpus.
      embeddings_path: a model's embeddings of it.

    Returns:
      The directories written, below `output`.

    Raises:
      RealmError: if the format cannot express what the artefact is, corpus or embeddings are not those of the model, or
        the directory is not empty.
    """
    output = epath.Path(output)
    if output.exists() and any(output.iterdir()):
        raise RealmError(f'{output} is not empty: name a new directory.')
    if not artifact_source.recognises(source):
        raise RealmError(f'{source} is nothing that realm made: give weights from elsewhere to realm import first.')
    pretrained = artifact_source.read(source)
    artifact = open_artifact(source)
    corpus = embeddings = None
    if corpus_path is not None:
        corpus = BlockStore.open(corpus_path)
        artifact.require_input('corpus', corpus.artifact)
    if embeddings_path is not None:
        embeddings = Embeddings.open(embeddings_path)
        artifact.require_input('embeddings', embeddings.artifact)
    return _WRITERS[format](
        pretrained, output, artifact_source.read_config(source), embeddings=embeddings, corpus=corpus
    )
