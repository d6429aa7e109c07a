import numpy as np

from realm_tf.search.tree import nearest_centroids, pieces_of, train_centroids


def test_nearest_by_distance():
    random = np.random.default_rng(0)
    vectors, centroids = random.standard_normal((500, 6), np.float32), random.standard_normal((20, 6), np.float32)
    distances = np.linalg.norm(vectors[:, None] - centroids, axis=-1)
    np.testing.assert_array_equal(nearest_centroids(vectors, centroids), np.argmin(distances, axis=1))


def test_centroids_find_clusters():
    random = np.random.default_rng(0)
    clusters = 100 * random.standard_normal((10, 4), np.float32)
    vectors = np.repeat(clusters, 50, axis=0) + random.standard_normal((500, 4), np.float32)
    leaves = nearest_centroids(vectors, train_centroids([vectors[:123], vectors[123:]], 30))
    # A leaf has blocks of one cluster alone.
    for leaf in np.unique(leaves):
        assert len(np.unique(np.flatnonzero(leaves == leaf) // 50)) == 1
    assert len(np.unique(leaves)) > 20


def test_blocks_and_queries_choose_leaves_alike():
    vectors = np.random.default_rng(0).standard_normal((2000, 8), np.float32)
    centroids = train_centroids([vectors], 40)
    np.testing.assert_array_equal(nearest_centroids(vectors, centroids), np.argmax(vectors @ centroids.T, axis=1))


def test_equal_vectors_are_one_leaf():
    vectors = np.ones((9, 3), np.float32)
    assert np.isfinite(train_centroids([vectors], 4)).all()


def test_pieces_span_shards():
    rows = np.arange(14, dtype=np.float32).reshape(7, 2)
    pieces = list(pieces_of([rows[:1], rows[1:6], rows[6:6], rows[6:]], 3))
    assert [len(piece) for piece in pieces] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate(pieces), rows)
