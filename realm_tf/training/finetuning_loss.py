"""The objective of fine-tuning, as a function of a batch on the devices."""

from collections.abc import Mapping

import tensorflow as tf
from keras import ops

from realm_tf.config import Config
from realm_tf.models import losses
from realm_tf.models.dual_encoder import DualEncoder
from realm_tf.models.span_reader import SpanReader
from realm_tf.training.replicas import mean_of
from realm_tf.training.train_step import Loss


def finetuning_loss(
    retriever: DualEncoder, reader: SpanReader | None, batch: Mapping[str, tf.Tensor], config: Config
) -> Loss:
    """The loss of retriever and reader, or of the one that is trained alone: mean over the questions.

    Args:
      retriever: the dual encoder; its document tower is trained if the index is refreshed.
      reader: the span reader; None if the retriever is trained alone.
      batch: what `FinetuningBatches` made.
      config: the configuration.

    Returns:
      The loss of a question. Metrics: both parts of it, and how many of the questions had an answer among the
      candidates, and among the blocks that are read.
    """
    blocks, num_fresh = config.finetune.reader_blocks, config.finetune.num_fresh
    trains_retriever = config.finetune.objective != 'reader'
    # [batch, projection_size]
    queries = retriever.embed_queries(batch['question_ids'], training=trains_retriever)
    # [batch, num_candidates, projection_size]
    candidates = batch['candidate_embeddings']
    if num_fresh:
        # [batch * num_fresh, projection_size]
        fresh = retriever.embed_documents(batch['fresh_ids'], batch['fresh_segments'], training=True)
        fresh = ops.reshape(fresh, (-1, num_fresh, fresh.shape[-1]))
        candidates = ops.concatenate([fresh, candidates[:, num_fresh:]], axis=1)
    # [batch, num_candidates]
    scores = ops.einsum('bd,bnd->bn', queries, candidates)
    scores = ops.where(batch['is_candidate'], scores, losses.NEVER)
    of_retriever = losses.retriever_loss(scores, batch['has_answer'])
    found = ops.cast(ops.any(batch['has_answer'], axis=1), 'float32')
    read = ops.cast(ops.any(batch['has_answer'][:, :blocks], axis=1), 'float32')
    metrics = {
        'retriever_loss': mean_of(of_retriever),
        'answer_among_candidates': mean_of(found),
        'answer_among_read': mean_of(read),
    }
    if reader is None:
        return Loss(mean_of(of_retriever), metrics)
    # [batch * blocks, length, max_answer_length]
    span_logits, is_span = reader(batch['reader_ids'], batch['reader_segments'], training=True)
    shape = (-1, blocks, *span_logits.shape[1:])
    of_reader = losses.reader_loss(
        ops.reshape(span_logits, shape), ops.reshape(is_span, shape), batch['is_gold'], scores[:, :blocks]
    )
    loss = of_retriever + of_reader if trains_retriever else of_reader
    return Loss(mean_of(loss), metrics | {'reader_loss': mean_of(of_reader)})
