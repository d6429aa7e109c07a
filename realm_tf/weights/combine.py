"""An encoder with the retriever of one training and the reader of another: the paper's "reset" ablations (table 2)."""

from etils import epath

from realm_tf.artifacts import Artifact, open_artifact, outdated_because
from realm_tf.errors import RealmError
from realm_tf.weights.encoder_artifact import Encoder, write_encoder


def combine(
    retriever_path: epath.PathLike, reader_path: epath.PathLike, output: epath.PathLike, *, overwrite: bool = False
) -> Artifact:
    """Makes an encoder of the dual encoder of one and the knowledge-augmented encoder of another, unless it is there.

    Args:
      retriever_path: the encoder whose dual encoder is taken, and whose configuration.
      reader_path: the encoder whose knowledge-augmented encoder is taken.
      output: the new encoder.
      overwrite: whether another one there is replaced.

    Raises:
      RealmError: if they differ in vocabulary or in the shape of the networks, or the second has no such encoder.
    """
    retriever, reader = Encoder.open(retriever_path), Encoder.open(reader_path)
    reader.require_knowledge_augmented_encoder()
    if retriever.vocabulary.digest != reader.vocabulary.digest:
        raise RealmError(f'{retriever_path} and {reader_path} have different vocabularies.')
    if retriever.config.encoder != reader.config.encoder:
        raise RealmError(
            f'{retriever_path} and {reader_path} differ in their networks: '
            f'{retriever.config.encoder} is not {reader.config.encoder}.'
        )
    configuration = retriever.artifact.configuration
    inputs = {'retriever': retriever.artifact.digest, 'knowledge_augmented_encoder': reader.artifact.digest}
    if outdated_because(output, 'encoder', configuration, inputs) is None:
        return open_artifact(output, 'encoder')
    return write_encoder(
        output,
        configuration=configuration,
        vocabulary=retriever.vocabulary,
        retriever=retriever.retriever(),
        knowledge_augmented_encoder=reader.knowledge_augmented_encoder(),
        inputs=inputs,
        step=0,
        overwrite=overwrite,
    )
