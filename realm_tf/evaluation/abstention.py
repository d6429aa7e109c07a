"""When to give no answer: how often those are right that are given with some confidence or more."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# Shares of right answers that a threshold is looked for.
PRECISIONS = (0.5, 0.6, 0.7, 0.8, 0.9)
_POINTS = 20


class Threshold(NamedTuple):
    """Answers of a confidence of at least `confidence` are given: `coverage` of all, `precision` of them right."""

    confidence: float
    coverage: float
    precision: float


def risk_coverage_curve(confidences: Sequence[float], correct: Sequence[bool]) -> list[tuple[float, float]]:
    """The share of wrong answers among the most confident ones, for twenty shares of the questions.

    Returns:
      Tuples of coverage and risk, coverage ascending to 1.
    """
    risks = 1.0 - _precisions(confidences, correct)
    places = np.unique(np.ceil(len(risks) * np.arange(1, _POINTS + 1) / _POINTS).astype(int))
    return [(float(place / len(risks)), float(risks[place - 1])) for place in places]


def area_under_curve(confidences: Sequence[float], correct: Sequence[bool]) -> float:
    """The mean risk over all coverages (AURC): the smaller, the better confidence tells right from wrong."""
    return float(np.mean(1.0 - _precisions(confidences, correct)))


def threshold_for(confidences: Sequence[float], correct: Sequence[bool], precision: float) -> float | None:
    """The lowest confidence such that so many of the answers with it or more are right; None if there is none."""
    order = _most_confident_first(confidences)
    in_order = np.asarray(confidences, np.float64)[order]
    # Answers of equal confidence are given together.
    is_last_of_equals = np.append(in_order[1:] != in_order[:-1], True)
    reached = np.flatnonzero((_precisions(confidences, correct) >= precision) & is_last_of_equals)
    return float(in_order[reached[-1]]) if len(reached) else None


def applied(threshold: float, confidences: Sequence[float], correct: Sequence[bool]) -> Threshold:
    """What a threshold does; a precision of 1 where it lets no answer through."""
    given = np.asarray(confidences, np.float64) >= threshold
    right = np.asarray(correct, bool)[given]
    return Threshold(threshold, float(given.mean()), float(right.mean()) if len(right) else 1.0)


def _most_confident_first(confidences: Sequence[float]) -> np.ndarray:
    return np.argsort(-np.asarray(confidences, np.float64), kind='stable')


def _precisions(confidences: Sequence[float], correct: Sequence[bool]) -> np.ndarray:
    """The share of right answers among the n most confident, float64 `[questions]`."""
    right = np.asarray(correct, np.float64)[_most_confident_first(confidences)]
    return np.cumsum(right) / np.arange(1, len(right) + 1)
