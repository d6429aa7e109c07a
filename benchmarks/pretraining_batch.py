"""How long a batch of pre-training takes on the host, and where the time goes.

    python -m benchmarks.pretraining_batch --corpus simplewiki/corpus --spans simplewiki/spans

The batch is the paper's: 512 sentences, 8 candidates each, lengths 96, 288 and 384. Vectors of blocks are random, those
of a document's blocks near one another, and a query's vector is near its block's: what is left out of the candidates is
then among the best. The networks are not run: embedding the queries is not in the figures.
"""

import cProfile
import pstats
import time

import click
import numpy as np

from benchmarks.machine import machine
from benchmarks.timing import WARM_UP, with_spread
from realm_tf.config import Config, load_config
from realm_tf.corpus.block_store import BlockStore
from realm_tf.corpus.span_store import SpanStore
from realm_tf.search.index import searcher_class
from realm_tf.search.searcher import Keeps, Searcher
from realm_tf.training.pretraining_batch import PretrainingBatches
from realm_tf.training.sampling import rows_of_step

DIMENSION = 128
# Of the vectors of a document's blocks around their own mean, and of queries around their blocks.
NOISE = 0.5
# The functions whose share of the time is printed; there is one of each name.
PARTS = ('mask_queries', 'search_filtered', 'keeps', '_pack_candidates')


class NearQueries:
    """An index whose queries are near the blocks `sources`, whatever their wordpieces."""

    def __init__(self, searcher: Searcher, vectors: np.ndarray):
        self._searcher = searcher
        self._vectors = vectors
        self.sources = np.zeros(0, np.int64)
        self.num_filtered = 0

    def search(self, query_ids: np.ndarray, k: int, keeps: Keeps, margin: int) -> np.ndarray:
        """The best blocks of each query that a filter keeps."""
        noise = np.random.default_rng(0).standard_normal((len(query_ids), DIMENSION), np.float32)

        def counted(rows: np.ndarray, block_ids: np.ndarray) -> np.ndarray:
            self.num_filtered += len(rows)
            return keeps(rows, block_ids)

        queries = self._vectors[self.sources] + NOISE * noise
        return self._searcher.search_filtered(queries, k, counted, margin).block_ids


@click.command()
@click.option('--corpus', required=True, type=click.Path(exists=True), help='A corpus.')
@click.option('--spans', required=True, type=click.Path(exists=True), help='Its salient spans.')
@click.option('--searcher', 'searchers', multiple=True, default=('scann', 'exact'), help='Searchers of the index.')
@click.option('--rounds', default=10, show_default=True, help='Batches that are measured, and as many profiled.')
def main(corpus, spans, searchers, rounds):
    """Makes batches of the paper's size."""
    store = BlockStore.open(corpus)
    span_store = SpanStore.open(spans, store)
    started = time.perf_counter()
    documents = store.document_numbers()
    milliseconds = 1000 * (time.perf_counter() - started)
    print(f'{machine(("numpy", "pyarrow", "scann"))}\n')
    print(f'{len(store):,} blocks of {documents[-1] + 1:,} documents, counted in {milliseconds:.0f} ms.\n')
    print('| searcher | left out | a batch, s | masks | search | filter | packing | searched again |')
    print('|---|---|---|---|---|---|---|---|', flush=True)
    vectors = near_in_documents(documents)
    for name in searchers:
        searcher = searcher_class(name).build([vectors])
        for left_out in ('block', 'document'):
            config = load_config('paper', overrides={'pretrain.exclude_article': left_out == 'document'})
            batches = PretrainingBatches(store, store, span_store, config)
            cells = measured(
                batches, NearQueries(searcher, vectors), np.flatnonzero(span_store.counts()), config, rounds
            )
            print(f'| {name} | {left_out} | {" | ".join(cells)} |', flush=True)


def measured(
    batches: PretrainingBatches, index: NearQueries, blocks: np.ndarray, config: Config, rounds: int
) -> list[str]:
    """The cells of a row: the time without a profiler, the shares of its parts with one."""

    def make(step: int) -> None:
        index.sources = blocks[rows_of_step(len(blocks), config.pretrain.batch_size, step, config.seed)]
        batches.of_step(step, index)

    seconds = []
    for step in range(WARM_UP + rounds):
        started = time.perf_counter()
        make(step)
        seconds.append(time.perf_counter() - started)
    index.num_filtered = 0
    profile = cProfile.Profile(builtins=False)
    for step in range(rounds):
        profile.runcall(make, step)
    again = index.num_filtered / (rounds * config.pretrain.batch_size) - 1
    of_function = {name: entry[3] for (_, _, name), entry in pstats.Stats(profile).stats.items()}
    mask, search, filtered, packing = (of_function[name] / of_function['of_step'] for name in PARTS)
    shares = (mask, search - filtered, filtered, packing)
    return [with_spread(seconds[WARM_UP:], 2), *(f'{100 * share:.0f} %' for share in shares), f'{100 * again:.1f} %']


def near_in_documents(documents: np.ndarray) -> np.ndarray:
    """Random vectors of blocks, float32 `[blocks, DIMENSION]`."""
    random = np.random.default_rng(0)
    means = random.standard_normal((documents[-1] + 1, DIMENSION), np.float32)
    return means[documents] + NOISE * random.standard_normal((len(documents), DIMENSION), np.float32)


if __name__ == '__main__':
    main()
