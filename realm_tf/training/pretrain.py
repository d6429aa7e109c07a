"""REALM pre-training: retrieve, read, fill the blank, and push probability to the documents that helped."""

import numpy as np
from etils import epath

from realm_tf.artifacts import Artifact, open_artifact
from realm_tf.config import Config, recipe
from realm_tf.corpus.block_store import BlockStore
from realm_tf.corpus.span_store import SpanStore
from realm_tf.errors import RealmError
from realm_tf.training.checkpoints import Checkpoints
from realm_tf.training.current_index import CurrentIndex
from realm_tf.training.generations import Generation, publish_snapshot
from realm_tf.training.loop import Batch, make_train_step, run_training
from realm_tf.training.optimizer import BertAdamW
from realm_tf.training.pretraining_batch import pretraining_batch
from realm_tf.training.pretraining_loss import pretraining_loss
from realm_tf.training.refresh import Refresh
from realm_tf.training.sampling import generator_of_step, rows_of_step
from realm_tf.weights.encoder_artifact import Encoder, write_encoder
from realm_tf.weights.parameters import named_parameters

# The sections of the configuration that a run depends on.
RECIPE = ('pretrain', 'embed', 'index')
_MASKS = 2


def train(
    corpus_path: epath.PathLike,
    spans_path: epath.PathLike,
    encoder_path: epath.PathLike,
    embeddings_path: epath.PathLike,
    index_path: epath.PathLike,
    run: epath.PathLike,
    config: Config,
) -> Artifact:
    """Pre-trains retriever and knowledge-augmented encoder together, and publishes `run/encoder`.

    An index builder runs beside the training, in a process of its own or on another machine: it embeds the corpus with
    the newest snapshot and publishes an index generation, and the training swaps to it without stopping.

    Args:
      corpus_path: the knowledge corpus, which is also the pre-training corpus.
      spans_path: its salient spans.
      encoder_path: the encoder to start from.
      embeddings_path: embeddings of the corpus by this encoder.
      index_path: an index over them: the first generation.
      run: directory of the run, prepared by `prepare_run`; training goes on from its last checkpoint.
      config: the configuration.

    Raises:
      RealmError: if the inputs do not fit each other, or the training must wait for an index that cannot be made.
    """
    run = epath.Path(run)

    # Data.
    corpus = BlockStore.open(corpus_path)
    spans = SpanStore.open(spans_path, corpus)
    start = Encoder.open(encoder_path)
    corpus.require_vocabulary(start.vocabulary, encoder_path)
    embeddings = open_artifact(embeddings_path, 'embeddings')
    embeddings.require_input('corpus', corpus.artifact).require_input('encoder', start.artifact)
    index = open_artifact(index_path, 'index').require_input('embeddings', embeddings)
    first_generation = Generation(0, start.artifact.path, embeddings.path, index.path)
    blocks = np.flatnonzero(spans.counts())
    _require_enough_blocks(corpus, blocks, config)

    # Model.
    retriever = start.retriever(config)
    reader = start.knowledge_augmented_encoder(config)
    parameters = {
        **{f'retriever/{name}': variable for name, variable in named_parameters(retriever).items()},
        **{f'reader/{name}': variable for name, variable in named_parameters(reader).items()},
    }
    optimizer = BertAdamW(parameters, config.pretrain.optimizer, config.pretrain.steps)
    train_step = make_train_step(lambda batch: pretraining_loss(retriever, reader, batch, config), optimizer)

    # Where the run stands.
    inputs = {
        'corpus': corpus.artifact.digest,
        'spans': spans.artifact.digest,
        'encoder': start.artifact.digest,
        'embeddings': embeddings.digest,
        'index': index.digest,
    }
    configuration = recipe(config, *RECIPE)
    networks = {'retriever': retriever, 'knowledge_augmented_encoder': reader}
    checkpoints = Checkpoints(run / 'checkpoints', networks, optimizer)
    first_step = checkpoints.restore()

    def publish(step: int) -> None:
        publish_snapshot(run, step, retriever, corpus.vocabulary, configuration, corpus.artifact)

    # Loop.
    live = config.pretrain.query_weights == 'live'
    embeds_queries = retriever if live else start.retriever(config)
    current = CurrentIndex(run, embeds_queries, first_generation, step=first_step, live=live)
    with Refresh(run, corpus.artifact.path, config.pretrain, current, publish, first_step) as refresh:

        def make_batch(step: int) -> Batch:
            current.swap(step)
            rows = blocks[rows_of_step(len(blocks), config.pretrain.batch_size, step, config.seed)]
            generator = generator_of_step(step, config.seed, _MASKS)
            return pretraining_batch(corpus, spans, rows, current, config, generator)

        run_training(
            name='REALM pre-training',
            directory=run,
            steps=config.pretrain.steps,
            make_batch=make_batch,
            train_step=train_step,
            checkpoints=checkpoints,
            checkpoint_every=config.pretrain.checkpoint_every,
            first_step=first_step,
            after_step=refresh.after_step,
        )
    return write_encoder(
        run / 'encoder',
        configuration=configuration,
        vocabulary=start.vocabulary,
        retriever=retriever,
        knowledge_augmented_encoder=reader,
        inputs=inputs,
        step=config.pretrain.steps,
        overwrite=True,
    )


def _require_enough_blocks(corpus: BlockStore, blocks: np.ndarray, config: Config) -> None:
    if len(blocks) < config.pretrain.batch_size:
        raise RealmError(
            f'{len(blocks)} blocks of {corpus.artifact.path} have a salient span, fewer than a batch '
            f'(pretrain.batch_size = {config.pretrain.batch_size}). Take a smaller batch, or tag more spans.'
        )
    if len(corpus) < config.pretrain.num_candidates:
        raise RealmError(
            f'{corpus.artifact.path} has {len(corpus)} blocks, too few for '
            f'pretrain.num_candidates = {config.pretrain.num_candidates}.'
        )
