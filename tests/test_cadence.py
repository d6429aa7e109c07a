import pytest
from hypothesis import given
from hypothesis import strategies as st

from realm_tf.cadence import Cadence


@st.composite
def schedules(draw):
    """The lengths of the phases but the last, and the steps between two occurrences in each."""
    lengths = draw(st.lists(st.integers(1, 50), max_size=4))
    return lengths, draw(st.lists(st.integers(1, 20), min_size=len(lengths) + 1, max_size=len(lengths) + 1))


def written(lengths, every):
    text, first = [], 0
    for length, steps in zip(lengths, every, strict=False):
        text.append(f'{first}-{first + length}:{steps}')
        first += length
    return ','.join([*text, f'{first}-:{every[-1]}'])


def steps_by_counting(lengths, every, until):
    """The steps of the schedule, one phase after the other."""
    steps, first = [], 0
    for length, between in zip([*lengths, until + 1], every, strict=True):
        steps += range(first, first + length, between)
        first += length
    return [step for step in steps if 0 < step <= until]


@given(schedules())
def test_a_schedule_happens_when_its_phases_say(schedule):
    lengths, every = schedule
    cadence = Cadence.parse(written(lengths, every))
    expected = steps_by_counting(lengths, every, until=300)
    assert [step for step in range(301) if cadence.includes(step)] == expected
    assert cadence.longest == max(every)


@given(schedules(), st.integers(0, 300))
def test_the_last_step_is_the_newest_that_it_includes(schedule, step):
    cadence = Cadence.parse(written(*schedule))
    assert cadence.last(step) == max((earlier for earlier in range(step + 1) if cadence.includes(earlier)), default=0)
    # No more steps lie between two than its phases say.
    assert step - cadence.last(step) < cadence.longest


@given(st.integers(1, 1000))
def test_a_number_is_a_schedule_of_one_phase(number):
    assert Cadence.parse(number) == Cadence.parse(str(number)) == Cadence.parse(f'0-:{number}')


def test_the_schedule_of_the_documentation():
    cadence = Cadence.parse('0-2000:200, 2000-:500')
    assert [step for step in range(3001) if cadence.includes(step)] == [*range(200, 2001, 200), 2500, 3000]


@pytest.mark.parametrize(
    ('text', 'sentence'),
    [
        ('often', "'often' is neither a number of steps nor a phase"),
        ('-3', "'-3' is neither"),
        ('', "'' is neither"),
        ('0-2000:200,', "'' is neither"),
        (0, 'at least one step'),
        ('0-:0', 'at least one step'),
        ('10-:5', 'must begin at step 0'),
        ('0-20:5,30-:5', "'30-:5' must begin at step 20"),
        ('0-20:5,10-:5', "'10-:5' must begin at step 20"),
        ('0-0:5,0-:5', 'ends before it begins'),
        ('0-:5,10-:5', "the phase before '10-:5' has no end"),
        ('0-20:5', 'the last phase must have no end: write 0-:5'),
    ],
)
def test_what_is_wrong_with_a_schedule_is_said(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        Cadence.parse(text)
