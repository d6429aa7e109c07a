"""Opens two generations for a training on two replicas, and prints where their blocks are: see `test_current_index`.

python -m tests.training.replicas_search_generations RUN ENCODER EMBEDDINGS
"""

import json
import sys

import numpy as np
import tensorflow as tf
from etils import epath

from realm_tf.config import IndexConfig
from realm_tf.search.index import build_index
from realm_tf.training.current_index import CurrentIndex
from realm_tf.training.generations import Generation
from realm_tf.training.strategies import make_strategy
from realm_tf.weights.encoder_artifact import Encoder
from tests.training.published import look_until_open, publish_same

QUERIES = np.array([[101, 2000 + row, 2100, 102] for row in range(6)], np.int32)


def main(run: epath.Path, encoder: epath.Path, embeddings: epath.Path) -> None:
    """Prints of each generation its step, the devices that its blocks are on, and what is found there."""
    # Before anything else of TensorFlow.
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices('CPU')[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )
    strategy = make_strategy('mirrored')
    build_index(embeddings, run / 'index', IndexConfig(searcher='tpu'))
    first = Generation(0, encoder, embeddings, run / 'index')
    with strategy.scope():
        retriever = Encoder.open(encoder).retriever()
    current = CurrentIndex(run, retriever, first, strategy=strategy)

    def in_use(step: int) -> dict:
        current.swap(step)
        found = current.search(QUERIES, 5, lambda rows, block_ids: block_ids >= 0, margin=0)
        parts = strategy.experimental_local_results(current.searcher._vectors)
        return {
            'step': current.staleness(step + 1)['generation'],
            'devices': [part.device for part in parts],
            'found': found.tolist(),
        }

    of_first = in_use(1)
    publish_same(run, 2, first)
    look_until_open(current, 2, 2)
    print(json.dumps([of_first, in_use(3)]))


if __name__ == '__main__':
    main(*map(epath.Path, sys.argv[1:]))
