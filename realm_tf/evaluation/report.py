"""The tables of an evaluation, in Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any


def tables(metrics: Mapping[str, Any]) -> str:
    """All tables of the evaluation of a QA model."""
    parts = [
        f'{metrics["questions"]:,} questions, {metrics["answerable"]:.1%} with an answer in the corpus.',
        '## Retrieved by, all read by the same reader\n\n' + comparison_table(metrics['comparison']),
        f'A perfect reader of what the fine-tuned retriever finds would be right for {metrics["reader_oracle"]:.1%}.',
        '## By question word\n\n'
        + _table(
            ('question', 'questions', 'exact match', 'recall@5'),
            [
                (word, str(row['questions']), _percent(row['exact_match']), _percent(row['recall@5']))
                for word, row in metrics['by_question_word'].items()
            ],
        ),
        '## Risk and coverage\n\nThe share of wrong answers among the most confident ones.\n\n'
        + _table(('coverage', 'risk'), [(_percent(a), _percent(b)) for a, b in metrics['risk_coverage']]),
    ]
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
    """Recall and exact match in percent, a line for each way to retrieve."""
    documents = any('document_recall@5' in row for row in comparison.values())
    names = [f'recall@{k}' for k in (1, 5, 20, 100, 1000)]
    names += ['document_recall@5'] if documents else []
    head = ('retrieved by', *(name.replace('_', ' ') for name in names), 'exact match', '95 %', 'of summed', 'F1')
    rows = [
        (
            name,
            *(_percent(row[metric]) for metric in names),
            _percent(row['exact_match']),
            ' – '.join(f'{100 * end:.1f}' for end in row['exact_match_interval_95']),
            _percent(row['exact_match_of_summed']),
            _percent(row['f1']) if 'f1' in row else '–',
        )
        for name, row in comparison.items()
    ]
    return _table(head, rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ['---'] * len(head), *rows]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def _percent(share: float) -> str:
    return f'{100 * share:.1f}'
