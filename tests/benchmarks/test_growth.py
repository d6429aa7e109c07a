"""The exponent of a cost, and what a part of the measurement needs."""

import pytest
from click.testing import CliRunner

from benchmarks.growth import Growth, draw, main


def test_the_exponent_is_that_of_a_power():
    assert Growth('a', 'b', (1, 2, 4), (3, 12, 48)).exponent == pytest.approx(2)


def test_what_shares_processors_is_not_in_the_exponent():
    growth = Growth('embedding', 'workers', (1, 2, 4, 8), (8, 4, 4, 4), 2)
    assert growth.exponent == pytest.approx(-1)
    assert growth.row() == '| embedding | workers | 1, 2, 4, 8 | 8, 4, 4, 4 | -1.00 |'


def test_every_row_is_drawn(tmp_path):
    rows = [Growth('encoder', 'batch', (1, 2, 4), (3, 12, 48)), Growth('embedding', 'workers', (1, 2, 4), (8, 4, 4), 2)]
    draw(rows, tmp_path / 'growth.svg')
    drawn = (tmp_path / 'growth.svg').read_text()
    assert 'encoder, by batch: 2.00' in drawn and 'embedding, by workers: -1.00' in drawn


@pytest.mark.parametrize(('part', 'option'), [('search', '--vectors'), ('workers', '--corpus')])
def test_a_part_says_what_it_needs(part, option):
    result = CliRunner().invoke(main, ['--part', part])
    assert result.exit_code == 2 and f'{part} needs {option}.' in result.output
