"""One of our searchers, for `benchmarks.search`, in a process of its own.

python -m benchmarks.search_ours NAME VECTORS INDEX CORES build|search
"""

import pathlib
import sys

from benchmarks.search_measure import K, measure, read_vectors
from realm_tf.search.index import searcher_class
from realm_tf.search.partitioned import Effort

# By name: the searcher, and what the best blocks are scored again with.
SEARCHERS = {'ScaNN float32': ('scann', 'float32'), 'ScaNN int8': ('scann', 'int8'), 'IVF': ('ivf', 'float32')}
_EXACT = ('exact', 'float32')
_LEAVES = (8, 16, 24, 32, 48, 64, 96, 128)
_REORDERED = {'scann': (64, 128, 256), 'ivf': (32,)}


def main(name: str, vectors: str, index: str) -> None:
    """Prints what `benchmarks.search_measure.measure` does."""
    kind, reordering = SEARCHERS.get(name, _EXACT)

    def build():
        pathlib.Path(index).mkdir(parents=True)
        searcher_class(kind).build(read_vectors(vectors), reordering).save(index)

    def settings(searcher):
        for reordered in _REORDERED.get(kind, (0,)):
            for leaves in _LEAVES if reordered else (0,):
                if reordered:
                    searcher.effort = Effort(K, leaves, reordered)
                yield lambda queries: searcher.search(queries, K).block_ids

    measure(vectors, build, lambda: searcher_class(kind).load(index), settings)


if __name__ == '__main__':
    main(*sys.argv[1:4])
