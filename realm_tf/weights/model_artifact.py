"""The QA model artefact: a fine-tuned retriever and reader, with the corpus and embeddings they belong to."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from etils import epath

from realm_tf.artifacts import Artifact, make_artifact, open_artifact
from realm_tf.config import Config, config_from_dict
from realm_tf.errors import RealmError
from realm_tf.models.dual_encoder import DualEncoder
from realm_tf.models.span_reader import SpanReader
from realm_tf.text.vocabulary import Vocabulary
from realm_tf.weights.encoder_artifact import RETRIEVER, VOCABULARY
from realm_tf.weights.fit import OF_READER, OF_RETRIEVER, require_fit, settings_named
from realm_tf.weights.networks import make_reader, make_retriever
from realm_tf.weights.parameters import load_parameters, save_parameters

KIND = 'model'
READER = 'reader.safetensors'


@dataclasses.dataclass(frozen=True)
class Model:
    """An opened QA model artefact.

    Attributes:
      artifact: the artefact; its inputs name the corpus and the embeddings it was trained on.
      config: the settings it was made with; what it does not depend on has the defaults.
      vocabulary: the wordpieces it knows.
    """

    artifact: Artifact
    config: Config
    vocabulary: Vocabulary

    @classmethod
    def open(cls, path: epath.PathLike) -> 'Model':
        """Opens the artefact; networks are made when asked for.

        Raises:
          RealmError: if there is none, or it is damaged.
        """
        artifact = open_artifact(path, KIND)
        config = config_from_dict(artifact.configuration, source=str(artifact.path))
        return cls(artifact, config, Vocabulary.read(artifact.path / VOCABULARY))

    def require_embeddings(self, embeddings: Artifact) -> None:
        """Checks that the model can answer with embeddings: its own, or those of another corpus by the same encoder.

        Raises:
          RealmError: if they are neither.
        """
        made_by = embeddings.inputs.get('encoder')
        if made_by is None or made_by != self.artifact.inputs.get('encoder'):
            self.artifact.require_input('embeddings', embeddings)

    @property
    def has_document_tower(self) -> bool:
        """Whether the retriever has the tower that embedded the documents, as far as can be told.

        Trained by its queries alone, one tower for both no longer embeds documents as it did.
        """
        return not self.config.retriever.shared_towers or self.config.finetune.refresh != 'none'

    def require_document_tower(self) -> None:
        """Checks that the retriever has the tower that embedded the documents.

        Raises:
          RealmError: if it has not, or that cannot be told, as of a model that was imported.
        """
        if not self.has_document_tower:
            raise RealmError(
                f'{self.artifact.path} was fine-tuned with frozen documents, or imported, and has one tower for '
                'queries and documents: the weights that embedded the documents are not in it, as far as can be told, '
                'and cannot be trained on. Start from the encoder, with --encoder; or have a tower for each, from an '
                'encoder that realm import made with --set retriever.shared_towers=false.'
            )

    def retriever(self, config: Config | None = None) -> DualEncoder:
        """The dual encoder with the model's parameters; `config` may give another precision or dropout.

        Raises:
          RealmError: if by `config` it would compute something else.
        """
        config = config or self.config
        require_fit(settings_named(self.config, OF_RETRIEVER), config, self.artifact.path)
        retriever = make_retriever(config)
        load_parameters(retriever, self.artifact.path / RETRIEVER)
        return retriever

    def reader(self, config: Config | None = None) -> SpanReader:
        """The span reader with the model's parameters; `config` as in `retriever`."""
        config = config or self.config
        require_fit(settings_named(self.config, OF_READER), config, self.artifact.path)
        reader = make_reader(config)
        load_parameters(reader, self.artifact.path / READER)
        return reader


def write_model(
    path: epath.PathLike,
    *,
    configuration: Mapping[str, Any],
    vocabulary: Vocabulary,
    retriever: DualEncoder,
    reader: SpanReader,
    inputs: Mapping[str, str],
    step: int,
    overwrite: bool = True,
) -> Artifact:
    """Publishes a QA model artefact.

    Args:
      path: its directory.
      configuration: the settings of the networks and of the work that made them; see `realm_tf.config.recipe`.
      vocabulary: the wordpieces.
      retriever: the dual encoder.
      reader: the span reader.
      inputs: digests of what it was made from, by role; corpus and embeddings are those it answers with.
      step: training steps behind it, of the stage that made it.
      overwrite: whether another artefact there is replaced.
    """
    with make_artifact(path, KIND, configuration=configuration, inputs=inputs, overwrite=overwrite) as draft:
        vocabulary.write(draft.path / VOCABULARY)
        save_parameters(retriever, draft.path / RETRIEVER)
        save_parameters(reader, draft.path / READER)
        draft.counts['step'] = step
    return open_artifact(path, KIND)
