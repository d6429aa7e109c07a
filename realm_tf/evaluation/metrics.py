"""Metrics of answers and of retrieval, as the authors' and the official scripts define them."""

import collections
import re
import string
import unicodedata
from collections.abc import Sequence

import numpy as np

from realm_tf.corpus.questions import Question, compiled

_ARTICLES = re.compile(r'\b(a|an|the)\b')
_WITHOUT_PUNCTUATION = str.maketrans('', '', string.punctuation)
_QUESTION_WORDS = re.compile(r'\b(how\s+(many|much|long|old)|how|who|whom|whose|what|when|where|which|why)\b')
_RESAMPLES = 2000


def normalize_answer(text: str) -> str:
    """The text as exact match compares it: NFD, lower case, no punctuation, no articles, single spaces (SQuAD)."""
    text = unicodedata.normalize('NFD', text).lower().translate(_WITHOUT_PUNCTUATION)
    return ' '.join(_ARTICLES.sub(' ', text).split())


def exact_match(prediction: str, answers: Sequence[str]) -> bool:
    """Whether the prediction is one of the answers, both normalised."""
    return normalize_answer(prediction) in map(normalize_answer, answers)


def regex_match(prediction: str, patterns: Sequence[str]) -> bool:
    """Whether one of the patterns matches at the start of the prediction, in any case, over lines (CuratedTREC)."""
    return any(compiled(pattern).match(prediction) for pattern in patterns)


def is_correct(prediction: str, question: Question) -> bool:
    """Whether the prediction answers the question: a match of its patterns, or an exact match."""
    match = regex_match if question.is_regex else exact_match
    return match(prediction, question.answers)


def token_f1(prediction: str, answers: Sequence[str]) -> float:
    """The harmonic mean of precision and recall of the prediction's words, normalised, against the closest answer."""
    return max(_token_f1(prediction, answer) for answer in answers)


def has_answer(text: str, question: Question) -> bool:
    """Whether the text holds an answer: as it stands, case and all (the paper's rule), or as a regular expression."""
    if question.is_regex:
        return any(compiled(pattern).search(text) for pattern in question.answers)
    return any(answer in text for answer in question.answers)


def question_word(text: str) -> str:
    """The first word of a question that asks: who, what, when, where, which, why, how, how many; else `other`."""
    found = _QUESTION_WORDS.search(text.lower())
    return ' '.join(found[0].split()) if found else 'other'


def recall_at(hits: np.ndarray, ks: Sequence[int]) -> dict[int, float]:
    """The share of questions with a hit among the first k, for each k.

    Args:
      hits: whether each retrieved block holds an answer, best first, bool `[questions, k_max]`.
      ks: the numbers of blocks; one above `k_max` counts what there is, which is right if the corpus is no larger.
    """
    return {k: float(np.mean(hits[:, :k].any(axis=1))) for k in ks}


def bootstrap_interval(values: Sequence[float], seed: int, confidence: float = 0.95) -> tuple[float, float]:
    """The interval that holds the mean with this confidence: percentiles of the means of 2,000 resamples.

    Args:
      values: a value for each question, such as 0 or 1.
      seed: seed of the resampling.
      confidence: between 0 and 1.

    Returns:
      A tuple of the lower and the upper end.
    """
    values = np.asarray(values, np.float64)
    generator = np.random.default_rng(seed)
    means = [values[generator.integers(len(values), size=len(values))].mean() for _ in range(_RESAMPLES)]
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _token_f1(prediction: str, answer: str) -> float:
    predicted, expected = normalize_answer(prediction).split(), normalize_answer(answer).split()
    if not predicted or not expected:
        return float(predicted == expected)
    shared = (collections.Counter(predicted) & collections.Counter(expected)).total()
    return 2 * shared / (len(predicted) + len(expected))
