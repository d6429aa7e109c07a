"""The tables of an evaluation, in Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

_HEADS = {'exact_match_interval_95': '95 %', 'exact_match_of_summed': 'of summed', 'f1': 'F1'}


def tables(metrics: Mapping[str, Any]) -> str:
    """All tables of the evaluation of a QA model; of its retrieval alone where nothing was read."""
    answers = 'exact_match' in metrics
    measured = ('exact_match', 'recall@5') if answers else ('recall@5',)
    parts = [
        f'{metrics["questions"]:,} questions, {metrics["answerable"]:.1%} with an answer in the corpus.',
        f'## Retrieved by{", all read by the same reader" if answers else ""}\n\n'
        + comparison_table(metrics['comparison']),
    ]
    if answers:
        oracle = f'{metrics["reader_oracle"]:.1%}'
        parts.append(f'A perfect reader of what the fine-tuned retriever finds would be right for at least {oracle}.')
    parts.append(
        '## By question word\n\n'
        + _table(
            ('question', 'questions', *(name.replace('_', ' ') for name in measured)),
            [
                (word, str(row['questions']), *(_percent(row[name]) for name in measured))
                for word, row in metrics['by_question_word'].items()
            ],
        )
    )
    if answers:
        parts.append(
            '## Risk and coverage\n\nThe share of wrong answers among the most confident ones.\n\n'
            + _table(('coverage', 'risk'), [(_percent(a), _percent(b)) for a, b in metrics['risk_coverage']])
        )
    if 'abstention' in metrics:
        head = ('right, wanted', 'confidence at least', 'answered, development', 'answered', 'right')
        names = ('development_coverage', 'coverage', 'precision')
        rows = [
            (
                _percent(row['wanted_precision']),
                'never reached' if row['threshold'] is None else f'{row["threshold"]:.3f}',
                *('–' if row[name] is None else _percent(row[name]) for name in names),
            )
            for row in metrics['abstention']
        ]
        parts.append('## No answer below a confidence chosen on the development questions\n\n' + _table(head, rows))
    return '\n\n'.join(parts) + '\n'


def comparison_table(comparison: Mapping[str, Mapping[str, Any]]) -> str:
    """Recall, and where blocks were read exact match, in percent; a line for each way to retrieve."""
    measured = {name for row in comparison.values() for name in row}
    columns = [
        *(f'recall@{k}' for k in (1, 5, 20, 100, 1000)),
        *(f'document_recall@{k}' for k in (1, 5, 20)),
        'exact_match',
        'exact_match_interval_95',
        'exact_match_of_summed',
        'f1',
    ]
    columns = [column for column in columns if column in measured]
    head = ('retrieved by', *(_HEADS.get(column, column.replace('_', ' ')) for column in columns))
    rows = [(name, *(_shown(row[column]) for column in columns)) for name, row in comparison.items()]
    return _table(head, rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ['---'] * len(head), *rows]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def _percent(share: float) -> str:
    return f'{100 * share:.1f}'


def _shown(share: float | Sequence[float]) -> str:
    """A share in percent, or the two ends of an interval."""
    return _percent(share) if isinstance(share, float) else ' – '.join(map(_percent, share))
