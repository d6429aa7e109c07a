"""REALM pre-training: retrieve, read, fill the blank, and push probability to the documents that helped."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from etils import epath
from keras import ops

from realm_tf.artifacts import Artifact, open_artifact
from realm_tf.config import Config, recipe
from realm_tf.corpus.block_store import BlockStore
from realm_tf.corpus.span_store import SpanStore
from realm_tf.errors import RealmError
from realm_tf.models import losses
from realm_tf.models.dual_encoder import DualEncoder
from realm_tf.models.knowledge_augmented_encoder import KnowledgeAugmentedEncoder
from realm_tf.search.index import open_index
from realm_tf.search.searcher import Searcher
from realm_tf.text.packing import pack_documents, pack_queries, pack_reader_inputs
from realm_tf.training.checkpoints import Checkpoints
from realm_tf.training.generations import (
    Generation,
    collect_generations,
    forget_after,
    newest_generation,
    publish_snapshot,
)
from realm_tf.training.loop import Batch, make_train_step, run_training
from realm_tf.training.masking import MaskedQueries, mask_queries
from realm_tf.training.optimizer import BertAdamW
from realm_tf.training.refresh import builder_process
from realm_tf.training.sampling import generator_of_step, rows_of_step
from realm_tf.weights.encoder_artifact import RETRIEVER, Encoder, write_encoder
from realm_tf.weights.parameters import load_parameters, named_parameters

# The sections of the configuration that a run depends on.
RECIPE = ('pretrain', 'embed', 'index')
_MASKS = 2
# The null document's row among the candidates' block ids.
NULL_DOCUMENT = -1


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

    An index builder runs beside the training, in a process of its own: it embeds the corpus with the newest snapshot
    and publishes an index generation, and the training swaps to it at the next batch.

    Args:
      corpus_path: the knowledge corpus, which is also the pre-training corpus.
      spans_path: its salient spans.
      encoder_path: the encoder to start from.
      embeddings_path: embeddings of the corpus by this encoder.
      index_path: an index over them: the first generation.
      run: directory of the run, prepared by `prepare_run`; training goes on from its last checkpoint.
      config: the configuration.

    Raises:
      RealmError: if the inputs do not fit each other, or the builder fails.
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
    forget_after(run, first_step)

    def publish(step: int) -> None:
        publish_snapshot(run, step, retriever, corpus.vocabulary, configuration)

    if first_step:
        publish(first_step)

    # Loop.
    with builder_process(run, corpus.artifact.path) as check_builder:
        current = CurrentIndex(run, start.retriever(config), first_generation)

        def make_batch(step: int) -> Batch:
            current.swap_to_newest()
            rows = blocks[rows_of_step(len(blocks), config.pretrain.batch_size, step, config.seed)]
            generator = generator_of_step(step, config.seed, _MASKS)
            return pretraining_batch(corpus, spans, rows, current, config, generator)

        def after_step(step: int) -> Mapping[str, float]:
            check_builder()
            if step % config.pretrain.refresh_every == 0 and step < config.pretrain.steps:
                publish(step)
            return current.staleness(step)

        run_training(
            name='REALM pre-training',
            directory=run,
            steps=config.pretrain.steps,
            make_batch=make_batch,
            train_step=train_step,
            checkpoints=checkpoints,
            checkpoint_every=config.pretrain.checkpoint_every,
            first_step=first_step,
            after_step=after_step,
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


def pretraining_loss(
    retriever: DualEncoder, reader: KnowledgeAugmentedEncoder, batch: Mapping[str, tf.Tensor], config: Config
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """The masked-language-model loss with documents marginalised (REALM, section 3.3).

    Queries and candidates are embedded with the current weights and receive gradients; the index only chose the set.

    Args:
      retriever: the dual encoder.
      reader: the knowledge-augmented encoder.
      batch: what `pretraining_batch` made.
      config: the configuration.

    Returns:
      A tuple of the loss and metrics: retrieval utility, probability of the null document, and the share of masked
      wordpieces that are predicted right with documents marginalised.
    """
    num_candidates = config.pretrain.num_candidates
    batch_size = batch['query_ids'].shape[0]
    weights = batch['mask_weights']
    # [batch, projection_size], [batch, num_candidates, projection_size]
    queries = retriever.embed_queries(batch['query_ids'], training=True)
    candidates = retriever.embed_documents(batch['document_ids'], batch['document_segments'], training=True)
    candidates = ops.reshape(candidates, (batch_size, num_candidates, -1))
    # [batch, num_candidates]
    log_candidates = losses.candidate_log_probabilities(queries, candidates)
    # [batch, num_candidates, num_masks, vocabulary]
    positions = ops.repeat(batch['mask_positions'], num_candidates, axis=0)
    logits = reader(batch['joint_ids'], batch['joint_segments'], positions, training=True)
    logits = ops.reshape(logits, (batch_size, num_candidates, *logits.shape[1:]))
    # [batch, num_candidates, num_masks]
    log_gold = losses.gold_log_probabilities(logits, batch['gold_ids'])
    likelihoods = losses.marginal_log_likelihood(log_candidates, log_gold, weights, config.pretrain.marginal)
    utilities = losses.retrieval_utilities(log_gold, weights)
    # [batch, num_masks, vocabulary]
    marginal_logits = ops.logsumexp(log_candidates[:, :, None, None] + ops.log_softmax(logits, axis=3), axis=1)
    correct = ops.cast(ops.equal(ops.argmax(marginal_logits, axis=2), batch['gold_ids']), 'float32')
    masks = ops.sum(weights)
    return -ops.sum(likelihoods) / masks, {
        'retrieval_utility': ops.mean(utilities[:, 1:]),
        'null_probability': ops.mean(ops.exp(log_candidates[:, 0])),
        'accuracy': ops.sum(weights * correct) / masks,
    }


def pretraining_batch(
    corpus: BlockStore,
    spans: SpanStore,
    rows: np.ndarray,
    index: 'CurrentIndex',
    config: Config,
    generator: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Masks sentences of the blocks `rows`, retrieves their candidates, and packs both.

    Candidates are the null document, then the best blocks of the index but for the one that the sentence comes from (it
    would give the answer away: "no trivial retrieval", REALM, section 3.4).

    Returns:
      `query_ids` int32 `[batch, query_length]`; `mask_positions` and `gold_ids` int32, `mask_weights` float32,
      `[batch, max_masks]`; `document_ids` and `document_segments` int32 `[batch * num_candidates, block_length]`;
      `joint_ids` and `joint_segments` int32 `[batch * num_candidates, query_length + block_length]`.
    """
    query_length = config.pretrain.query_length
    masked = mask_queries(
        corpus,
        spans,
        rows,
        masking=config.pretrain.masking,
        max_length=query_length - 2,
        max_masks=config.pretrain.max_masks,
        generator=generator,
    )
    query_ids = pack_queries(masked.token_ids, query_length, corpus.vocabulary)
    # [batch, num_candidates - 1]
    retrieved = index.search(query_ids, config.pretrain.num_candidates - 1, exclusions=rows[:, None])
    return {'query_ids': query_ids, **_pack_candidates(corpus, masked, retrieved, query_length)}


class CurrentIndex:
    """The index generation in use, and the retriever that its documents were embedded with.

    Args:
      run: directory of the run.
      retriever: a dual encoder to load the generation's parameters into; it belongs to this object from then on.
      first: what is used until the run has a generation of its own.
    """

    def __init__(self, run: epath.Path, retriever: DualEncoder, first: Generation):
        self._run = run
        self._retriever = retriever
        self._embed = tf.function(retriever.embed_queries, reduce_retracing=True)
        self._use(newest_generation(run) or first)

    def swap_to_newest(self) -> None:
        """Swaps to the newest generation, if it is another one."""
        newest = newest_generation(self._run)
        if newest is not None and newest.step > self._generation.step:
            self._use(newest)
            collect_generations(self._run, in_use=newest.step)

    def _use(self, generation: Generation) -> None:
        self._searcher: Searcher = open_index(generation.index)
        load_parameters(self._retriever, generation.encoder / RETRIEVER)
        self._generation = generation

    def search(self, query_ids: np.ndarray, k: int, exclusions: np.ndarray) -> np.ndarray:
        """The best blocks of each query that are not excluded.

        Args:
          query_ids: packed queries, int32 `[batch, length]`.
          k: blocks a query.
          exclusions: block ids, int64 `[batch, n]`.

        Returns:
          Block ids, int64 `[batch, k]`.
        """
        embeddings = self._embed(tf.constant(query_ids)).numpy()
        return self._searcher.search_with_exclusions(embeddings, k, exclusions).block_ids

    def staleness(self, step: int) -> dict[str, float]:
        """How old the index is: in steps, and its generation's step."""
        generation = self._generation.step
        return {'generation': generation, 'staleness_steps': step - generation}


def _pack_candidates(
    corpus: BlockStore, masked: MaskedQueries, retrieved: np.ndarray, query_length: int
) -> dict[str, np.ndarray]:
    batch = len(retrieved)
    null = np.full((batch, 1), NULL_DOCUMENT)
    # [batch * num_candidates]
    candidates = np.concatenate([null, retrieved], axis=1).reshape(-1)
    num_candidates = len(candidates) // batch
    present = np.maximum(candidates, 0)
    is_block = candidates != NULL_DOCUMENT
    # Room for [CLS] and [SEP]: the released code cuts the body to it, beside a short sentence too.
    limits = np.where(is_block, corpus.block_length - 2, 0)
    titles = corpus.title_ids(present).truncated(limits)
    bodies = corpus.body_ids(present).truncated(limits)
    documents = pack_documents(titles, bodies, corpus.block_length, corpus.vocabulary)
    joint = pack_reader_inputs(
        masked.token_ids.take(np.repeat(np.arange(batch), num_candidates)),
        bodies,
        query_length + corpus.block_length,
        corpus.vocabulary,
        question_length=query_length,
    )
    return {
        'document_ids': documents.token_ids,
        'document_segments': documents.segment_ids,
        'joint_ids': joint.token_ids,
        'joint_segments': joint.segment_ids,
        # [CLS] stands before the sentence.
        'mask_positions': np.where(masked.mask_weights > 0, masked.mask_positions + 1, 0).astype(np.int32),
        'gold_ids': masked.gold_ids,
        'mask_weights': masked.mask_weights,
    }


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
