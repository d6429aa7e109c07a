"""FAISS, the peer of `benchmarks.search`: IVF-PQ fast-scan with refinement, and HNSW.

python -m benchmarks.peers.faiss_search NAME VECTORS INDEX CORES build|search
"""

import os
import sys

import faiss
import numpy as np

from benchmarks.search_measure import K, measure, read_vectors

# By name: the factory's description, and efforts: probes and candidates for each block, or the width of the search.
PEERS = {
    'FAISS IVF-PQ': (
        'IVF{leaves},PQ{pairs}x4fs,RFlat',
        [(p, f) for f in (8, 16, 32) for p in (3, 4, 6, 8, 16, 32, 64, 128)],
    ),
    'FAISS HNSW32': ('HNSW32', [16, 32, 64, 128, 256, 512]),
}


def main(name: str, vectors: str, index: str) -> None:
    """Prints what `benchmarks.search_measure.measure` does."""
    description, efforts = PEERS[name]

    def build():
        shards = read_vectors(vectors)
        num_blocks, dimension = sum(map(len, shards)), shards[0].shape[1]
        factory = description.format(leaves=round(2 * np.sqrt(num_blocks)), pairs=dimension // 2)
        built = faiss.index_factory(dimension, factory, faiss.METRIC_INNER_PRODUCT)
        everything = np.concatenate(shards)
        if not built.is_trained:
            built.train(everything[np.random.default_rng(0).choice(num_blocks, min(num_blocks, 100_000), False)])
        built.add(everything)
        faiss.write_index(built, index)

    def settings(searcher):
        # More would wait for each other in loops, which the processor's clock counts.
        faiss.omp_set_num_threads(len(os.sched_getaffinity(0)))
        for effort in efforts:
            if name == 'FAISS HNSW32':
                searcher.hnsw.efSearch = effort
            else:
                faiss.downcast_index(searcher.base_index).nprobe, searcher.k_factor = effort
            yield lambda queries: searcher.search(queries, K)[1]

    measure(vectors, build, lambda: faiss.read_index(index), settings)


if __name__ == '__main__':
    main(*sys.argv[1:4])
