"""The objectives of REALM, as pure functions of float32 tensors.

Each returns sums, not means, where replicas share a batch: a global mean is the sum over replicas of sums, divided by a
global count.
"""

from keras import ops

# Stands for log 0 where a set is masked: finite, so that gradients are too.
NEVER = -1e30


def inverse_cloze_loss(queries, documents, positives):
    """The in-batch softmax of the inverse cloze task (ORQA, section 5).

    Args:
      queries: `[batch, dimension]`.
      documents: `[num_documents, dimension]`, those of the global batch.
      positives: int32 `[batch]`, the document each query was taken from.

    Returns:
      A tuple of the loss of each query, `[batch]`, and whether its document scored best, bool `[batch]`.
    """
    # [batch, num_documents]
    scores = ops.matmul(queries, ops.transpose(documents))
    positive_scores = ops.take_along_axis(scores, positives[:, None], axis=1)[:, 0]
    losses = ops.logsumexp(scores, axis=1) - positive_scores
    return losses, ops.equal(ops.cast(ops.argmax(scores, axis=1), positives.dtype), positives)


def candidate_log_probabilities(queries, candidates):
    """log p(z | x) over the candidates of each query (REALM, equation 2, restricted to the top documents).

    Args:
      queries: `[batch, dimension]`.
      candidates: `[batch, num_candidates, dimension]`.

    Returns:
      `[batch, num_candidates]`.
    """
    return ops.log_softmax(ops.einsum('bd,bkd->bk', queries, candidates), axis=1)


def gold_log_probabilities(logits, gold_ids):
    """log p(y_m | x, z_k) of the gold wordpieces.

    Args:
      logits: `[batch, num_candidates, num_masks, vocabulary]`.
      gold_ids: int32 `[batch, num_masks]`.

    Returns:
      `[batch, num_candidates, num_masks]`.
    """
    num_candidates = logits.shape[1]
    # [batch, num_candidates, num_masks, 1]
    gold = ops.repeat(gold_ids[:, None, :, None], num_candidates, axis=1)
    return ops.take_along_axis(logits, gold, axis=3)[..., 0] - ops.logsumexp(logits, axis=3)


def marginal_log_likelihood(log_candidates, log_gold, weights, marginal='token'):
    """The likelihood of the masked wordpieces, documents marginalised (REALM, equation 1).

    Args:
      log_candidates: log p(z | x), `[batch, num_candidates]`.
      log_gold: log p(y_m | x, z), `[batch, num_candidates, num_masks]`.
      weights: 1 for a masked position, 0 for padding, `[batch, num_masks]`.
      marginal: `'token'`: every wordpiece is marginalised by itself (the released code); `'span'`: the wordpieces are
        multiplied before the sum over documents (the paper's formula).

    Returns:
      The sum over the masked positions of each row, `[batch]`.
    """
    if marginal == 'token':
        # [batch, num_masks]
        likelihoods = ops.logsumexp(log_candidates[:, :, None] + log_gold, axis=1)
        return ops.sum(weights * likelihoods, axis=1)
    # [batch, num_candidates]
    of_span = ops.sum(weights[:, None, :] * log_gold, axis=2)
    return ops.logsumexp(log_candidates + of_span, axis=1)


def retrieval_utilities(log_gold, weights):
    """RU_k = log p(y | x, z_k) − log p(y | x, ∅) (REALM, equation 5); the null document is candidate 0.

    Args:
      log_gold: `[batch, num_candidates, num_masks]`.
      weights: `[batch, num_masks]`.

    Returns:
      `[batch, num_candidates]`; 0 for the null document.
    """
    of_span = ops.sum(weights[:, None, :] * log_gold, axis=2)
    return of_span - of_span[:, :1]


def retriever_loss(scores, has_answer):
    """The retriever's part of fine-tuning: probability of a block that holds the answer (ORQA, section 6).

    Args:
      scores: `[batch, num_candidates]`.
      has_answer: bool `[batch, num_candidates]`.

    Returns:
      The loss of each question, `[batch]`; 0 where no candidate holds the answer.
    """
    return _negative_log_share(scores, has_answer)


def reader_loss(span_logits, is_span, is_gold, scores):
    """The reader's part of fine-tuning: one softmax over the spans of all blocks, the block's score in each.

    Args:
      span_logits: `[batch, blocks, length, max_answer_length]`.
      is_span: bool of the same shape: the span lies in the block.
      is_gold: bool of the same shape: the span is an answer.
      scores: the retriever's scores of the blocks, `[batch, blocks]`.

    Returns:
      The loss of each question, `[batch]`; 0 where no span is an answer.
    """
    shape = ops.shape(span_logits)
    joint = ops.where(is_span, span_logits + scores[:, :, None, None], NEVER)
    gold = ops.logical_and(is_span, is_gold)
    return _negative_log_share(ops.reshape(joint, (shape[0], -1)), ops.reshape(gold, (shape[0], -1)))


def _negative_log_share(scores, is_wanted):
    """−log of the share of softmax(scores) that is on the wanted; 0 where none is wanted."""
    wanted = ops.logsumexp(ops.where(is_wanted, scores, NEVER), axis=1)
    return ops.where(ops.any(is_wanted, axis=1), ops.logsumexp(scores, axis=1) - wanted, 0.0)
