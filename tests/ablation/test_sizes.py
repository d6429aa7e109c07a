"""Sizes that fit a budget."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realm_tf.ablation.rows import ROWS, STALER, TRAININGS, rows_named, trainings_of
from realm_tf.ablation.sizes import Costs, Sizes, choose_sizes
from realm_tf.cadence import STEPS_AHEAD, Cadence
from realm_tf.errors import RealmError

seconds = st.floats(0.01, 100)


def total(costs, sizes, seeds):
    """The seconds of everything, counted from the sizes."""
    of_training = sizes.pretraining_steps * costs.pretraining_step
    of_row = sizes.finetuning_steps * costs.finetuning_step + costs.embedding + costs.evaluation
    refreshes = sizes.refreshes * (len(TRAININGS) - 1) * costs.embedding
    return seeds * (len(TRAININGS) * of_training + refreshes + len(ROWS) * of_row)


@given(costs=st.builds(Costs, seconds, seconds, seconds, seconds), hours=st.floats(0.01, 1000), seeds=st.integers(1, 5))
def test_a_budget_is_filled_and_not_exceeded_or_refused(costs, hours, seeds):
    try:
        sizes = choose_sizes(costs, hours, seeds, ROWS)
    except RealmError as error:
        # What it says would do does, with the rounding of what is printed.
        needed = float(str(error).partition('it takes about ')[2].partition('. Take')[0])
        choose_sizes(costs, needed + 0.05 + 2 * seeds * costs.embedding / 3600, seeds, ROWS)
        return
    spent = total(costs, sizes, seeds)
    assert spent <= 3600 * hours * (1 + 1e-9)
    # What is left is less than one more step of each pre-training.
    assert 3600 * hours - spent <= seeds * len(TRAININGS) * costs.pretraining_step * (1 + 1e-9)
    assert 1 <= sizes.refreshes <= STALER


@given(steps=st.integers(20, 3000), refreshes=st.integers(1, STALER))
def test_no_more_refreshes_are_made_than_were_chosen(steps, refreshes):
    sizes = Sizes(steps, refreshes, 20)
    cadence = Cadence.parse(sizes.refresh_every)
    made = sum(cadence.includes(step) for step in range(1, steps - STEPS_AHEAD + 1))
    assert made == sizes.refreshes_made <= refreshes


def test_a_row_without_a_training_needs_no_refresh():
    dear = Costs(pretraining_step=1, finetuning_step=1, embedding=1000, evaluation=1)
    with pytest.raises(RealmError, match='with one refresh'):
        choose_sizes(dear, 0.5, 1, rows_named(['realm']))
    assert choose_sizes(dear, 0.5, 1, rows_named(['start'])).finetuning_steps >= 20


def test_a_budget_that_is_too_small_says_what_would_do():
    with pytest.raises(RealmError, match=r'0\.01 hours are too few on this machine: .* about 0\.1\.'):
        choose_sizes(Costs(1, 1, 10, 10), 0.01, 1, ROWS)


def test_rows_are_named_and_need_what_they_need():
    assert rows_named([]) == ROWS and trainings_of(ROWS) == set(TRAININGS)
    rows = rows_named(['start', 'reset-retriever'])
    assert [row.directory for row in rows] == ['reset-retriever', 'start'] and trainings_of(rows) == {'realm'}
    with pytest.raises(RealmError, match=r'There is no row relm\. The rows are realm, reset-encoder'):
        rows_named(['relm'])
