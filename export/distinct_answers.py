"""Distinct answers in the graph: spans that exact match takes for the same are one answer."""

import tensorflow as tf
import tensorflow_text

# What Python's `\w` is to RE2, and what `str.split` splits at.
_WORD = r'\p{L}\p{N}_'
_SPACES = r'[\x{9}-\x{d}\x{1c}-\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]+'
_PUNCTUATION = r'[!-/:-@\[-`{-~]'
_ARTICLE = rf'(^|[^{_WORD}])(?:a|an|the)($|[^{_WORD}])'


def normalize_answers(texts: tf.Tensor) -> tf.Tensor:
    """The texts as exact match compares them: the twin of `realm_tf.evaluation.metrics.normalize_answer`."""
    texts = tf.strings.lower(tensorflow_text.normalize_utf8(texts, 'NFD'), encoding='utf-8')
    texts = tf.strings.regex_replace(texts, _PUNCTUATION, '')
    for _ in range(2):
        # Two articles in a row share what is between them: the second is found the second time.
        texts = tf.strings.regex_replace(texts, _ARTICLE, r'\1 \2')
    return tf.strings.strip(tf.strings.regex_replace(texts, _SPACES, ' '))


def most_probable(answers: tf.Tensor, scores: tf.Tensor, totals: tf.Tensor, number: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Sums the probabilities of spans whose words are the same after normalisation.

    Args:
      answers: words of spans, `[batch, spans]`, equals in the order in which they are to stand for each other.
      scores: their logits, float32 `[batch, spans]`, descending; -inf where there is no span.
      totals: the log of the sum of exp(score) over all spans, float32 `[batch]`.
      number: of answers wanted.

    Returns:
      A tuple of which span is the best of each answer, int32, and the answer's probability, float32,
      `[batch, number]`, the most probable first; 0 for the latter where there are fewer.
    """
    # [batch, spans]
    normal = normalize_answers(answers)
    keys = tf.where(tf.equal(normal, ''), answers, normal)
    probabilities = tf.exp(scores - totals[:, tf.newaxis])
    probabilities = tf.where(tf.math.is_finite(scores), probabilities, 0.0)
    # [batch, spans, spans]
    same = tf.equal(keys[:, :, tf.newaxis], keys[:, tf.newaxis])
    sums = tf.linalg.matvec(tf.cast(same, tf.float32), probabilities)
    is_best = tf.equal(tf.argmax(same, axis=2, output_type=tf.int32), tf.range(tf.shape(keys)[1]))
    sums = tf.where(is_best & tf.math.is_finite(scores), sums, 0.0)
    missing = tf.maximum(number - tf.shape(sums)[1], 0)
    best, places = tf.math.top_k(tf.pad(sums, [[0, 0], [0, missing]]), number)
    return tf.minimum(places, tf.shape(answers)[1] - 1), best
