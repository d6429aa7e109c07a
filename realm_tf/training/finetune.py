"""Fine-tuning for open-domain question answering (REALM, section 3.1; the losses of ORQA, section 6)."""

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf
from etils import epath

from realm_tf.artifacts import Artifact, open_artifact
from realm_tf.cadence import STEPS_AHEAD, Cadence
from realm_tf.config import Config, recipe, sections_of_finetuning
from realm_tf.corpus.block_store import BlockStore
from realm_tf.corpus.questions import Question
from realm_tf.errors import RealmError
from realm_tf.evaluation.answers import blocks_with_answers
from realm_tf.evaluation.metrics import is_correct
from realm_tf.evaluation.predictor import Predictor
from realm_tf.evaluation.retrieval import hits_of
from realm_tf.models.dual_encoder import DualEncoder
from realm_tf.models.span_reader import SpanReader
from realm_tf.search.embeddings import Embeddings
from realm_tf.search.index import open_index
from realm_tf.training.checkpoints import Checkpoints
from realm_tf.training.current_generation import CurrentGeneration, OpenGeneration
from realm_tf.training.drift import drift_at_refreshes
from realm_tf.training.finetuning_batch import FinetuningBatches
from realm_tf.training.finetuning_loss import finetuning_loss
from realm_tf.training.generations import Generation
from realm_tf.training.loop import run_training
from realm_tf.training.on_devices import computed_on
from realm_tf.training.optimizer import BertAdamW
from realm_tf.training.refresh import Refresh, snapshots_of
from realm_tf.training.replicas import spread_random_state
from realm_tf.training.sampling import rows_of_step
from realm_tf.training.selection import Selection
from realm_tf.training.strategies import in_this_process, is_chief, make_strategy, require_shapes
from realm_tf.training.train_step import Batch, make_train_step, require_divisible
from realm_tf.weights.encoder_artifact import Encoder
from realm_tf.weights.fit import require_positions
from realm_tf.weights.model_artifact import Model, write_model
from realm_tf.weights.networks import make_reader
from realm_tf.weights.parameters import assign_parameters, copied_parameters, named_parameters

# Development questions that are read at a time.
_BATCH = 8


def train(
    corpus_path: epath.PathLike,
    start_path: epath.PathLike,
    embeddings_path: epath.PathLike,
    index_path: epath.PathLike,
    questions: Sequence[Question],
    run: epath.PathLike,
    config: Config,
    inputs: Mapping[str, str],
    *,
    development: Sequence[Question] = (),
    strategy: tf.distribute.Strategy | None = None,
) -> Artifact | None:
    """Fine-tunes the query tower and the reader, and publishes `run/model`.

    The document tower and its embeddings stay as they are, as in the paper, and the model answers with those given. Or,
    with `finetune.refresh`, the document tower is trained too, through the candidates that each step embeds again; an
    index builder runs beside the training, as in pre-training; and the model answers with embeddings and index that the
    builder makes of its own document tower at the end, in `run/generations/final`.

    Args:
      corpus_path: the knowledge corpus.
      start_path: the encoder to start from, whose knowledge-augmented encoder the reader starts from; or a QA model, to
        go on with.
      embeddings_path: embeddings of the corpus by this encoder, or those of the model.
      index_path: an index over them.
      questions: the questions to train on.
      run: directory of the run, prepared by `prepare_run`; training goes on from its last checkpoint.
      config: the configuration.
      inputs: digests of all these, by role.
      development: questions that the weights are measured by. The best are published; without, the last.
      strategy: where it runs; see `make_strategy`. One device by default.

    Returns:
      The model; None in a worker that is not the chief, which writes nothing.

    Raises:
      RealmError: if the inputs do not fit each other, or the training must wait for an index that cannot be made.
    """
    run = epath.Path(run)
    settings = config.finetune

    # Data.
    corpus = BlockStore.open(corpus_path)
    start = _Start.open(start_path)
    corpus.require_vocabulary(start.artifact.vocabulary, start_path)
    lengths = ('question_length', 'reader_length')
    require_positions(config, {f'finetune.{name}': getattr(settings, name) for name in lengths})
    embeddings = Embeddings.open(embeddings_path)
    embeddings.artifact.require_input('corpus', corpus.artifact)
    start.require_embeddings(embeddings)
    if settings.refresh != 'none':
        start.require_document_tower()
    index = open_artifact(index_path, 'index').require_input('embeddings', embeddings.artifact)
    first_generation = Generation(0, start.artifact.artifact.path, embeddings.artifact.path, index.path)
    steps, steps_of_epoch = _number_of_steps(questions, config)
    # One pass over the corpus, for the questions of both kinds.
    holders = blocks_with_answers(corpus, [*questions, *development], settings.answer_match)
    batches = FinetuningBatches(corpus, questions, holders[: len(questions)], config)
    print(
        f'{len(questions)} questions, {batches.answerable} with an answer in the corpus; '
        f'{steps} steps of {settings.batch_size}.'
    )

    # Model.
    strategy = strategy or make_strategy()
    require_shapes(config, strategy)
    require_divisible(settings.batch_size, 'finetune.batch_size', strategy, settings.accumulation_steps)
    trains_reader, is_refreshed = settings.objective != 'retriever', settings.refresh != 'none'
    with strategy.scope():
        retriever, reader = start.retriever(config), start.reader(config)
        trained = {}
        if settings.objective != 'reader':
            # Without a refresh the document tower is frozen with the embeddings that it made.
            trained['retriever'] = retriever if is_refreshed else retriever.query_tower
        if trains_reader:
            trained['reader'] = reader
        parameters = {
            f'{part}/{name}': variable
            for part, network in trained.items()
            for name, variable in named_parameters(network).items()
        }
        optimizer = BertAdamW(parameters, settings.optimizer, steps)
        checkpoints = Checkpoints(run / 'checkpoints', {'retriever': retriever, 'reader': reader}, optimizer)
        first_step = checkpoints.restore()
    spread_random_state([retriever, reader], strategy)
    embed = computed_on(strategy, retriever.embed_queries)
    read = computed_on(strategy, reading_of(reader))
    update = make_train_step(
        lambda batch: finetuning_loss(retriever, reader if trains_reader else None, batch, config),
        optimizer,
        strategy,
        settings.accumulation_steps,
    )

    def embed_queries(token_ids: np.ndarray) -> np.ndarray:
        return embed(token_ids=token_ids)

    # The index in use.
    chief = is_chief(strategy)
    configuration = recipe(config, *sections_of_finetuning(config))
    here = in_this_process(strategy)
    current = CurrentGeneration(
        run,
        lambda: OpenGeneration(first_generation, embeddings, open_index(index.path, embeddings.artifact, here)),
        step=first_step,
        strategy=here,
        is_chief=chief,
    )
    drift = drift_at_refreshes(current, retriever, settings, strategy)

    # Development.
    def predictor() -> Predictor:
        return Predictor(
            embed_queries,
            lambda token_ids, segment_ids: read(token_ids=token_ids, segment_ids=segment_ids),
            settings,
            corpus,
            current.embeddings,
            current.searcher,
        )

    selection = None
    if development:
        selection = Selection(
            checkpoints,
            measurement(predictor, development, holders[len(questions) :], config),
            decides='exact_match' if trains_reader else 'recall',
            every=settings.measure_every or steps_of_epoch,
            last_step=steps,
            patience=settings.patience,
            is_chief=chief,
        )

    # Loop.
    with Refresh(
        run,
        corpus.artifact.path,
        settings,
        current,
        snapshots_of(run, retriever, corpus.vocabulary, configuration, corpus.artifact),
        checkpoints,
        steps=steps,
        first_step=first_step,
        is_chief=chief,
    ) as refresh:
        current.swap(first_step)
        # The batch of the last step, for the metrics after it.
        last: dict[str, np.ndarray] = {}

        def rows_of(step: int) -> Batch:
            return {'rows': rows_of_step(len(questions), settings.batch_size, step, config.seed)}

        def train_step(batch: Batch) -> Mapping[str, float]:
            # What is read depends on the weights of this very step: retrieval cannot run ahead here.
            started = time.monotonic()
            retrieved = batches.of_questions(batch['rows'], embed_queries, current.embeddings, current.searcher)
            retrieval_seconds = time.monotonic() - started
            last.update(retrieved)
            return {'retrieval_seconds': retrieval_seconds, **update(retrieved)}

        def after_step(step: int, asked_to_stop: Callable[[], bool]) -> Mapping[str, float]:
            metrics = {}
            if is_refreshed:
                metrics |= drift(step, last['fresh_blocks'], last['fresh_ids'], last['fresh_segments'])
            staleness = refresh.after_step(step, asked_to_stop)
            # The index of a frozen tower does not become stale.
            metrics |= staleness if is_refreshed else {}
            metrics |= selection.after_step(step, asked_to_stop) if selection else {}
            # The index in use until here is what the weights were measured with.
            current.swap(step)
            return metrics

        run_training(
            name='Fine-tuning',
            directory=run,
            steps=steps,
            batch_size=settings.batch_size,
            make_batch=rows_of,
            train_step=train_step,
            checkpoints=checkpoints,
            checkpoint_every=settings.checkpoint_every,
            first_step=first_step,
            after_step=after_step,
            **({'is_over': selection.is_over} if selection else {}),
            strategy=strategy,
        )
        if not chief:
            return None
        step = selection.restore_best() if selection else steps
        if is_refreshed:
            inputs = {**inputs, **_digests(refresh.build_final(step).generation)}
    return write_model(
        run / 'model',
        configuration=configuration,
        vocabulary=corpus.vocabulary,
        retriever=retriever,
        reader=reader,
        inputs=inputs,
        step=step,
    )


def reading_of(reader: SpanReader) -> Callable:
    """The reader as a function with a name of its own, which a strategy can run."""

    def read(token_ids, segment_ids):
        return reader(token_ids, segment_ids)

    return read


def measurement(
    make_predictor: Callable[[], Predictor],
    questions: Sequence[Question],
    holders: Sequence[np.ndarray],
    config: Config,
) -> Callable[[], dict[str, float]]:
    """Gives a function that measures the weights in training by some questions.

    The predictor is made for each measurement, since the index that it answers from may have changed. `holders` are the
    blocks that hold an answer of each question.

    Its metrics: `recall`, the share of questions with an answer in a block that is read; and if the reader is trained,
    `exact_match`.
    """
    settings = config.finetune
    texts = [question.text for question in questions]

    def measure() -> dict[str, float]:
        predictor = make_predictor()
        queries = predictor.embed(texts)
        block_ids = predictor.retrieve(queries, settings.reader_blocks).block_ids
        metrics = {'recall': float(hits_of(block_ids, holders).any(axis=1).mean())}
        if settings.objective != 'retriever':
            parts = [slice(start, start + _BATCH) for start in range(0, len(texts), _BATCH)]
            predictions = [
                prediction
                for part in parts
                for prediction in predictor.read(texts[part], queries[part], block_ids[part])
            ]
            right = [is_correct(p.answer, question) for p, question in zip(predictions, questions, strict=True)]
            metrics['exact_match'] = float(np.mean(right))
        return metrics

    return measure


class _Start:
    """What a fine-tuning starts from: an encoder, or a QA model."""

    def __init__(self, artifact: Encoder | Model):
        self.artifact = artifact

    @classmethod
    def open(cls, path: epath.PathLike) -> '_Start':
        return cls(Model.open(path) if open_artifact(path).kind == 'model' else Encoder.open(path))

    def require_embeddings(self, embeddings: Embeddings) -> None:
        if isinstance(self.artifact, Model):
            self.artifact.require_embeddings(embeddings.artifact)
        else:
            embeddings.artifact.require_input('encoder', self.artifact.artifact)

    def require_document_tower(self) -> None:
        if isinstance(self.artifact, Model):
            self.artifact.require_document_tower()

    def retriever(self, config: Config) -> DualEncoder:
        return self.artifact.retriever(config)

    def reader(self, config: Config) -> SpanReader:
        if isinstance(self.artifact, Model):
            return self.artifact.reader(config)
        values = copied_parameters(self.artifact.knowledge_augmented_encoder(config).encoder)
        reader = make_reader(config)
        assign_parameters(reader.encoder, values, source=str(self.artifact.artifact.path))
        return reader


def _number_of_steps(questions: Sequence[Question], config: Config) -> tuple[int, int]:
    """The steps of the training, and those of an epoch."""
    settings = config.finetune
    if settings.reader_blocks > settings.num_candidates:
        raise RealmError(
            f'finetune.reader_blocks = {settings.reader_blocks} blocks cannot be read of finetune.num_candidates = '
            f'{settings.num_candidates} that are retrieved.'
        )
    if len(questions) < settings.batch_size:
        raise RealmError(
            f'{len(questions)} questions are fewer than a batch (finetune.batch_size = {settings.batch_size}).'
        )
    steps_of_epoch = len(questions) // settings.batch_size
    steps = settings.epochs * steps_of_epoch
    steps = steps if settings.max_steps is None else min(steps, settings.max_steps)
    if settings.refresh != 'none' and not Cadence.parse(settings.refresh_every).last(max(0, steps - STEPS_AHEAD)):
        raise RealmError(
            f'The index would never be refreshed: the training has {steps} steps, and a snapshot after finetune.'
            f'refresh_every = {settings.refresh_every} is used {STEPS_AHEAD} steps later. Take a smaller '
            'finetune.refresh_every, or finetune.refresh=none, which freezes the document tower.'
        )
    return steps, steps_of_epoch


def _digests(generation: Generation) -> dict[str, str]:
    """What a model answers with, by role; by the encoder it can answer from other corpora too."""
    paths = {'encoder': generation.encoder, 'embeddings': generation.embeddings, 'index': generation.index}
    return {role: open_artifact(path, role).digest for role, path in paths.items()}
