"""How the cost of each part grows with its size, and the exponent of that.

    python -m benchmarks.growth
    python -m benchmarks.growth --vectors vectors --corpus simplewiki/corpus --picture docs/growth.svg

Every part is made with one size after another, the others as they are: the encoder of MiniLM by batch and by length, a
training step of the preset `small` by batch and by candidates, over what `benchmarks.search_vectors` made, building an
index and searching it by blocks, and embedding blocks of a corpus by workers of one thread. The exponent is the slope
of a straight line through the logarithms of sizes and of seconds: 1 where twice the size costs twice as much. Seconds
are those of the processor; with workers they are those of the clock, the start and the end of the job left out, and the
exponent, which is -1 where twice the workers need half the time, is that of as many workers as there are processors.
Prints a table in Markdown, and draws it.
"""

import os
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import click
import numpy as np

from benchmarks.encoder_cases import CASES
from benchmarks.machine import machine
from benchmarks.pictures import picture
from benchmarks.search_measure import QUERIES, K, read_vectors
from benchmarks.timing import seconds_of

REPETITIONS = 3
_LEAST_SECONDS = 0.3
_BATCHES = (1, 4, 16, 64)
_LENGTHS = (32, 64, 128, 256, 512)
_STEP_BATCHES = (1, 2, 4, 8)
_CANDIDATES = (2, 4, 8, 16)
_BLOCKS = (125_000, 250_000, 500_000, 1_000_000)
_SEARCHED = 256
_WORKERS = (1, 2, 4, 8, 16)
_EMBEDDED = 2048


class Growth(NamedTuple):
    """What each size of something costs."""

    what: str
    by: str
    sizes: Sequence[int]
    seconds: Sequence[float]
    # Of so many of them, the smallest, is the exponent.
    fitted: int | None = None

    @property
    def exponent(self) -> float:
        """The slope of the straight line through the logarithms, by least squares; NaN of a single size."""
        sizes, seconds = self.sizes[: self.fitted], self.seconds[: self.fitted]
        return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0]) if len(sizes) > 1 else float('nan')

    def row(self) -> str:
        """Its row of the table."""
        sizes = ', '.join(f'{size:,}' for size in self.sizes)
        seconds = ', '.join(f'{value:.3g}' for value in self.seconds)
        return f'| {self.what} | {self.by} | {sizes} | {seconds} | {self.exponent:.2f} |'


@click.command()
@click.option('--part', 'parts', multiple=True, type=click.Choice(['encoder', 'training', 'search', 'workers']))
@click.option('--vectors', type=click.Path(exists=True), help='Directory of vectors, for `search`.')
@click.option('--corpus', type=click.Path(exists=True), help='A corpus, for `workers`.')
@click.option('--picture', 'path', help='An SVG to draw.')
def main(parts, vectors, corpus, path):
    """Measures how costs grow."""
    measured = {'encoder': encoder, 'training': training}
    if vectors:
        measured['search'] = lambda: search(vectors)
    if corpus:
        measured['workers'] = lambda: workers(corpus)
    for part in set(parts) - set(measured):
        raise click.UsageError(f'{part} needs {"--vectors" if part == "search" else "--corpus"}.')
    print(f'{machine()}. Seconds of the processor; with workers, of the clock.\n')
    print('| what | by | sizes | seconds | exponent |\n|---|---|---|---|---|', flush=True)
    rows = []
    for part in parts or measured:
        for growth in measured[part]():
            rows.append(growth)
            print(growth.row(), flush=True)
    if path:
        draw(rows, path)


def encoder() -> Iterator[Growth]:
    """The forward pass of MiniLM in bfloat16."""
    import dataclasses

    from benchmarks.encoder_forward import forward_pass

    case = CASES['MiniLM']

    def seconds(**shape) -> float:
        shaped = dataclasses.replace(case, **shape)
        ids = np.random.default_rng(0).integers(1000, 30522, (shaped.batch, shaped.length), np.int32)
        return cost(forward_pass(shaped, 'bfloat16', ids))

    by_batch = [seconds(batch=batch, length=128) for batch in _BATCHES]
    yield Growth('encoder, length 128', 'batch', _BATCHES, by_batch)
    by_length = [seconds(batch=8, length=length) for length in _LENGTHS]
    yield Growth('encoder, batch 8', 'length', _LENGTHS, by_length)


def training() -> Iterator[Growth]:
    """A step of pre-training."""
    import tensorflow as tf

    from benchmarks.tpu_step import batch_specs, training_step
    from realm_tf.config import load_config

    def seconds(**chosen) -> float:
        overrides = {f'pretrain.{name}': value for name, value in chosen.items()}
        config = load_config('small', overrides={'precision': 'mixed_bfloat16'} | overrides)
        step = training_step('pretrain', config, tf.distribute.get_strategy())
        batch = {name: tf.ones(spec.shape, spec.dtype) for name, spec in batch_specs('pretrain', config).items()}
        return cost(lambda: tf.nest.map_structure(np.asarray, step(batch)))

    by_batch = [seconds(batch_size=batch, num_candidates=8) for batch in _STEP_BATCHES]
    yield Growth('training step, 8 candidates', 'batch', _STEP_BATCHES, by_batch)
    by_candidates = [seconds(batch_size=2, num_candidates=candidates) for candidates in _CANDIDATES]
    yield Growth('training step, batch 2', 'candidates', _CANDIDATES, by_candidates)


def search(directory: str) -> Iterator[Growth]:
    """An index of ScaNN, tuned to a recall of 0.95."""
    from realm_tf.search.exact import ExactSearcher
    from realm_tf.search.index import searcher_class
    from realm_tf.search.tuning import tune

    vectors = np.concatenate(read_vectors(directory))
    queries = np.load(pathlib.Path(directory) / QUERIES)[:_SEARCHED]
    sizes = [size for size in _BLOCKS if size <= len(vectors)]
    building, searching, exact = [], [], []
    for size in sizes:
        started = sum(os.times()[:4])
        searcher = searcher_class('scann').build([vectors[:size]])
        # With those of the processes that it started.
        building.append(sum(os.times()[:4]) - started)
        exact_searcher = ExactSearcher.build([vectors[:size]])
        tune(searcher, queries, exact_searcher.search(queries, K), 0.95)
        for found, seconds in ((searcher, searching), (exact_searcher, exact)):
            seconds.append(cost(lambda found=found: found.search(queries, K)) / len(queries))
    yield Growth('ScaNN, building', 'blocks', sizes, building)
    yield Growth('ScaNN, a query at recall 0.95', 'blocks', sizes, searching)
    yield Growth('exact search, a query', 'blocks', sizes, exact)


def workers(corpus_path: str) -> Iterator[Growth]:
    """The job that embeds blocks, with MiniLM in bfloat16; workers beyond the processors share them."""
    from benchmarks.corpus_sample import random_blocks, write_sample
    from benchmarks.embedding_job import blocks_per_second, import_minilm
    from realm_tf.corpus.block_store import BlockStore

    corpus = BlockStore.open(corpus_path)
    ids = random_blocks(corpus, _EMBEDDED)
    with tempfile.TemporaryDirectory() as directory:
        sample, encoder = (pathlib.Path(directory) / name for name in ('corpus', 'encoder'))
        write_sample(corpus, ids, sample)
        import_minilm(encoder)
        seconds = [len(ids) / blocks_per_second(sample, encoder, number) for number in _WORKERS]
    processors = len(os.sched_getaffinity(0))
    fitted = sum(number <= processors for number in _WORKERS)
    yield Growth(f'embedding {len(ids):,} blocks', f'workers, {processors} processors', _WORKERS, seconds, fitted)


def cost(call: Callable[[], object]) -> float:
    """Seconds of the processor that a call takes: the median of some measurements, each of calls enough to measure."""
    call()
    started = time.process_time()
    call()
    calls = max(1, round(_LEAST_SECONDS / max(time.process_time() - started, 1e-6)))
    repeated = seconds_of(lambda: [call() for _ in range(calls)], REPETITIONS, warm_up=False)
    return float(np.median([processor for _, processor in repeated])) / calls


def draw(rows: Sequence[Growth], path: str) -> None:
    """Draws how many times the seconds of the smallest size the others take."""
    with picture(path, 7, 5) as axes:
        for growth in rows:
            sizes, seconds = (np.divide(values, values[0]) for values in (growth.sizes, growth.seconds))
            axes.plot(sizes, seconds, marker='.', label=f'{growth.what}, by {growth.by}: {growth.exponent:.2f}')
        axes.set(xscale='log', yscale='log', xlabel='size, to the smallest', ylabel='seconds, to those of the smallest')
        axes.axline((1, 1), (2, 2), color='grey', linestyle=':')
        axes.grid(which='both', alpha=0.3)
        axes.legend(fontsize='small')


if __name__ == '__main__':
    main()
