"""Whether blocks on two devices are found as in one array; a process of its own, as devices are set up once."""

import numpy as np
import tensorflow as tf

from realm_tf.search.exact import ExactSearcher
from realm_tf.search.tpu_searcher import TpuSearcher


def main() -> None:
    """Prints `alike`."""
    # Before anything else of TensorFlow.
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices('CPU')[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )
    random = np.random.default_rng(0)
    # An odd number: one row is padding, whose score must not stand before those below 0.
    vectors = random.standard_normal((1001, 16), np.float32) + 1
    queries = np.concatenate([random.standard_normal((5, 16), np.float32), -np.ones((1, 16), np.float32)])
    with tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1']).scope():
        searcher = TpuSearcher.build([vectors[:300], vectors[300:]])
    exact = ExactSearcher.build([vectors])
    for k in (1, 8, 700, 1001):
        np.testing.assert_array_equal(searcher.search(queries, k).block_ids, exact.search(queries, k).block_ids)
    print('alike')


if __name__ == '__main__':
    main()
