"""Our own encoder and model artefacts, read as weights from elsewhere are."""

import numpy as np
from etils import epath

from realm_tf.artifacts import MANIFEST, open_artifact
from realm_tf.config import Config, config_from_dict
from realm_tf.errors import RealmError
from realm_tf.text.vocabulary import Vocabulary
from realm_tf.weights.pretrained import DOCUMENT_TOWER, KNOWLEDGE_AUGMENTED_ENCODER, QUERY_TOWER, READER, Pretrained
from realm_tf.weights.tensor_files import read_tensors

ENCODER, MODEL = 'encoder', 'model'


def recognises(path: epath.PathLike) -> bool:
    """Whether this is an artefact."""
    return (epath.Path(path) / MANIFEST).exists()


def digest(path: epath.PathLike) -> str:
    """Identifies its content."""
    return open_artifact(path).digest


def read_config(path: epath.PathLike) -> Config:
    """The settings that an encoder or model artefact was made with."""
    artifact = open_artifact(path)
    return config_from_dict(artifact.configuration, source=str(artifact.path))


def read(path: epath.PathLike) -> Pretrained:
    """Reads an encoder or model artefact.

    Raises:
      RealmError: if it is neither, or is damaged.
    """
    # Here, because they bring Keras, which telling what a path is does without.
    from realm_tf.weights.encoder_artifact import KNOWLEDGE_AUGMENTED_ENCODER as ENCODER_FILE
    from realm_tf.weights.encoder_artifact import RETRIEVER, VOCABULARY
    from realm_tf.weights.model_artifact import READER as READER_FILE

    artifact = open_artifact(path)
    if artifact.kind not in (ENCODER, MODEL):
        raise RealmError(f'{path} is a {artifact.kind}, which has no weights of networks: name an encoder or a model.')
    config = read_config(path)
    retriever = read_tensors(artifact.path / RETRIEVER)
    parts = {
        QUERY_TOWER: _below(retriever, 'tower/') or _below(retriever, 'query_tower/'),
        DOCUMENT_TOWER: _below(retriever, 'tower/') or _below(retriever, 'document_tower/'),
    }
    settings = {'retriever.projection_layer_norm_epsilon': config.retriever.projection_layer_norm_epsilon}
    if artifact.kind == MODEL:
        parts[READER] = read_tensors(artifact.path / READER_FILE)
        settings['finetune.reader_layer_norm_epsilon'] = config.finetune.reader_layer_norm_epsilon
    # A generation of the index refresh has none.
    elif ENCODER_FILE in artifact.files:
        parts[KNOWLEDGE_AUGMENTED_ENCODER] = read_tensors(artifact.path / ENCODER_FILE)
    return Pretrained(
        source=str(path),
        encoder=config.encoder,
        vocabulary=Vocabulary.read(artifact.path / VOCABULARY),
        parts=parts,
        settings=settings,
    )


def _below(tensors: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
