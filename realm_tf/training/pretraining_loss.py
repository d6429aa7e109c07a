"""The objective of REALM pre-training, as a function of a batch on the devices."""

from collections.abc import Mapping

import tensorflow as tf
from keras import ops

from realm_tf.config import Config
from realm_tf.models import losses
from realm_tf.models.dual_encoder import DualEncoder
from realm_tf.models.knowledge_augmented_encoder import KnowledgeAugmentedEncoder
from realm_tf.training.replicas import Average, mean_of
from realm_tf.training.train_step import Loss


def pretraining_loss(
    retriever: DualEncoder, reader: KnowledgeAugmentedEncoder, batch: Mapping[str, tf.Tensor], config: Config
) -> Loss:
    """The masked-language-model loss with documents marginalised (REALM, section 3.3).

    Queries and candidates are embedded with the current weights and receive gradients; the index only chose the set.

    Args:
      retriever: the dual encoder.
      reader: the knowledge-augmented encoder.
      batch: what `PretrainingBatches` made.
      config: the configuration.

    Returns:
      The loss of a masked wordpiece. Metrics: retrieval utility, its mean over all retrieved candidates and for each of
      their ranks, the probability of the null document, and the share of masked wordpieces that are predicted right
      with documents marginalised.
    """
    num_candidates = config.pretrain.num_candidates
    batch_size = batch['query_ids'].shape[0]
    # [batch, num_masks]
    weights = ops.cast(batch['mask_weights'], 'float32')
    # [batch, projection_size], [batch * num_candidates, projection_size]
    queries = retriever.embed_queries(batch['query_ids'], training=True)
    embedded = retriever.embed_documents(batch['document_ids'], batch['document_segments'], training=True)
    candidates = ops.reshape(embedded, (batch_size, num_candidates, -1))
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
    return Loss(
        Average(-ops.sum(likelihoods), masks),
        metrics={
            'retrieval_utility': mean_of(utilities[:, 1:]),
            **{f'retrieval_utility/rank_{rank}': mean_of(utilities[:, rank]) for rank in range(1, num_candidates)},
            'null_probability': mean_of(ops.exp(log_candidates[:, 0])),
            'accuracy': Average(ops.sum(weights * correct), masks),
        },
    )
