"""The inverse cloze task: the retriever's warm start (ORQA, section 5)."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from etils import epath

from realm_tf.artifacts import Artifact
from realm_tf.config import Config, recipe
from realm_tf.corpus.block_store import BlockStore
from realm_tf.errors import RealmError
from realm_tf.models import losses
from realm_tf.models.dual_encoder import DualEncoder
from realm_tf.text.packing import pack_documents, pack_queries
from realm_tf.text.ragged import Ragged
from realm_tf.training.checkpoints import Checkpoints
from realm_tf.training.loop import run_training
from realm_tf.training.optimizer import BertAdamW
from realm_tf.training.replicas import first_gathered_row, gathered, mean_of, spread_random_state
from realm_tf.training.sampling import generator_of_step, rows_of_step
from realm_tf.training.strategies import is_chief, make_strategy, require_shapes
from realm_tf.training.train_step import Batch, Loss, make_train_step, require_divisible
from realm_tf.weights.encoder_artifact import Encoder, write_encoder
from realm_tf.weights.fit import require_positions
from realm_tf.weights.parameters import named_parameters

_SENTENCES = 1


def train(
    corpus_path: epath.PathLike,
    encoder_path: epath.PathLike,
    run: epath.PathLike,
    config: Config,
    *,
    strategy: tf.distribute.Strategy | None = None,
) -> Artifact | None:
    """Trains the retriever on the inverse cloze task, and publishes `run/encoder`.

    Args:
      corpus_path: the corpus.
      encoder_path: the encoder to start from.
      run: directory of the run, prepared by `prepare_run`; training goes on from its last checkpoint.
      config: the configuration.
      strategy: where it runs; see `make_strategy`. One device by default.

    Returns:
      The encoder; None in a worker that is not the chief, which writes nothing.

    Raises:
      RealmError: if corpus and encoder do not fit, or the corpus has too few blocks of two sentences.
    """
    run = epath.Path(run)

    # Data.
    corpus = BlockStore.open(corpus_path)
    start = Encoder.open(encoder_path)
    # It goes into the result as it is.
    start.require_knowledge_augmented_encoder()
    corpus.require_vocabulary(start.vocabulary, encoder_path)
    require_positions(
        config, {'ict.query_length': config.ict.query_length, f'the blocks of {corpus_path}': corpus.block_length}
    )
    # A block of one sentence would be empty without it.
    blocks = np.flatnonzero(corpus.sentence_counts() >= 2)
    if len(blocks) < config.ict.batch_size:
        raise RealmError(
            f'{corpus_path} has {len(blocks)} blocks of two or more sentences, fewer than a batch '
            f'(ict.batch_size = {config.ict.batch_size}). Take a smaller batch.'
        )

    def make_batch(step: int) -> Batch:
        rows = blocks[rows_of_step(len(blocks), config.ict.batch_size, step, config.seed)]
        return inverse_cloze_batch(corpus, rows, config, generator_of_step(step, config.seed, _SENTENCES))

    # Model.
    strategy = strategy or make_strategy()
    require_shapes(config, strategy)
    require_divisible(config.ict.batch_size, 'ict.batch_size', strategy)
    with strategy.scope():
        retriever = start.retriever(config)
        optimizer = BertAdamW(named_parameters(retriever), config.ict.optimizer, config.ict.steps)
        checkpoints = Checkpoints(run / 'checkpoints', {'retriever': retriever}, optimizer)
        first_step = checkpoints.restore()
    spread_random_state([retriever], strategy)
    step = make_train_step(lambda batch: inverse_cloze_task(retriever, batch), optimizer, strategy)

    # Loop.
    run_training(
        name='ICT',
        directory=run,
        steps=config.ict.steps,
        batch_size=config.ict.batch_size,
        make_batch=make_batch,
        train_step=step,
        checkpoints=checkpoints,
        checkpoint_every=config.ict.checkpoint_every,
        first_step=first_step,
        strategy=strategy,
    )
    if not is_chief(strategy):
        return None
    return write_encoder(
        run / 'encoder',
        configuration=recipe(config, 'ict'),
        vocabulary=start.vocabulary,
        retriever=retriever,
        knowledge_augmented_encoder=start.knowledge_augmented_encoder(config),
        inputs={'corpus': corpus.artifact.digest, 'encoder': start.artifact.digest},
        step=config.ict.steps,
        overwrite=True,
    )


def inverse_cloze_task(retriever: DualEncoder, batch: Mapping[str, tf.Tensor]) -> Loss:
    """The loss of the inverse cloze task: a softmax over the documents of the global batch, those of all replicas.

    Args:
      retriever: the dual encoder.
      batch: what `inverse_cloze_batch` made, or a replica's share of it.
    """
    # [batch, projection_size], [batch * replicas, projection_size]
    queries = retriever.embed_queries(batch['query_ids'], training=True)
    own = retriever.embed_documents(batch['document_ids'], batch['document_segments'], training=True)
    documents = gathered(own)
    positives = first_gathered_row(own) + tf.range(queries.shape[0])
    per_query, correct = losses.inverse_cloze_loss(queries, documents, positives)
    return Loss(mean_of(per_query), metrics={'accuracy': mean_of(correct)})


def inverse_cloze_batch(
    corpus: BlockStore, rows: np.ndarray, config: Config, generator: np.random.Generator
) -> dict[str, np.ndarray]:
    """Makes pseudo-queries and their documents from blocks of two or more sentences.

    Args:
      corpus: the corpus.
      rows: block ids, int64 `[batch]`.
      config: the configuration.
      generator: draws the sentences, and whether they are removed.

    Returns:
      `query_ids` int32 `[batch, query_length]`; `document_ids` and `document_segments` int32 `[batch, block_length]`.
    """
    bodies = corpus.body_ids(rows).rows()
    sentence_starts = corpus.sentence_starts(rows).rows()
    queries, documents = [], []
    for body, starts in zip(bodies, sentence_starts, strict=True):
        chosen = generator.integers(len(starts))
        start, limit = np.append(starts, len(body))[chosen : chosen + 2]
        queries.append(body[start:limit])
        is_removed = generator.random() < config.ict.removal_probability
        documents.append(np.concatenate([body[:start], body[limit:]]) if is_removed else body)
    packed = pack_documents(corpus.title_ids(rows), Ragged.of(documents), corpus.block_length, corpus.vocabulary)
    return {
        'query_ids': pack_queries(Ragged.of(queries), config.ict.query_length, corpus.vocabulary),
        'document_ids': packed.token_ids,
        'document_segments': packed.segment_ids,
    }
