"""The ablation table, ours beside the paper's."""

import statistics
from collections.abc import Mapping, Sequence

from realm_tf.ablation.rows import STALE, Row
from realm_tf.ablation.sizes import Sizes

_HEAD = """
| | exact match | 95 % interval | zero-shot recall@5 | 95 % interval | paper: exact match | paper: recall@5 |
|---|---|---|---|---|---|---|
"""


def ablation_table(rows: Sequence[Row], results: Sequence[Mapping[str, Mapping]], sizes: Sizes) -> str:
    """The table in Markdown, in percent, with the order that the paper found and the one found here.

    Args:
      rows: the rows that were made.
      results: for each seed, of each row by name: the metrics `zero_shot` and `finetuned`.
      sizes: how long the trainings were.

    Returns:
      The text. Figures are means over seeds; intervals are bootstrap intervals of the questions, at their widest over
      the seeds: they say nothing of the luck of a seed, which the standard deviation after ± does.
    """
    questions = results[0][rows[0].name]['finetuned']['questions']
    lines = [_line(row, results) for row in rows]
    orders = [
        f'By {what}, the paper: {_order({row.name: getattr(row, of_paper) for row in rows})}. '
        f'Here: {_order({row.name: _mean(row, results, part, metric) for row in rows})}.'
        for what, of_paper, part, metric in (
            ('exact match', 'exact_match', 'finetuned', 'exact_match'),
            ('recall@5', 'recall', 'zero_shot', 'recall@5'),
        )
    ]
    refreshes = _counted(sizes.refreshes_made, 'refresh', 'es')
    sentence = (
        f'{questions:,} development questions, {_counted(len(results), "seed", "s")}; '
        f'{sizes.pretraining_steps:,} steps of pre-training with {refreshes}, at most '
        f'{sizes.finetuning_steps:,} of fine-tuning.'
    )
    return f'{sentence}\n{_HEAD}' + '\n'.join(lines) + '\n\n' + '\n\n'.join(orders) + '\n'


def _line(row: Row, results: Sequence[Mapping[str, Mapping]]) -> str:
    # The paper's is refreshed 30 times more seldom; here the index of the start stays.
    cells = [f'{row.name}, never refreshed' if row.directory == STALE else row.name]
    for part, metric in (('finetuned', 'exact_match'), ('zero_shot', 'recall@5')):
        low, high = _interval(row, results, part, metric)
        cells += [_with_deviation(_values(row, results, part, metric)), f'{100 * low:.1f} – {100 * high:.1f}']
    cells += [f'{row.exact_match}', f'{row.recall}']
    return f'| {" | ".join(cells)} |'


def _values(row: Row, results: Sequence[Mapping[str, Mapping]], part: str, metric: str) -> list[float]:
    return [of_seed[row.name][part][metric] for of_seed in results]


def _mean(row: Row, results: Sequence[Mapping[str, Mapping]], part: str, metric: str) -> float:
    return statistics.mean(_values(row, results, part, metric))


def _interval(row: Row, results: Sequence[Mapping[str, Mapping]], part: str, metric: str) -> tuple[float, float]:
    intervals = [of_seed[row.name][part][f'{metric}_interval_95'] for of_seed in results]
    return min(low for low, _ in intervals), max(high for _, high in intervals)


def _with_deviation(values: Sequence[float]) -> str:
    mean = f'{100 * statistics.mean(values):.1f}'
    return mean if len(values) == 1 else f'{mean} ± {100 * statistics.stdev(values):.1f}'


def _counted(number: int, noun: str, ending: str) -> str:
    return f'{number:,} {noun}{"" if number == 1 else ending}'


def _order(values: Mapping[str, float]) -> str:
    """The names from the largest value to the smallest, equal ones joined."""
    groups: dict[float, list[str]] = {}
    for name, value in sorted(values.items(), key=lambda item: -item[1]):
        groups.setdefault(value, []).append(name)
    return ' > '.join(' = '.join(names) for names in groups.values())
