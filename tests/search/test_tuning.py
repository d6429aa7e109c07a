import numpy as np
import pytest

from realm_tf.errors import RealmError
from realm_tf.search.exact import ExactSearcher
from realm_tf.search.index import searcher_class
from realm_tf.search.partitioned import Effort
from realm_tf.search.tuning import _REORDERED_PER_BLOCK, _least, recall, tune

K = 8


@pytest.fixture(scope='module')
def vectors():
    return np.random.default_rng(0).standard_normal((20_000, 24), np.float32)


@pytest.fixture(scope='module')
def queries(vectors):
    return vectors[::100] + np.random.default_rng(1).standard_normal((200, 24), np.float32)


@pytest.fixture(scope='module')
def expected(vectors, queries):
    return ExactSearcher.build([vectors]).search(queries, K)


@pytest.mark.parametrize('name', ['scann', 'ivf'])
def test_it_looks_as_far_as_it_must_and_no_further(vectors, queries, expected, name):
    searcher = searcher_class(name).build([vectors])
    costs = []
    for wanted in (0.6, 0.8, 0.95):
        tune(searcher, queries, expected, wanted)
        effort = searcher.effort
        assert recall(expected, searcher.search(queries, K)) >= wanted
        costs.append(searcher.cost(effort))
        searcher.effort = Effort(K, effort.leaves - 1, effort.reordered)
        assert recall(expected, searcher.search(queries, K)) < wanted
    assert costs == sorted(costs) and costs[0] < costs[-1] / 2


def test_nothing_that_is_tried_is_cheaper(vectors, queries):
    searcher = searcher_class('ivf').build([vectors[:4000]])
    expected = ExactSearcher.build([vectors[:4000]]).search(queries, K)
    recalls = {}
    for reordered in sorted({min(4000, K * times) for times in _REORDERED_PER_BLOCK}):
        for leaves in range(1, searcher.num_leaves + 1):
            searcher.effort = effort = Effort(K, leaves, reordered)
            recalls[effort] = recall(expected, searcher.search(queries, K))
    for wanted in np.arange(0.5, 0.96, 0.03):
        tune(searcher, queries, expected, wanted)
        cheapest = min(searcher.cost(effort) for effort, found in recalls.items() if found >= wanted)
        assert searcher.cost(searcher.effort) == cheapest


def test_a_search_for_more_than_it_was_tuned_for_looks_further(vectors, queries, expected):
    searcher = searcher_class('ivf').build([vectors])
    tune(searcher, queries, expected, 0.9)
    leaves, reordered = searcher.effort.leaves, searcher.effort.reordered
    assert searcher.effort_for(3) == Effort(3, leaves, reordered)
    further = searcher.effort_for(2000)
    assert further.leaves >= 4 * 2000 * searcher.num_leaves / len(vectors) and further.reordered >= 2000
    assert searcher.search(queries, 2000).found.all()


def test_a_recall_out_of_reach_is_said_to_be(vectors, queries, expected):
    # In int8, the order of blocks whose scores are nearly the same is lost.
    searcher = searcher_class('scann').build([vectors], reordering='int8')
    with pytest.raises(RealmError, match=r'cannot reach recall@8 1.0, .*index.reordering'):
        tune(searcher, queries, expected, 1.0)


@pytest.mark.parametrize(
    'low, high, threshold', [(1, 1, 1), (1, 9, 9), (1, 100, 37), (5, 100, 2), (5, 6, 7), (3, 2, 0)]
)
def test_least(low, high, threshold):
    found = _least(low, high, lambda number: number >= threshold)
    assert found == (max(low, threshold) if max(low, threshold) <= high else None)
