"""Distinct answers in the graph are those of the host."""

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies

from export.distinct_answers import most_probable, normalize_answers
from realm_tf.evaluation.metrics import normalize_answer

# Of letters, marks, numbers, punctuation and spaces that one of the two could take for another.
CHARACTERS = strategies.one_of(
    strategies.sampled_from("aAtThHeEnN .,-_'’«»\t\n\x0b\x1c\x1f\x85\xa0\u2003\u3000éÉàßſİıΣςǅ½²٣Ⅷ日ー\u0301\u200d"),
    strategies.characters(codec='utf-8'),
)
WORDS = strategies.sampled_from(['a', 'an', 'the', 'The', 'A', ' ', '  ', '-', 'é', 'à', 'other', "a'", 'ana', '_a'])


@pytest.mark.parametrize('texts', [CHARACTERS, WORDS], ids=['characters', 'words'])
def test_texts_are_normalised_as_on_the_host(texts):
    @hypothesis.settings(max_examples=300)
    @hypothesis.given(strategies.lists(strategies.lists(texts, max_size=12).map(''.join), min_size=1, max_size=8))
    def check(texts):
        # As objects: NumPy takes zeros from the end of other texts.
        encoded = np.array([text.encode() for text in texts], object)
        found = [text.decode() for text in normalize_answers(tf.constant(encoded)).numpy()]
        assert found == [normalize_answer(text) for text in texts]

    check()


@hypothesis.given(strategies.data())
def test_probabilities_of_the_same_answer_are_summed(data):
    answers = strategies.lists(strategies.sampled_from(['Paris', 'paris.', 'the Paris', 'Rome', '?', '!']), min_size=1)
    words = data.draw(answers)
    finite = data.draw(strategies.lists(strategies.floats(-5, 5), min_size=len(words), max_size=len(words)))
    scores = np.sort(np.array(finite, np.float32))[::-1].copy()
    number_there = data.draw(strategies.integers(0, len(words)))
    scores[number_there:] = -np.inf
    total = np.log(np.exp(scores).sum() + 1)
    number = data.draw(strategies.integers(1, 5))
    expected: dict[str, list] = {}
    for place, (word, score) in enumerate(zip(words[:number_there], scores, strict=False)):
        sums = expected.setdefault(normalize_answer(word) or word, [place, 0.0])
        sums[1] += np.exp(score - total)
    expected = sorted(expected.values(), key=lambda pair: -pair[1])[:number]
    places, probabilities = most_probable(
        tf.constant([words]), tf.constant([scores]), tf.constant([total], tf.float32), number
    )
    assert places.shape == probabilities.shape == (1, number)
    np.testing.assert_allclose(
        probabilities[0], [pair[1] for pair in expected] + [0] * (number - len(expected)), rtol=1e-4
    )
    for place, (expected_place, probability), found in zip(places[0], expected, probabilities[0], strict=False):
        # Equal probabilities may come in either order.
        same = [pair[0] for pair in expected if np.isclose(pair[1], probability, rtol=1e-4)]
        assert int(place) in same or (np.isclose(found, probability, rtol=1e-4) and expected_place in same)
