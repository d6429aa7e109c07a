"""The first encoder artefact: from a pretrained BERT, or fresh."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from etils import epath

from realm_tf.artifacts import Artifact
from realm_tf.config import Config, recipe
from realm_tf.corpus.block_store import BlockStore
from realm_tf.errors import RealmError
from realm_tf.models.bert_encoder import BertEncoder
from realm_tf.models.dual_encoder import DualEncoder
from realm_tf.progress import tracked
from realm_tf.text.packing import pack_documents
from realm_tf.text.vocabulary import Vocabulary
from realm_tf.weights import hugging_face
from realm_tf.weights.encoder_artifact import write_encoder
from realm_tf.weights.networks import make_knowledge_augmented_encoder, make_retriever
from realm_tf.weights.parameters import assign_parameters
from realm_tf.weights.principal_components import set_projection

PRINCIPAL_COMPONENT_BLOCKS = 512
_BATCH = 32


def import_encoder(
    source: epath.PathLike,
    output: epath.PathLike,
    config: Config,
    *,
    inputs: Mapping[str, str],
    pretrained: bool = True,
    corpus_path: epath.PathLike | None = None,
    overwrite: bool = False,
) -> Artifact:
    """Makes the encoder artefact that training starts from.

    Every network gets the body of the BERT; projection and masked-language-model transform are fresh. With
    `retriever.projection_start = 'pca'` the projection is made from the principal components of blocks of the corpus.

    Args:
      source: a Hugging Face BERT directory.
      output: the encoder artefact.
      config: the configuration; its `encoder` must be the BERT's, or with `pretrained = False`, may be any.
      inputs: digests of what it is made from, by role.
      pretrained: whether the weights are read; otherwise only `vocab.txt` is, and all weights are random.
      corpus_path: the corpus, for principal components.
      overwrite: whether another artefact there is replaced.

    Raises:
      RealmError: if the directory holds no such BERT, or the configuration describes another one.
    """
    source = epath.Path(source)
    vocabulary = Vocabulary.read(source / 'vocab.txt')
    if len(vocabulary.pieces) != config.encoder.vocabulary_size:
        raise RealmError(
            f'{source / "vocab.txt"} has {len(vocabulary.pieces)} pieces; encoder.vocabulary_size is '
            f'{config.encoder.vocabulary_size}.'
        )
    retriever = make_retriever(config)
    knowledge_augmented_encoder = make_knowledge_augmented_encoder(config)
    if pretrained:
        _require_same_encoder(source, config)
        parameters = hugging_face.read_encoder_parameters(source, config.encoder.num_layers)
        for body in [*_bodies(retriever), knowledge_augmented_encoder.encoder]:
            assign_parameters_of_body(body, parameters, source=str(source))
    if config.retriever.projection_start == 'pca':
        if corpus_path is None:
            raise RealmError("retriever.projection_start = 'pca' needs a corpus to analyse: name it with --corpus.")
        _project_on_principal_components(retriever, BlockStore.open(corpus_path), config)
    return write_encoder(
        output,
        configuration=recipe(config),
        vocabulary=vocabulary,
        retriever=retriever,
        knowledge_augmented_encoder=knowledge_augmented_encoder,
        inputs=inputs,
        step=0,
        overwrite=overwrite,
    )


def assign_parameters_of_body(body: BertEncoder, parameters: dict[str, np.ndarray], source: str) -> None:
    """Sets the parameters of a BERT that is part of a network; names are those below the `BertEncoder`."""
    prefix = body.path.partition('/')[2]
    assign_parameters(body, {f'{prefix}/{name}': value for name, value in parameters.items()}, source)


def _bodies(retriever: DualEncoder) -> list[BertEncoder]:
    towers = [retriever.query_tower] + ([] if retriever.shared_towers else [retriever.document_tower])
    return [tower.encoder for tower in towers]


def _require_same_encoder(source: epath.Path, config: Config) -> None:
    found = hugging_face.read_encoder_config(source)
    for field in dataclasses.fields(found):
        if field.name in ('dropout', 'initializer_range'):
            continue
        theirs, ours = getattr(found, field.name), getattr(config.encoder, field.name)
        if theirs != ours:
            raise RealmError(
                f'{source} has {field.name} = {theirs!r}, and the configuration says encoder.{field.name} = {ours!r}. '
                f'Give --set encoder.{field.name}={theirs}, or a preset that fits.'
            )


def _project_on_principal_components(retriever: DualEncoder, corpus: BlockStore, config: Config) -> None:
    count = min(len(corpus), PRINCIPAL_COMPONENT_BLOCKS)
    rows = np.sort(np.random.default_rng(config.seed).choice(len(corpus), count, replace=False))
    packed = pack_documents(corpus.title_ids(rows), corpus.body_ids(rows), corpus.block_length, corpus.vocabulary)
    tower = retriever.document_tower
    batches = [slice(start, start + _BATCH) for start in range(0, count, _BATCH)]
    pooled = [
        np.asarray(tower.pool(packed.token_ids[batch], packed.segment_ids[batch]))
        for batch in tracked(batches, 'Principal components', 'batch')
    ]
    share = set_projection(tower, np.concatenate(pooled))
    if not retriever.shared_towers:
        for ours, theirs in zip(
            (retriever.query_tower.projection, retriever.query_tower.projection_layer_norm),
            (tower.projection, tower.projection_layer_norm),
            strict=True,
        ):
            ours.set_weights(theirs.get_weights())
    print(f'The projection keeps {share:.1%} of the variance of {count} blocks.')
