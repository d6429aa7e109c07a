"""The ablation table."""

from realm_tf.ablation.rows import ROWS
from realm_tf.ablation.sizes import Sizes
from realm_tf.ablation.table import ablation_table


def results(exact_match, recall):
    """Metrics of every row, each a point better than the row before."""
    return {
        row.name: {
            'zero_shot': {'recall@5': recall + number / 100, 'recall@5_interval_95': [0.1, 0.2]},
            'finetuned': {
                **{'questions': 1234, 'exact_match': exact_match + number / 100},
                'exact_match_interval_95': [0.3, 0.4],
            },
        }
        for number, row in enumerate(ROWS)
    }


def test_a_table_of_one_seed():
    table = ablation_table(ROWS, [results(0.2, 0.3)], Sizes(500, 5, 100))
    assert '1,234 development questions, 1 seed; 500 steps of pre-training with 5 refreshes' in table
    assert '| REALM | 20.0 | 30.0 – 40.0 | 30.0 | 10.0 – 20.0 | 38.2 | 38.5 |' in table
    assert '| stale index, never refreshed | 26.0 | 30.0 – 40.0 | 36.0 | 10.0 – 20.0 | 28.7 | 15.1 |' in table
    by_recall = table.splitlines()[-1]
    assert 'the paper: REALM = REALM retriever, baseline encoder > random spans masked > random wordpieces' in by_recall
    assert 'Here: stale index > random spans masked > random wordpieces masked > baseline >' in by_recall


def test_a_table_of_several_seeds_has_means_and_deviations():
    table = ablation_table(ROWS, [results(0.2, 0.3), results(0.4, 0.3)], Sizes(500, 5, 100))
    assert '| REALM | 30.0 ± 14.1 |' in table and '| 30.0 ± 0.0 |' in table
