"""Every searcher through the same tests, against brute force in numpy."""

import builtins
import pathlib
import subprocess
import sys

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies
from hypothesis.extra import numpy as hypothesis_numpy

from realm_tf.environment import import_scann
from realm_tf.errors import RealmError
from realm_tf.search import scann_searcher
from realm_tf.search.exact import ExactSearcher
from realm_tf.search.index import searcher_class

DIMENSION = 32


def clustered(num_blocks, seed=0):
    random = np.random.default_rng(seed)
    centres = random.standard_normal((60, DIMENSION), np.float32)
    return centres[random.integers(60, size=num_blocks)] + 0.5 * random.standard_normal(
        (num_blocks, DIMENSION), np.float32
    )


def brute_force(vectors, queries, k):
    scores = queries @ vectors.T
    block_ids = np.argsort(-scores, axis=1, kind='stable')[:, :k]
    return np.take_along_axis(scores, block_ids, axis=1), block_ids


@pytest.fixture(scope='module')
def vectors():
    return clustered(3000)


@pytest.fixture(scope='module')
def queries(vectors):
    return vectors[::100] + 0.1 * np.random.default_rng(1).standard_normal((30, DIMENSION), np.float32)


@pytest.fixture(scope='module', params=['exact', 'scann', 'scann without a tree', 'ivf', 'tpu'])
def built(request, vectors):
    """A searcher over uneven shards, and the vectors in it."""
    if request.param == 'scann without a tree':
        vectors = vectors[:500]
    shards = [vectors[:100], vectors[100:100], vectors[100:]]
    return searcher_class(request.param.split()[0]).build(shards), vectors


def test_finds_what_brute_force_finds(built, queries):
    searcher, vectors = built
    result = searcher.search(queries, 8)
    scores, block_ids = brute_force(vectors, queries, 8)
    assert result.scores.dtype == np.float32 and result.block_ids.dtype == np.int64 and result.found.all()
    if searcher.is_exact:
        np.testing.assert_array_equal(result.block_ids, block_ids)
        np.testing.assert_allclose(result.scores, scores, rtol=1e-5)
    recall = (result.block_ids[:, :, None] == block_ids[:, None, :]).any(axis=-1).mean()
    assert recall > 0.97


def test_which_searchers_are_exact(vectors):
    names = ('exact', 'scann', 'ivf', 'tpu')
    is_exact = {name: searcher_class(name).build([vectors]).is_exact for name in names}
    assert is_exact == {'exact': True, 'scann': False, 'ivf': False, 'tpu': False}
    assert searcher_class('scann').build([vectors[:500]]).is_exact


def test_scores_are_inner_products_and_best_first(built, queries):
    searcher, vectors = built
    result = searcher.search(queries, 20)
    # [batch, k]
    scores = np.einsum('bd,bkd->bk', queries, vectors[result.block_ids])
    np.testing.assert_allclose(result.scores, scores, rtol=1e-4, atol=1e-4)
    assert (np.diff(result.scores, axis=1) <= 0).all()


def test_knows_its_size(built):
    searcher, vectors = built
    assert (len(searcher), searcher.dimension) == vectors.shape


def test_exclusions_are_left_out_and_the_rest_is_unchanged(built, queries):
    searcher, _ = built
    free = searcher.search(queries, 10)
    exclusions = np.concatenate([free.block_ids[:, [0, 3]], np.full((len(queries), 1), -1)], axis=1)
    result = searcher.search_with_exclusions(queries, 8, exclusions)
    np.testing.assert_array_equal(result.block_ids, np.delete(free.block_ids, [0, 3], axis=1))
    np.testing.assert_array_equal(result.scores, np.delete(free.scores, [0, 3], axis=1))
    assert result.found.all()


def test_everything_excluded_leaves_nothing(queries):
    for name in ('exact', 'scann', 'ivf', 'tpu'):
        searcher = searcher_class(name).build([clustered(3)])
        result = searcher.search_with_exclusions(queries, 2, np.tile([2, 0, 1], (len(queries), 1)))
        assert not result.found.any() and (result.block_ids == -1).all() and np.isneginf(result.scores).all()


def test_more_than_there_are_is_padded(queries):
    vectors = clustered(5)
    for name in ('exact', 'scann', 'ivf', 'tpu'):
        result = searcher_class(name).build([vectors]).search(queries, 9)
        assert result.scores.shape == result.block_ids.shape == result.found.shape == (len(queries), 9)
        np.testing.assert_array_equal(result.block_ids[:, :5], brute_force(vectors, queries, 5)[1])
        assert result.found[:, :5].all() and not result.found[:, 5:].any()
        assert (result.block_ids[:, 5:] == -1).all() and np.isneginf(result.scores[:, 5:]).all()


def test_as_many_as_there_are_are_all_found(built, queries):
    searcher, vectors = built
    result = searcher.search(queries, len(vectors))
    for row in result.block_ids:
        np.testing.assert_array_equal(np.sort(row), np.arange(len(vectors)))


@pytest.mark.parametrize('k', [1, 8, 700, 2000, 4000])
def test_nan_and_ids_of_nothing_never_come_out(built, k):
    searcher, vectors = built
    # Opposite to every block, and zero: hard for a tree.
    queries = np.stack([-vectors.sum(axis=0), np.zeros(DIMENSION, np.float32), vectors[0]])
    result = searcher.search(queries, k)
    assert not np.isnan(result.scores).any()
    np.testing.assert_array_equal(result.found, np.isfinite(result.scores))
    np.testing.assert_array_equal(result.found, result.block_ids >= 0)
    for row in result.block_ids:
        assert len(np.unique(row[row >= 0])) == (row >= 0).sum()


def test_loads_from_another_working_directory_with_the_same_results(built, queries, tmp_path, monkeypatch):
    searcher, _ = built
    (tmp_path / 'here').mkdir()
    (tmp_path / 'elsewhere').mkdir()
    monkeypatch.chdir(tmp_path)
    searcher.save('here')
    (tmp_path / 'here').rename(tmp_path / 'moved')
    monkeypatch.chdir(tmp_path / 'elsewhere')
    loaded = type(searcher).load('../moved')
    assert (len(loaded), loaded.dimension, loaded.is_exact) == (len(searcher), searcher.dimension, searcher.is_exact)
    for k in (8, 400):
        for expected, found in zip(searcher.search(queries, k), loaded.search(queries, k), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_building_and_saving_twice_gives_the_same_bytes(vectors, tmp_path):
    for name in ('exact', 'scann', 'ivf', 'tpu'):
        written = []
        for attempt in range(2):
            directory = tmp_path / f'{name}-{attempt}'
            directory.mkdir()
            searcher_class(name).build([vectors]).save(directory)
            written.append({file.name: file.read_bytes() for file in directory.iterdir()})
        assert written[0] == written[1]


def test_no_queries_give_no_rows(built):
    searcher, _ = built
    assert searcher.search(np.zeros((0, DIMENSION), np.float32), 3).block_ids.shape == (0, 3)


def test_errors_say_what_to_change(built, queries):
    searcher, _ = built
    with pytest.raises(RealmError, match=r'shape \[30, 7\] do not fit this index of 32-dimensional'):
        searcher.search(queries[:, :7], 3)
    with pytest.raises(RealmError, match='k is 0'):
        searcher.search(queries, 0)
    with pytest.raises(RealmError, match='30 queries came with exclusions of shape'):
        searcher.search_with_exclusions(queries, 3, np.array([1, 2]))
    diverged = queries.copy()
    diverged[4, 2] = np.nan
    with pytest.raises(RealmError, match='Query 4 of the batch is not finite'):
        searcher.search(diverged, 3)
    with pytest.raises(RealmError, match='no searcher'):
        searcher_class('nearest')


small_whole_numbers = hypothesis_numpy.arrays(
    np.float32, strategies.tuples(strategies.integers(1, 40), strategies.just(3)), elements=strategies.integers(-2, 2)
)


@hypothesis.given(
    vectors=small_whole_numbers,
    queries=small_whole_numbers,
    k=strategies.integers(1, 50),
    pieces=strategies.integers(1, 4),
)
@hypothesis.settings(deadline=None, max_examples=200)
def test_exact_search_breaks_ties_by_block_id(vectors, queries, k, pieces):
    searcher = ExactSearcher.build(np.array_split(vectors, pieces))
    result = searcher.search(queries, k)
    scores, block_ids = brute_force(vectors, queries, k)
    np.testing.assert_array_equal(result.block_ids[result.found].reshape(block_ids.shape), block_ids)
    np.testing.assert_array_equal(result.scores[result.found].reshape(scores.shape), scores)


@hypothesis.given(
    vectors=small_whole_numbers,
    k=strategies.integers(1, 10),
    exclusions=strategies.lists(strategies.integers(-1, 45), max_size=6),
)
@hypothesis.settings(deadline=None, max_examples=200)
def test_exclusions_equal_search_without_those_blocks(vectors, k, exclusions):
    queries = np.array([[1, 2, -1]], np.float32)
    result = ExactSearcher.build([vectors]).search_with_exclusions(queries, k, np.array([exclusions], np.int64))
    order = [id for id in brute_force(vectors, queries, len(vectors))[1][0] if id not in exclusions][:k]
    assert result.block_ids[0].tolist() == order + [-1] * (k - len(order))


def test_a_tensorflow_that_does_not_fit_is_a_sentence(monkeypatch):
    real_import = builtins.__import__

    def without_scann(name, *arguments, **keywords):
        if name.startswith('scann'):
            raise ImportError('undefined symbol: _ZN10tensorflow')
        return real_import(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, '__import__', without_scann)
    with pytest.raises(RealmError, match=r'found scann 1\.\S+ and tensorflow 2\.\S+, .* pip install "scann\[tf\]'):
        import_scann()


def test_blocks_shared_out_over_replicas():
    command = [sys.executable, str(pathlib.Path(__file__).with_name('replicas_search_alike.py'))]
    assert subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout == 'alike\n'


def test_exact_search_does_not_import_tensorflow():
    code = 'import realm_tf.search.index, sys; sys.exit("tensorflow" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 0


@hypothesis.given(
    vectors=small_whole_numbers,
    k=strategies.integers(1, 10),
    margin=strategies.integers(0, 5),
    kept=strategies.frozensets(strategies.integers(0, 45)),
    searcher=strategies.sampled_from(['exact', 'scann', 'ivf']),
)
def test_a_filter_gives_the_best_of_what_it_keeps(vectors, k, margin, kept, searcher):
    queries = np.array([[1, 2, -1], [0, -1, 1]], np.float32)

    def keeps(rows, block_ids):
        # The first query keeps what the second does not.
        return np.isin(block_ids, list(kept)) ^ (rows[:, None] == 1)

    result = searcher_class(searcher).build([vectors]).search_filtered(queries, k, keeps, margin)
    order = brute_force(vectors, queries, len(vectors))[1]
    expected = [[id for id in row if (id in kept) != (query == 1)][:k] for query, row in enumerate(order)]
    assert [row[row >= 0].tolist() for row in result.block_ids] == expected
    assert result.block_ids.shape == result.scores.shape == result.found.shape == (2, k)
    np.testing.assert_array_equal(result.found, np.isfinite(result.scores))


def test_a_filter_looks_further_for_those_that_lack_alone(vectors, queries):
    searcher = ExactSearcher.build([vectors])
    best = searcher.search(queries, 30).block_ids
    widths = []

    def keeps(rows, block_ids):
        widths.append((len(rows), block_ids.shape[1]))
        return ~((rows[:, None] == 4) & np.isin(block_ids, best[4]))

    result = searcher.search_filtered(queries, 5, keeps, margin=3)
    # Two of the best 32 are kept, and 98 of the best 128.
    assert widths == [(30, 8), (1, 32), (1, 128)]
    assert result.found.all() and not np.isin(result.block_ids[4], best[4]).any()
    np.testing.assert_array_equal(np.delete(result.block_ids, 4, axis=0), np.delete(best[:, :5], 4, axis=0))


def test_scann_encodes_pieces_as_it_encodes_all(vectors, tmp_path, monkeypatch):
    written = []
    for at_once in (10_000, 1100):
        monkeypatch.setattr(scann_searcher, 'BLOCKS_AT_ONCE', at_once)
        directory = tmp_path / str(at_once)
        directory.mkdir()
        searcher_class('scann').build([vectors]).save(directory)
        written.append({file.name: file.read_bytes() for file in directory.iterdir()})
    assert written[0] == written[1]


def test_an_update_encodes_pieces_as_it_encodes_all(vectors, tmp_path, monkeypatch):
    old = tmp_path / 'old'
    old.mkdir()
    searcher_class('scann').build([vectors]).save(old)
    # Every other block is kept, the last first.
    old_rows = np.where(np.arange(3000) % 2, np.arange(3000)[::-1], -1)
    shards = [np.where(old_rows[:, None] >= 0, vectors[old_rows], clustered(3000, seed=1))]
    written = []
    for at_once in (10_000, 700):
        monkeypatch.setattr(scann_searcher, 'BLOCKS_AT_ONCE', at_once)
        directory = tmp_path / str(at_once)
        directory.mkdir()
        searcher_class('scann').update(old, shards, old_rows).save(directory)
        written.append({file.name: file.read_bytes() for file in directory.iterdir()})
    assert written[0] == written[1]


def test_int8_is_a_quarter_of_float32(vectors, queries, tmp_path):
    found = {}
    for reordering in ('float32', 'int8'):
        (tmp_path / reordering).mkdir()
        searcher = searcher_class('scann').build([vectors], reordering)
        searcher.save(tmp_path / reordering)
        found[reordering] = searcher.search(queries, 8)
    sizes = [(tmp_path / name).stat().st_size for name in ('float32/dataset.npy', 'int8/int8_dataset.npy')]
    assert sizes[0] > 3.9 * sizes[1]
    assert (found['float32'].block_ids == found['int8'].block_ids).mean() > 0.9
    np.testing.assert_allclose(found['int8'].scores, found['float32'].scores, rtol=0.02, atol=0.3)
