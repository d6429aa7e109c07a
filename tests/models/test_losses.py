import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax, logsumexp

from realm_tf.models import losses


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_inverse_cloze_loss_is_the_softmax_cross_entropy_of_the_batch():
    queries, documents = random(4, 8), random(6, 8, seed=1)
    positives = np.array([0, 1, 5, 3], np.int32)
    loss, correct = losses.inverse_cloze_loss(queries, documents, positives)
    scores = queries @ documents.T
    np.testing.assert_allclose(loss, -log_softmax(scores, axis=1)[np.arange(4), positives], rtol=1e-5)
    np.testing.assert_array_equal(correct, scores.argmax(axis=1) == positives)


def test_gold_log_probabilities():
    logits, gold = random(2, 3, 4, 7), np.array([[0, 1, 2, 3], [6, 5, 4, 3]], np.int32)
    expected = np.stack([log_softmax(logits, axis=3)[b, :, np.arange(4), gold[b]].T for b in range(2)])
    np.testing.assert_allclose(losses.gold_log_probabilities(logits, gold), expected, rtol=1e-5)


@pytest.mark.parametrize('marginal', ['token', 'span'])
def test_marginal_log_likelihood_is_the_log_of_the_sum_over_documents(marginal):
    log_candidates = log_softmax(random(2, 3), axis=1)
    log_gold = -np.abs(random(2, 3, 4, seed=1))
    weights = np.array([[1, 1, 1, 0], [1, 0, 0, 0]], np.float32)
    expected = []
    for row in range(2):
        of_token = np.exp(log_candidates[row])[:, None] * np.exp(log_gold[row])
        count = int(weights[row].sum())
        if marginal == 'token':
            expected.append(np.log(of_token.sum(axis=0))[:count].sum())
        else:
            expected.append(np.log((np.exp(log_candidates[row]) * np.exp(log_gold[row, :, :count].sum(axis=1))).sum()))
    found = losses.marginal_log_likelihood(log_candidates, log_gold, weights, marginal)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_one_masked_wordpiece_makes_both_forms_equal():
    log_candidates, log_gold = log_softmax(random(3, 5), axis=1), -np.abs(random(3, 5, 1, seed=1))
    weights = np.ones((3, 1), np.float32)
    token = losses.marginal_log_likelihood(log_candidates, log_gold, weights, 'token')
    span = losses.marginal_log_likelihood(log_candidates, log_gold, weights, 'span')
    np.testing.assert_allclose(token, span, rtol=1e-6)


def test_the_null_document_has_no_utility():
    utilities = np.asarray(losses.retrieval_utilities(random(2, 3, 4), np.ones((2, 4), np.float32)))
    np.testing.assert_array_equal(utilities[:, 0], 0)
    assert np.abs(utilities[:, 1:]).min() > 0


def test_retriever_loss_is_zero_where_no_candidate_holds_the_answer():
    scores = random(2, 5)
    has_answer = np.array([[True, False, True, False, False], [False] * 5])
    found = losses.retriever_loss(scores, has_answer)
    expected = logsumexp(scores[0]) - logsumexp(scores[0, [0, 2]])
    np.testing.assert_allclose(found, [expected, 0.0], rtol=1e-5)


def test_reader_loss_is_one_softmax_over_the_spans_of_all_blocks():
    logits, scores = random(1, 2, 3, 2), random(1, 2, seed=1)
    is_span = np.ones((1, 2, 3, 2), bool)
    is_span[0, :, 2, 1] = False
    is_gold = np.zeros_like(is_span)
    is_gold[0, 1, 0, 1] = True
    joint = np.where(is_span, logits + scores[:, :, None, None], -np.inf)
    expected = logsumexp(joint) - joint[0, 1, 0, 1]
    np.testing.assert_allclose(losses.reader_loss(logits, is_span, is_gold, scores), [expected], rtol=1e-5)
    np.testing.assert_allclose(losses.reader_loss(logits, is_span, np.zeros_like(is_gold), scores), [0.0])


@pytest.mark.parametrize('num_present', [2, 0])
def test_candidates_that_are_missing_weigh_nothing_and_have_no_gradient(num_present):
    scores, has_answer = tf.constant(random(1, 4)), np.array([[True, False, False, False]])
    is_candidate = np.arange(4)[None] < num_present
    logits, is_span = tf.constant(random(1, 4, 3, 2, seed=1)), np.ones((1, 4, 3, 2), bool)
    is_gold = is_span & has_answer[:, :, None, None]
    with tf.GradientTape() as tape:
        tape.watch([scores, logits])
        masked = tf.where(is_candidate, scores, losses.NEVER)
        loss = losses.retriever_loss(masked, has_answer & is_candidate)
        loss += losses.reader_loss(logits, is_span, is_gold & is_candidate[:, :, None, None], masked)
    of_scores, of_logits = (gradient.numpy() for gradient in tape.gradient(loss, [scores, logits]))
    assert not of_scores[~is_candidate].any() and not of_logits[~is_candidate].any()
    if num_present:
        present = scores[:, :2], logits[:, :2]
        alone = losses.retriever_loss(present[0], has_answer[:, :2])
        alone += losses.reader_loss(present[1], is_span[:, :2], is_gold[:, :2], present[0])
        np.testing.assert_allclose(loss, alone, rtol=1e-6)
        assert np.isfinite(of_scores).all() and of_scores[is_candidate].all() and of_logits[is_candidate].all()
    else:
        np.testing.assert_array_equal(loss, [0.0])
