"""One of our searchers, for `benchmarks.search`, in a process of its own.

python -m benchmarks.search_ours NAME VECTORS INDEX CORES build|search
"""

import pathlib
import sys
from collections.abc import Iterator

import numpy as np

from benchmarks.search_measure import K, Search, measure, read_vectors
from realm_tf.environment import import_scann
from realm_tf.search.index import searcher_class
from realm_tf.search.partitioned import Effort

# By name: the searcher, and what the best blocks are scored again with.
SEARCHERS = {
    'ScaNN float32': ('scann', 'float32'),
    'ScaNN int8': ('scann', 'int8'),
    'IVF': ('ivf', 'float32'),
    'exact': ('exact', 'float32'),
}
# What exact search is measured beside: one matrix product, and numpy's own selection.
NUMPY = 'numpy'
_LEAVES = (3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
_REORDERED = {'scann': (32, 64, 128, 256), 'ivf': (32,)}


def main(name: str, vectors: str, index: str) -> None:
    """Prints what `benchmarks.search_measure.measure` does."""
    if name == NUMPY:
        measure(vectors, lambda: None, lambda: np.concatenate(read_vectors(vectors)), _numpy_settings)
        return
    kind, reordering = SEARCHERS[name]
    # What a library takes of time and memory is not the index's.
    if kind == 'scann':
        import_scann()
    elif kind == 'ivf':
        import tensorflow as tf

        # More would wait for each other in loops, which the processor's clock counts.
        tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[-2]))
        tf.config.threading.set_inter_op_parallelism_threads(int(sys.argv[-2]))

    def build():
        pathlib.Path(index).mkdir(parents=True, exist_ok=True)
        searcher_class(kind).build(read_vectors(vectors), reordering).save(index)

    def settings(searcher):
        if searcher.is_exact:
            yield lambda queries: searcher.search(queries, K).block_ids
            return
        for reordered in _REORDERED[kind]:
            for leaves in _LEAVES:
                searcher.effort = Effort(K, leaves, reordered)
                yield lambda queries: searcher.search(queries, K).block_ids

    measure(vectors, build, lambda: searcher_class(kind).load(index), settings)


def _numpy_settings(vectors: np.ndarray) -> Iterator[Search]:
    def search(queries):
        scores = queries @ vectors.T
        block_ids = np.argpartition(scores, -K, axis=1)[:, -K:]
        order = np.argsort(-np.take_along_axis(scores, block_ids, axis=1), axis=1)
        return np.take_along_axis(block_ids, order, axis=1)

    yield search


if __name__ == '__main__':
    main(*sys.argv[1:4])
