import numpy as np

from realm_tf.search.int8 import multipliers_for, to_int8


def test_of_few_vectors_all_fit():
    vectors = np.random.default_rng(0).standard_normal((500, 16)).astype(np.float32)
    multipliers = multipliers_for([vectors[:200], vectors[200:]])
    np.testing.assert_array_equal(np.abs(to_int8(vectors, multipliers)).max(axis=0), 127)
    # Half a step off at the most.
    np.testing.assert_allclose(to_int8(vectors, multipliers) / multipliers, vectors, atol=0.51 / multipliers.min())


def test_the_few_largest_of_many_are_cut_and_cost_the_others_no_precision():
    vectors = np.random.default_rng(0).standard_normal((20_000, 4)).astype(np.float32)
    with_one = vectors.copy()
    with_one[7, 0] = 1e6
    multipliers = multipliers_for([with_one])
    np.testing.assert_allclose(multipliers, multipliers_for([vectors]), rtol=0.1)
    assert to_int8(with_one, multipliers)[7, 0] == 127


def test_a_dimension_without_values_stays_without():
    assert not to_int8(np.zeros((3, 2), np.float32), multipliers_for([np.zeros((3, 2), np.float32)])).any()
