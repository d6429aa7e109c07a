"""The encoder artefact: what the retriever and the knowledge-augmented encoder have learnt so far.

Its files are the parameters of both networks, the vocabulary, and a SavedModel of the retriever that any process can
load without this library (Beam workers and the index refresh do).
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from etils import epath

from realm_tf.artifacts import Artifact, make_artifact, open_artifact
from realm_tf.config import Config, config_from_dict
from realm_tf.errors import RealmError
from realm_tf.models.dual_encoder import DualEncoder
from realm_tf.models.knowledge_augmented_encoder import KnowledgeAugmentedEncoder
from realm_tf.text.vocabulary import Vocabulary
from realm_tf.weights.fit import OF_KNOWLEDGE_AUGMENTED_ENCODER, OF_RETRIEVER, require_fit, settings_named
from realm_tf.weights.networks import make_knowledge_augmented_encoder, make_retriever
from realm_tf.weights.parameters import load_parameters, save_parameters

KIND = 'encoder'
VOCABULARY = 'vocab.txt'
SAVED_MODEL = 'saved_model'
RETRIEVER = 'retriever.safetensors'
KNOWLEDGE_AUGMENTED_ENCODER = 'knowledge_augmented_encoder.safetensors'


@dataclasses.dataclass(frozen=True)
class Encoder:
    """An opened encoder artefact.

    Attributes:
      artifact: the artefact.
      config: the settings it was made with; what it does not depend on has the defaults.
      vocabulary: the wordpieces it knows.
    """

    artifact: Artifact
    config: Config
    vocabulary: Vocabulary

    @classmethod
    def open(cls, path: epath.PathLike) -> 'Encoder':
        """Opens the artefact; networks are made when asked for.

        Raises:
          RealmError: if there is none, or it is damaged.
        """
        artifact = open_artifact(path, KIND)
        config = config_from_dict(artifact.configuration, source=str(artifact.path))
        return cls(artifact, config, Vocabulary.read(artifact.path / VOCABULARY))

    def require_knowledge_augmented_encoder(self) -> None:
        """Raises a `RealmError` if it has a retriever only, as those of the generations of an index have."""
        if KNOWLEDGE_AUGMENTED_ENCODER not in self.artifact.files:
            raise RealmError(
                f'{self.artifact.path} has a retriever only: name an encoder that has {KNOWLEDGE_AUGMENTED_ENCODER}.'
            )

    def retriever(self, config: Config | None = None) -> DualEncoder:
        """The dual encoder with these parameters; `config` may give another precision or dropout.

        Raises:
          RealmError: if by `config` it would compute something else.
        """
        config = config or self.config
        require_fit(settings_named(self.config, OF_RETRIEVER), config, self.artifact.path)
        retriever = make_retriever(config)
        load_parameters(retriever, self.artifact.path / RETRIEVER)
        return retriever

    def knowledge_augmented_encoder(self, config: Config | None = None) -> KnowledgeAugmentedEncoder:
        """The knowledge-augmented encoder with these parameters; `config` as in `retriever`."""
        config = config or self.config
        require_fit(settings_named(self.config, OF_KNOWLEDGE_AUGMENTED_ENCODER), config, self.artifact.path)
        encoder = make_knowledge_augmented_encoder(config)
        load_parameters(encoder, self.artifact.path / KNOWLEDGE_AUGMENTED_ENCODER)
        return encoder


def write_encoder(
    path: epath.PathLike,
    *,
    configuration: Mapping[str, Any],
    vocabulary: Vocabulary,
    retriever: DualEncoder,
    knowledge_augmented_encoder: KnowledgeAugmentedEncoder | None,
    inputs: Mapping[str, str],
    step: int,
    overwrite: bool = False,
) -> Artifact:
    """Publishes an encoder artefact.

    Args:
      path: its directory.
      configuration: the settings of the networks and of the work that made them; see `realm_tf.config.recipe`.
      vocabulary: the wordpieces.
      retriever: the dual encoder.
      knowledge_augmented_encoder: the reader of pre-training; None in an index generation, which needs none.
      inputs: digests of what it was made from, by role.
      step: training steps behind it, of the stage that made it.
      overwrite: whether another artefact there is replaced.
    """
    # TensorFlow is needed only to write the SavedModel, not to open the artefact.
    from realm_tf.weights.retriever_saved_model import save_retriever

    with make_artifact(path, KIND, configuration=configuration, inputs=inputs, overwrite=overwrite) as draft:
        vocabulary.write(draft.path / VOCABULARY)
        save_parameters(retriever, draft.path / RETRIEVER)
        if knowledge_augmented_encoder is not None:
            save_parameters(knowledge_augmented_encoder, draft.path / KNOWLEDGE_AUGMENTED_ENCODER)
        save_retriever(retriever, draft.path / SAVED_MODEL)
        draft.counts['step'] = step
    return open_artifact(path, KIND)
