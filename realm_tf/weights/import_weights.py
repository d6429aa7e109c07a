"""Weights from elsewhere become an encoder or model artefact, with the embeddings of blocks they may have."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from realm_tf.artifacts import Artifact, open_artifact, outdated_because, require_room
from realm_tf.config import Config, recipe
from realm_tf.corpus.block_store import BlockStore
from realm_tf.errors import RealmError
from realm_tf.search.embeddings import Embeddings
from realm_tf.text.vocabulary import Vocabulary
from realm_tf.weights.fit import require_fit
from realm_tf.weights.imported_embeddings import write_imported_embeddings
from realm_tf.weights.pretrained import (
    DOCUMENT_TOWER,
    KNOWLEDGE_AUGMENTED_ENCODER,
    QUERY_TOWER,
    READER,
    Pretrained,
    settings_of,
    together,
)
from realm_tf.weights.sources import read_source, source_digest


def import_weights(
    paths: Sequence[epath.PathLike],
    output: epath.PathLike,
    config: Config,
    *,
    random: bool = False,
    vocabulary_path: epath.PathLike | None = None,
    corpus_path: epath.PathLike | None = None,
    embeddings_path: epath.PathLike | None = None,
    allow_pickle: bool = False,
    overwrite: bool = False,
) -> Artifact:
    """Makes the artefact that training or answering starts from: a model if there is a reader, else an encoder.

    A network that no source has starts from the BERT of one, as far as that goes, or else fresh; what came from where
    is printed. With `retriever.projection_start = 'pca'` a fresh projection is made from the principal components of
    blocks of the corpus.

    Args:
      paths: the sources; see `realm_tf.weights.sources`.
      output: the artefact.
      config: the configuration, which must fit what the sources have.
      random: whether all weights are fresh, and only the `vocab.txt` of the one source is read.
      vocabulary_path: a `vocab.txt`, where no source has one.
      corpus_path: the corpus: for principal components, and the one whose blocks the embeddings are of.
      embeddings_path: where the embeddings of the sources go. If no source has any: embeddings of the corpus that are
        there already, which the model is to be used with.
      allow_pickle: whether pickles, which can run code, may be opened.
      overwrite: whether other artefacts there are replaced.

    Raises:
      RealmError: if a source is damaged, or they do not fit each other, the configuration or the corpus.
    """
    for path in filter(None, (output, embeddings_path)):
        require_room(path)
    if random and len(paths) > 1:
        raise RealmError('--random reads the vocabulary of one source: name one with --from.')
    if random:
        vocabulary = Vocabulary.read(vocabulary_path or epath.Path(paths[0]) / 'vocab.txt')
        sources = [Pretrained('fresh weights', config.encoder, vocabulary, {})]
        digests = {'vocabulary': vocabulary.digest}
    else:
        sources = [read_source(path, allow_pickle=allow_pickle) for path in paths]
        digests = {f'source_{number}': source_digest(path) for number, path in enumerate(paths, start=1)}
    return import_pretrained(
        sources,
        output,
        config,
        digests=digests,
        vocabulary_path=vocabulary_path,
        corpus_path=corpus_path,
        embeddings_path=embeddings_path,
        overwrite=overwrite,
    )


def import_pretrained(
    sources: Sequence[Pretrained],
    output: epath.PathLike,
    config: Config,
    *,
    digests: Mapping[str, str],
    vocabulary_path: epath.PathLike | None = None,
    corpus_path: epath.PathLike | None = None,
    embeddings_path: epath.PathLike | None = None,
    overwrite: bool = False,
) -> Artifact:
    """`import_weights` of sources that were read already; `digests` identify them, by role."""
    if embeddings_path is not None and corpus_path is None:
        raise RealmError('Embeddings are of a corpus: name it with --corpus.')
    pretrained = together(sources)
    _require_fit(pretrained, config)
    corpus = None if corpus_path is None else BlockStore.open(corpus_path)
    vocabulary = _vocabulary(pretrained, vocabulary_path, corpus)
    _require_pieces(vocabulary, pretrained, vocabulary_path, config.encoder.vocabulary_size)
    if corpus is not None:
        corpus.require_vocabulary(vocabulary, pretrained.source)
    if pretrained.vocabulary is None:
        digests = {**digests, 'vocabulary': vocabulary.digest}
    made = _Import(sources, pretrained, vocabulary, output, config, digests, corpus, embeddings_path, overwrite)
    return made.model() if READER in pretrained.parts else made.encoder()


@dataclasses.dataclass(frozen=True)
class _Import:
    """What was read and found to fit, each source and all together, and where it goes."""

    sources: Sequence[Pretrained]
    pretrained: Pretrained
    vocabulary: Vocabulary
    output: epath.PathLike
    config: Config
    digests: Mapping[str, str]
    corpus: BlockStore | None
    embeddings_path: epath.PathLike | None
    overwrite: bool

    def encoder(self) -> Artifact:
        """The encoder artefact, and the embeddings after it: these are known by their encoder."""
        inputs = self._inputs()
        if not self._is_current('encoder', recipe(self.config), inputs):
            from realm_tf.weights.encoder_artifact import write_encoder
            from realm_tf.weights.networks import make_knowledge_augmented_encoder

            knowledge_augmented_encoder = make_knowledge_augmented_encoder(self.config)
            retriever = self._retriever()
            self._start('knowledge-augmented encoder', knowledge_augmented_encoder, KNOWLEDGE_AUGMENTED_ENCODER)
            write_encoder(
                self.output,
                configuration=recipe(self.config),
                vocabulary=self.vocabulary,
                retriever=retriever,
                knowledge_augmented_encoder=knowledge_augmented_encoder,
                inputs=inputs,
                step=0,
                overwrite=self.overwrite,
            )
            print(f'Wrote {self.output}.')
        encoder = open_artifact(self.output, 'encoder')
        if self.pretrained.block_embeddings is not None:
            self._write_embeddings({'encoder': encoder.digest})
        elif self.embeddings_path is not None:
            raise RealmError('No source has embeddings of blocks: make them with realm embed.')
        return encoder

    def model(self) -> Artifact:
        """The model artefact, and the embeddings before it: the model names those it belongs to."""
        inputs = self._inputs()
        if self.pretrained.block_embeddings is not None:
            self._write_embeddings(self.digests)
        if self.embeddings_path is not None:
            embeddings = Embeddings.open(self.embeddings_path)
            embeddings.artifact.require_input('corpus', self.corpus.artifact)
            _require_dimension(embeddings.dimension, self.config, self.embeddings_path)
            inputs |= {'corpus': self.corpus.artifact.digest, 'embeddings': embeddings.artifact.digest}
        else:
            print(
                'The model names no embeddings, which realm evaluate and realm export need: import it again with '
                '--corpus and --embeddings.'
            )
        if not self._is_current('model', recipe(self.config, 'finetune'), inputs):
            from realm_tf.weights.model_artifact import write_model
            from realm_tf.weights.networks import make_reader

            reader = make_reader(self.config)
            retriever = self._retriever()
            self._start('reader', reader, READER)
            if KNOWLEDGE_AUGMENTED_ENCODER in self.pretrained.parts:
                print('The knowledge-augmented encoder is left out: a model answers without it.')
            write_model(
                self.output,
                configuration=recipe(self.config, 'finetune'),
                vocabulary=self.vocabulary,
                retriever=retriever,
                reader=reader,
                inputs=inputs,
                step=0,
                overwrite=self.overwrite,
            )
            print(f'Wrote {self.output}.')
        return open_artifact(self.output, 'model')

    def _inputs(self) -> dict[str, str]:
        if self._projection_start() != 'pca':
            return dict(self.digests)
        if self.corpus is None:
            raise RealmError("retriever.projection_start = 'pca' needs a corpus to analyse: name it with --corpus.")
        return dict(self.digests) | {'corpus': self.corpus.artifact.digest}

    def _projection_start(self) -> str | None:
        """What a fresh projection is to begin with; None if there is none, as a source has one."""
        return None if QUERY_TOWER in self.pretrained.parts else self.config.retriever.projection_start

    def _retriever(self):
        from realm_tf.weights.networks import make_retriever
        from realm_tf.weights.principal_components import project_identically, project_on_principal_components

        retriever = make_retriever(self.config)
        if retriever.shared_towers:
            part = QUERY_TOWER if QUERY_TOWER in self.pretrained.parts else DOCUMENT_TOWER
            self._start('tower', retriever.query_tower, part)
        else:
            self._start('query tower', retriever.query_tower, QUERY_TOWER)
            self._start('document tower', retriever.document_tower, DOCUMENT_TOWER)
        start = self._projection_start()
        if start == 'pca':
            project_on_principal_components(retriever, self.corpus, self.config.seed)
        elif start == 'identity':
            project_identically(retriever)
        return retriever

    def _start(self, name: str, network, part: str) -> None:
        """Gives a network its parameters, and prints where they come from."""
        from realm_tf.weights.starts import start

        print(f'{name:28} {start(network, part, self.sources)}')

    def _write_embeddings(self, made_by: Mapping[str, str]) -> None:
        count = len(self.pretrained.block_embeddings)
        if self.embeddings_path is None:
            print(f'The embeddings of {count:,} blocks are left out: --corpus and --embeddings take them in.')
            return
        _require_dimension(self.pretrained.block_embeddings.shape[1], self.config, self.pretrained.source)
        write_imported_embeddings(
            self.pretrained.block_embeddings,
            self.embeddings_path,
            self.corpus,
            source=self.pretrained.source,
            made_by=made_by,
            overwrite=self.overwrite,
        )

    def _is_current(self, kind: str, configuration: Mapping[str, Any], inputs: Mapping[str, str]) -> bool:
        current = outdated_because(self.output, kind, configuration, inputs) is None
        if current:
            print(f'{self.output} is up to date.')
        return current


def _require_fit(pretrained: Pretrained, config: Config) -> None:
    theirs = settings_of(pretrained)
    # Two towers may well start alike.
    if theirs.get('retriever.shared_towers'):
        del theirs['retriever.shared_towers']
    require_fit(theirs, config, pretrained.source)


def _require_pieces(vocabulary: Vocabulary, pretrained: Pretrained, path: epath.PathLike | None, rows: int) -> None:
    """Checks that every piece has a word embedding; those of weights that are there may be padded with more."""
    pieces, source = len(vocabulary.pieces), path or pretrained.source
    if pieces > rows or (not pretrained.parts and pieces < rows):
        remedy = (
            'name the vocab.txt that belongs to the weights with --vocabulary'
            if pretrained.parts
            else f'give --set encoder.vocabulary_size={pieces}'
        )
        raise RealmError(
            f'The vocabulary of {source} has {pieces} pieces; encoder.vocabulary_size is {rows}: {remedy}.'
        )
    if pieces < rows:
        print(
            f'{rows - pieces} of {rows} word embeddings are of no piece of {source}: padding, if these belong together.'
        )


def _require_dimension(dimension: int, config: Config, source: epath.PathLike) -> None:
    if dimension != config.retriever.projection_size:
        raise RealmError(
            f'The embeddings of {source} have the size {dimension}; retriever.projection_size is '
            f'{config.retriever.projection_size}.'
        )


def _vocabulary(pretrained: Pretrained, path: epath.PathLike | None, corpus: BlockStore | None) -> Vocabulary:
    given = None if path is None else Vocabulary.read(path)
    vocabulary = given or pretrained.vocabulary or (corpus and corpus.vocabulary)
    if vocabulary is None:
        raise RealmError(f'{pretrained.source} has no vocab.txt: name one with --vocabulary.')
    if pretrained.vocabulary is not None and vocabulary.digest != pretrained.vocabulary.digest:
        raise RealmError(f'{path} has other pieces than the vocabulary of {pretrained.source}.')
    return vocabulary
