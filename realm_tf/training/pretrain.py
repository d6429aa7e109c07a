"""REALM pre-training: retrieve, read, fill the blank, and push probability to the documents that helped."""

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf
from etils import epath

from realm_tf.artifacts import Artifact, open_artifact
from realm_tf.config import Config, recipe
from realm_tf.corpus.block_store import BlockStore
from realm_tf.corpus.span_store import SpanStore
from realm_tf.training.checkpoints import Checkpoints
from realm_tf.training.current_index import CurrentIndex
from realm_tf.training.drift import drift_at_refreshes
from realm_tf.training.generations import Generation
from realm_tf.training.loop import run_training
from realm_tf.training.optimizer import BertAdamW
from realm_tf.training.pretraining_batch import PretrainingBatches
from realm_tf.training.pretraining_loss import pretraining_loss
from realm_tf.training.refresh import Refresh, snapshots_of
from realm_tf.training.replicas import spread_random_state
from realm_tf.training.strategies import in_this_process, is_chief, make_strategy, require_shapes
from realm_tf.training.train_step import Batch, make_train_step, require_divisible
from realm_tf.weights.encoder_artifact import Encoder, write_encoder
from realm_tf.weights.fit import require_positions
from realm_tf.weights.parameters import named_parameters

# The sections of the configuration that a run depends on.
RECIPE = ('pretrain', 'embed', 'index')


def train(
    corpus_path: epath.PathLike,
    spans_path: epath.PathLike,
    encoder_path: epath.PathLike,
    embeddings_path: epath.PathLike,
    index_path: epath.PathLike,
    run: epath.PathLike,
    config: Config,
    *,
    pretraining_corpus_path: epath.PathLike | None = None,
    strategy: tf.distribute.Strategy | None = None,
) -> Artifact | None:
    """Pre-trains retriever and knowledge-augmented encoder together, and publishes `run/encoder`.

    An index builder runs beside the training, in a process of its own or on another machine: it embeds the corpus with
    the newest snapshot and publishes an index generation, and the training swaps to it without stopping.

    Args:
      corpus_path: the knowledge corpus, which candidates are retrieved from.
      spans_path: the salient spans of the pre-training corpus.
      encoder_path: the encoder to start from.
      embeddings_path: embeddings of the corpus by this encoder.
      index_path: an index over them: the first generation.
      run: directory of the run, prepared by `prepare_run`; training goes on from its last checkpoint.
      config: the configuration.
      pretraining_corpus_path: the pre-training corpus, which sentences come from; None: the knowledge corpus.
      strategy: where it runs; see `make_strategy`. One device by default.

    Returns:
      The encoder; None in a worker that is not the chief, which writes nothing.

    Raises:
      RealmError: if the inputs do not fit each other, or the training must wait for an index that cannot be made.
    """
    run = epath.Path(run)

    # Data.
    corpus = BlockStore.open(corpus_path)
    pretraining = corpus if pretraining_corpus_path is None else BlockStore.open(pretraining_corpus_path)
    spans = SpanStore.open(spans_path, pretraining)
    start = Encoder.open(encoder_path)
    corpus.require_vocabulary(start.vocabulary, encoder_path)
    joint = config.pretrain.query_length + corpus.block_length
    require_positions(config, {f'pretrain.query_length and the blocks of {corpus_path}': joint})
    embeddings = open_artifact(embeddings_path, 'embeddings')
    embeddings.require_input('corpus', corpus.artifact).require_input('encoder', start.artifact)
    index = open_artifact(index_path, 'index').require_input('embeddings', embeddings)
    first_generation = Generation(0, start.artifact.path, embeddings.path, index.path)
    batches = PretrainingBatches(corpus, pretraining, spans, config)

    # Model.
    settings = config.pretrain
    strategy = strategy or make_strategy()
    require_shapes(config, strategy)
    require_divisible(settings.batch_size, 'pretrain.batch_size', strategy, settings.accumulation_steps)
    with strategy.scope():
        retriever = start.retriever(config)
        reader = start.knowledge_augmented_encoder(config)
        parameters = {
            **{f'retriever/{name}': variable for name, variable in named_parameters(retriever).items()},
            **{f'reader/{name}': variable for name, variable in named_parameters(reader).items()},
        }
        optimizer = BertAdamW(parameters, settings.optimizer, settings.steps)
        networks = {'retriever': retriever, 'knowledge_augmented_encoder': reader}
        checkpoints = Checkpoints(run / 'checkpoints', networks, optimizer)
        first_step = checkpoints.restore()
    spread_random_state(networks.values(), strategy)
    update = make_train_step(
        lambda batch: pretraining_loss(retriever, reader, batch, config),
        optimizer,
        strategy,
        settings.accumulation_steps,
    )

    # Where the run stands.
    inputs = {
        'corpus': corpus.artifact.digest,
        'spans': spans.artifact.digest,
        'encoder': start.artifact.digest,
        'embeddings': embeddings.digest,
        'index': index.digest,
    }
    if pretraining_corpus_path is not None:
        inputs['pretraining_corpus'] = pretraining.artifact.digest
    configuration = recipe(config, *RECIPE)

    # Loop.
    chief = is_chief(strategy)
    live = settings.query_weights == 'live'
    # Of several workers, each embeds all queries, since each makes the whole batch.
    here = in_this_process(strategy)
    with here.scope():
        query_encoder = retriever if live else start.retriever(config)
    current = CurrentIndex(
        run, query_encoder, first_generation, step=first_step, live=live, strategy=here, is_chief=chief
    )
    drift = drift_at_refreshes(current, retriever, settings, strategy)
    with Refresh(
        run,
        corpus.artifact.path,
        settings,
        current,
        snapshots_of(run, retriever, corpus.vocabulary, configuration, corpus.artifact),
        checkpoints,
        steps=settings.steps,
        first_step=first_step,
        is_chief=chief,
    ) as refresh:

        def make_batch(step: int) -> Batch:
            current.swap(step)
            return batches.of_step(step, current)

        # The batch of the last step, for the metrics after it.
        last: dict[str, np.ndarray] = {}

        def train_step(batch: Batch) -> Mapping[str, float]:
            last.update(batch)
            return update(batch)

        def after_step(step: int, asked_to_stop: Callable[[], bool]) -> Mapping[str, float]:
            moved = drift(step, last['candidate_ids'], last['document_ids'], last['document_segments'])
            return moved | refresh.after_step(step, asked_to_stop)

        run_training(
            name='REALM pre-training',
            directory=run,
            steps=settings.steps,
            batch_size=settings.batch_size,
            make_batch=make_batch,
            train_step=train_step,
            checkpoints=checkpoints,
            checkpoint_every=settings.checkpoint_every,
            first_step=first_step,
            after_step=after_step,
            strategy=strategy,
        )
    if not chief:
        return None
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
