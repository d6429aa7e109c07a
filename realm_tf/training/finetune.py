"""Fine-tuning for open-domain question answering (REALM, section 3.1; the losses of ORQA, section 6)."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
from etils import epath
from keras import ops

from realm_tf.artifacts import Artifact
from realm_tf.config import Config, recipe
from realm_tf.corpus.block_store import BlockStore
from realm_tf.corpus.questions import Question, read_questions
from realm_tf.errors import RealmError
from realm_tf.evaluation.answers import blocks_with_answers, gold_spans
from realm_tf.models import losses
from realm_tf.models.dual_encoder import DualEncoder
from realm_tf.models.span_reader import SpanReader
from realm_tf.search.embeddings import Embeddings, sorted_by_score
from realm_tf.search.index import open_index
from realm_tf.text.packing import pack_queries, pack_reader_inputs
from realm_tf.text.wordpiece import WordPieceTokenizer
from realm_tf.training.checkpoints import Checkpoints
from realm_tf.training.loop import run_training
from realm_tf.training.optimizer import BertAdamW
from realm_tf.training.replicas import mean_of, spread_random_state
from realm_tf.training.sampling import rows_of_step
from realm_tf.training.strategies import is_chief, make_strategy
from realm_tf.training.train_step import Batch, Loss, make_train_step, require_divisible
from realm_tf.weights.encoder_artifact import Encoder
from realm_tf.weights.model_artifact import write_model
from realm_tf.weights.networks import make_reader
from realm_tf.weights.parameters import assign_parameters, named_parameters

# The sections of the configuration that a run depends on.
RECIPE = ('finetune',)


def train(
    corpus_path: epath.PathLike,
    encoder_path: epath.PathLike,
    embeddings_path: epath.PathLike,
    index_path: epath.PathLike,
    questions_path: epath.PathLike,
    run: epath.PathLike,
    config: Config,
    inputs: Mapping[str, str],
    *,
    strategy: tf.distribute.Strategy | None = None,
) -> Artifact | None:
    """Fine-tunes the query tower and the reader, and publishes `run/model`. Document embeddings stay as they are.

    Args:
      corpus_path: the knowledge corpus.
      encoder_path: the encoder to start from; the reader starts from its knowledge-augmented encoder.
      embeddings_path: embeddings of the corpus by this encoder.
      index_path: an index over them.
      questions_path: JSON Lines of questions and answers.
      run: directory of the run, prepared by `prepare_run`; training goes on from its last checkpoint.
      config: the configuration.
      inputs: digests of all these, by role.
      strategy: where it runs; see `make_strategy`. One device by default.

    Returns:
      The model; None in a worker that is not the chief, which writes nothing.

    Raises:
      RealmError: if the inputs do not fit each other.
    """
    run = epath.Path(run)

    # Data.
    corpus = BlockStore.open(corpus_path)
    start = Encoder.open(encoder_path)
    corpus.require_vocabulary(start.vocabulary, encoder_path)
    embeddings = Embeddings.open(embeddings_path)
    embeddings.artifact.require_input('corpus', corpus.artifact).require_input('encoder', start.artifact)
    searcher = open_index(index_path, embeddings.artifact)
    questions = read_questions(questions_path).questions
    steps = _number_of_steps(questions, config)
    print(f'{len(questions)} questions, {steps} steps of {config.finetune.batch_size}.')
    data = LabelledQuestions(corpus, questions, WordPieceTokenizer(corpus.vocabulary))

    # Model.
    strategy = strategy or make_strategy()
    settings = config.finetune
    require_divisible(settings.batch_size, 'finetune.batch_size', strategy, settings.accumulation_steps)
    body = named_parameters(start.knowledge_augmented_encoder(config).encoder)
    with strategy.scope():
        retriever = start.retriever(config)
        reader = make_reader(config)
        assign_parameters(
            reader.encoder, {name: np.asarray(value) for name, value in body.items()}, source=str(encoder_path)
        )
        parameters = {
            **{f'retriever/{name}': variable for name, variable in named_parameters(retriever).items()},
            **{f'reader/{name}': variable for name, variable in named_parameters(reader).items()},
        }
        optimizer = BertAdamW(parameters, settings.optimizer, steps)
        checkpoints = Checkpoints(run / 'checkpoints', {'retriever': retriever, 'reader': reader}, optimizer)
        first_step = checkpoints.restore()
    spread_random_state([retriever, reader], strategy)
    embed = tf.function(retriever.embed_queries, reduce_retracing=True)
    update = make_train_step(
        lambda batch: finetuning_loss(retriever, reader, batch, config),
        optimizer,
        strategy,
        settings.accumulation_steps,
    )

    def train_step(batch: Batch) -> Mapping[str, float]:
        # What is read depends on the weights of this very step: retrieval cannot run ahead here.
        queries = embed(tf.constant(batch['question_ids'])).numpy()
        found = searcher.search(queries, settings.num_candidates).block_ids
        return update(finetuning_batch(corpus, embeddings, data, batch, queries, found, config)).metrics

    # Loop.
    def make_batch(step: int) -> Batch:
        rows = rows_of_step(len(questions), settings.batch_size, step, config.seed)
        ids = pack_queries(data.question_ids.take(rows), settings.question_length, corpus.vocabulary)
        return {'rows': rows, 'question_ids': ids}

    run_training(
        name='Fine-tuning',
        directory=run,
        steps=steps,
        make_batch=make_batch,
        train_step=train_step,
        checkpoints=checkpoints,
        checkpoint_every=settings.checkpoint_every,
        first_step=first_step,
        is_chief=is_chief(strategy),
    )
    if not is_chief(strategy):
        return None
    return write_model(
        run / 'model',
        configuration=recipe(config, *RECIPE),
        vocabulary=start.vocabulary,
        retriever=retriever,
        reader=reader,
        inputs=inputs,
        step=steps,
    )


class LabelledQuestions:
    """Questions with their wordpieces and the blocks that hold their answers.

    Args:
      corpus: the corpus.
      questions: the questions.
      tokenizer: a tokenizer with the corpus's vocabulary.

    Attributes:
      question_ids: wordpieces of the questions.
      answer_ids: for each question, the wordpieces of its answers.
      holders: for each question, ascending ids of the blocks that hold an answer.
    """

    def __init__(self, corpus: BlockStore, questions: Sequence[Question], tokenizer: WordPieceTokenizer):
        self.question_ids = tokenizer.tokenize_to_ragged([question.text for question in questions])
        answers = [question.answers for question in questions]
        rows = iter(tokenizer.tokenize_to_ragged([answer for of_one in answers for answer in of_one]).rows())
        self.answer_ids = [[next(rows) for _ in of_one] for of_one in answers]
        self.holders = blocks_with_answers(corpus, questions)


def finetuning_loss(retriever: DualEncoder, reader: SpanReader, batch: Mapping[str, tf.Tensor], config: Config) -> Loss:
    """The sum of the retriever's and the reader's loss, mean over the questions.

    Args:
      retriever: the dual encoder; its query tower is trained.
      reader: the span reader.
      batch: what `finetuning_batch` made.
      config: the configuration.

    Returns:
      The loss of a question. Metrics: both parts of it, and how many of the questions had an answer among the
      candidates, and among the blocks read.
    """
    blocks = config.finetune.reader_blocks
    # [batch, projection_size]
    queries = retriever.embed_queries(batch['question_ids'], training=True)
    # [batch, num_candidates]
    scores = ops.einsum('bd,bnd->bn', queries, batch['candidate_embeddings'])
    scores = ops.where(batch['is_candidate'], scores, losses.NEVER)
    of_retriever = losses.retriever_loss(scores, batch['has_answer'])
    # [batch * blocks, length, max_answer_length]
    span_logits, is_span = reader(batch['reader_ids'], batch['reader_segments'], training=True)
    shape = (-1, blocks, *span_logits.shape[1:])
    of_reader = losses.reader_loss(
        ops.reshape(span_logits, shape), ops.reshape(is_span, shape), batch['is_gold'], scores[:, :blocks]
    )
    found = ops.cast(ops.any(batch['has_answer'], axis=1), 'float32')
    read = ops.cast(ops.any(batch['has_answer'][:, :blocks], axis=1), 'float32')
    return Loss(
        mean_of(of_retriever + of_reader),
        metrics={
            'retriever_loss': mean_of(of_retriever),
            'reader_loss': mean_of(of_reader),
            'answer_among_candidates': mean_of(found),
            'answer_among_read': mean_of(read),
        },
    )


def finetuning_batch(
    corpus: BlockStore,
    embeddings: Embeddings,
    data: LabelledQuestions,
    batch: Batch,
    queries: np.ndarray,
    found: np.ndarray,
    config: Config,
) -> dict[str, np.ndarray]:
    """Sorts what was retrieved by the exact score, labels it, and packs what is read.

    Args:
      corpus: the corpus.
      embeddings: its embeddings.
      data: the questions.
      batch: `rows` and `question_ids` of the step.
      queries: the questions' embeddings, float32 `[batch, projection_size]`.
      found: retrieved block ids, int64 `[batch, num_candidates]`; -1 where there are no more.
      config: the configuration.

    Returns:
      `question_ids`; `candidate_embeddings` float32 `[batch, num_candidates, projection_size]`; `is_candidate` and
      `has_answer` bool `[batch, num_candidates]`; `reader_ids` and `reader_segments` int32
      `[batch * reader_blocks, reader_length]`; `is_gold` bool `[batch, reader_blocks, reader_length,
      max_answer_length]`.
    """
    settings = config.finetune
    rows = batch['rows']
    candidates = sorted_by_score(found, embeddings, queries)
    has_answer = np.stack([np.isin(of_one, data.holders[row]) for of_one, row in zip(candidates, rows, strict=True)])
    is_candidate = candidates >= 0
    # Block 0 stands in for one that is missing; it has no weight in the losses.
    present = np.maximum(candidates, 0)
    # [batch * reader_blocks]
    read = present[:, : settings.reader_blocks].reshape(-1)
    question_of = np.repeat(rows, settings.reader_blocks)
    bodies = corpus.body_ids(read)
    packed = pack_reader_inputs(
        data.question_ids.take(question_of),
        bodies,
        settings.reader_length,
        corpus.vocabulary,
        question_length=settings.question_length,
    )
    kept = bodies.truncated(packed.second_lengths)
    spans = gold_spans(kept, [data.answer_ids[row] for row in question_of], settings.max_answer_length)
    is_gold = np.zeros((len(read), settings.reader_length, settings.max_answer_length), bool)
    for index, of_block in enumerate(spans):
        is_gold[index, packed.second_starts[index] + of_block[:, 0], of_block[:, 1]] = True
    return {
        'question_ids': batch['question_ids'],
        'candidate_embeddings': embeddings.rows(present.reshape(-1)).reshape(*present.shape, -1),
        'is_candidate': is_candidate,
        'has_answer': has_answer,
        'reader_ids': packed.token_ids,
        'reader_segments': packed.segment_ids,
        'is_gold': is_gold.reshape(len(rows), settings.reader_blocks, *is_gold.shape[1:])
        & is_candidate[:, : settings.reader_blocks, None, None],
    }


def _number_of_steps(questions: Sequence[Question], config: Config) -> int:
    if len(questions) < config.finetune.batch_size:
        raise RealmError(
            f'{len(questions)} questions are fewer than a batch (finetune.batch_size = {config.finetune.batch_size}).'
        )
    steps = config.finetune.epochs * (len(questions) // config.finetune.batch_size)
    return steps if config.finetune.max_steps is None else min(steps, config.finetune.max_steps)
