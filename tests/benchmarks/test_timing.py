"""How figures with their spread are written."""

import math

from benchmarks.timing import with_spread


def test_one_figure_has_no_spread_and_a_missing_one_is_a_dash():
    assert with_spread([1.25, 1.75, 3], digits=2) == '1.75 (1.25–3.00)'
    assert with_spread([1.5]) == '1.5'
    assert with_spread([1.5, math.nan]) == '–'
