"""How fast ours is beside peers is read from tables as they are printed."""

import pathlib

from benchmarks.ratios import Ratio, ratios_by_table

TEXT = """
# Benchmarks

## A step

| step | blocks | ours, s | peer, s | times as fast as the peer |
|---|---|---|---|---|
| first | 20,000 | 2.0 (1.9–2.1) | 3.0 | 1.50 (1.40–1.60) |
| second | 200,000 | – | – | – |
| third | 10 | 2.0 | 1.0 | 0.50; by the processor 0.60 |

| step | ours, s |
|---|---|
| a table without a peer | 1 |

| step | ours, s | times as fast as the peer |
|---|---|---|
| first | 1 | 3 |

## Another

| workers | ours, s | times as fast as PyTorch |
|---|---|---|
| 2 | 1 | 2.0 (1–3) |
"""


def test_every_row_with_a_ratio_is_found_with_its_name_and_spread():
    assert dict(ratios_by_table(TEXT)) == {
        'A step': [Ratio('first, blocks: 20,000', 1.5, 1.4, 1.6), Ratio('third, blocks: 10', 0.5, 0.5, 0.5)],
        'A step (2)': [Ratio('first', 3, 3, 3)],
        'Another': [Ratio('workers: 2', 2, 1, 3)],
    }


def test_the_benchmarks_of_the_documentation_are_in_its_picture():
    tables = dict(ratios_by_table(pathlib.Path('docs/benchmarks.md').read_text()))
    headings = {'encoder', 'training step', 'question', 'Embedding', 'dump'}
    assert all(any(heading in found for found in tables) for heading in headings)
