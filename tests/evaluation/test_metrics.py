"""Answer and retrieval metrics."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realm_tf.corpus.questions import Question
from realm_tf.evaluation.metrics import (
    bootstrap_interval,
    exact_match,
    has_answer,
    is_correct,
    normalize_answer,
    recall_at,
    regex_match,
    token_f1,
)


@pytest.mark.parametrize(
    ('text', 'normal'),
    [
        ('The  Beatles!', 'beatles'),
        ('an apple a day', 'apple day'),
        ("O'Neil-Smith", 'oneilsmith'),
        ('Montréal', 'montre\u0301al'),
        ('“quoted”', '“quoted”'),
        ('theatre', 'theatre'),
        ('.uy', 'uy'),
        ('', ''),
    ],
)
def test_normalize_answer(text, normal):
    assert normalize_answer(text) == normal


@given(st.text())
def test_normalising_squeezes_and_keeps_what_it_made(text):
    normal = normalize_answer(text)
    assert normal == ' '.join(normal.split())
    assert exact_match(normal.upper(), [normal.upper()])


def test_exact_match_takes_any_answer():
    assert exact_match('the Sun of May', ['Blue', 'Sun of May'])
    assert exact_match('Bogotá', ['Bogota\u0301'])
    assert not exact_match('Bogota', ['Bogotá'])
    assert not exact_match('Sun of', ['Sun of May'])


def test_regex_match_is_anchored_at_the_start_only():
    assert regex_match('1912 or so', ['1912'])
    assert regex_match('apollo 11', ['APOLLO (11|eleven)'])
    assert not regex_match('in 1912', ['1912'])
    assert regex_match('1912\nmore', ['1912$'])
    assert not regex_match('other', ['1912', r'\d+'])


def test_is_correct_follows_the_kind_of_the_question():
    assert is_correct('the 1912', Question('When?', ('1912',)))
    assert not is_correct('the 1912', Question('When?', ('1912',), is_regex=True))
    assert is_correct('1912 it was', Question('When?', (r'19\d\d',), is_regex=True))
    assert not is_correct('1912 it was', Question('When?', (r'19\d\d',)))


def test_token_f1():
    assert token_f1('Sun of May', ['the sun of may']) == 1.0
    assert token_f1('sun', ['sun of may']) == pytest.approx(0.5)
    assert token_f1('sun sun', ['sun moon']) == pytest.approx(0.5)
    assert token_f1('moon', ['sun', 'the moon']) == 1.0
    assert token_f1('moon', ['sun']) == 0.0
    assert token_f1('the', ['a']) == 1.0
    assert token_f1('the', ['sun']) == 0.0


@given(st.text(max_size=30), st.text(max_size=30))
def test_token_f1_is_symmetric_and_bounded(one, other):
    assert token_f1(one, [other]) == token_f1(other, [one])
    assert 0.0 <= token_f1(one, [other]) <= 1.0
    assert token_f1(one, [one]) == 1.0


def test_has_answer_is_case_sensitive_unless_a_pattern():
    assert has_answer('The capital is Montevideo.', Question('?', ('Lima', 'Montevideo')))
    assert not has_answer('MONTEVIDEO', Question('?', ('Montevideo',)))
    assert has_answer('in MONTEVIDEO', Question('?', ('montevid.o',), is_regex=True))
    assert not has_answer('montevid.o', Question('?', ('montevideo',), is_regex=True))


def test_recall_at():
    hits = np.array([[True, False, False], [False, False, True], [False, False, False], [False, True, True]])
    assert recall_at(hits, (1, 2, 3, 20)) == {1: 0.25, 2: 0.5, 3: 0.75, 20: 0.75}


def test_bootstrap_interval_is_that_of_the_mean():
    values = np.array([1.0] * 60 + [0.0] * 140)
    low, high = bootstrap_interval(values, seed=0)
    # The normal approximation: 0.3 ± 1.96 * sqrt(0.3 * 0.7 / 200).
    assert (low, high) == pytest.approx((0.3 - 0.0635, 0.3 + 0.0635), abs=0.01)
    assert (low, high) == bootstrap_interval(values, seed=0)
    narrow_low, narrow_high = bootstrap_interval(values, seed=0, confidence=0.5)
    assert low < narrow_low < 0.3 < narrow_high < high
    assert bootstrap_interval([1.0, 1.0], seed=0) == (1.0, 1.0)
