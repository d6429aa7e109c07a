"""How the cost of each part grows with its size, and the exponent of that.

    python -m benchmarks.growth
    python -m benchmarks.growth --vectors vectors --part search

Every part is made with one size after another, the others as they are: the encoder of MiniLM by batch and by length, a
training step of the preset `small` by batch and by candidates, and, over what `benchmarks.search_vectors` made,
building an index and searching it by blocks. The exponent is the slope of a straight line through the logarithms of
sizes and of seconds of the processor: 1 where twice the size costs twice as much. Prints a table in Markdown.
"""

import os
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence

import click
import numpy as np

from benchmarks.encoder_cases import CASES
from benchmarks.machine import machine
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


@click.command()
@click.option('--part', 'parts', multiple=True, type=click.Choice(['encoder', 'training', 'search']), help='Which.')
@click.option('--vectors', type=click.Path(exists=True), help='Directory of vectors, for `search`.')
def main(parts, vectors):
    """Measures how costs grow."""
    print(f'{machine()}. Seconds of the processor.\n')
    print('| what | by | sizes | seconds | exponent |\n|---|---|---|---|---|', flush=True)
    measured = {'encoder': encoder, 'training': training, **({'search': lambda: search(vectors)} if vectors else {})}
    for part in parts or measured:
        if part not in measured:
            raise click.UsageError('search needs --vectors: what benchmarks.search_vectors made.')
        for what, by, sizes, seconds in measured[part]():
            print(row(what, by, sizes, seconds), flush=True)


def encoder() -> Iterator[tuple]:
    """The forward pass of MiniLM in bfloat16."""
    import dataclasses

    from benchmarks.encoder_forward import forward_pass

    case = CASES['MiniLM']

    def seconds(**shape) -> float:
        shaped = dataclasses.replace(case, **shape)
        ids = np.random.default_rng(0).integers(1000, 30522, (shaped.batch, shaped.length), np.int32)
        return cost(forward_pass(shaped, 'bfloat16', ids))

    yield 'encoder, length 128', 'batch', _BATCHES, [seconds(batch=batch, length=128) for batch in _BATCHES]
    yield 'encoder, batch 8', 'length', _LENGTHS, [seconds(batch=8, length=length) for length in _LENGTHS]


def training() -> Iterator[tuple]:
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

    yield (
        *('training step, 8 candidates', 'batch', _STEP_BATCHES),
        [seconds(batch_size=batch, num_candidates=8) for batch in _STEP_BATCHES],
    )
    yield (
        *('training step, batch 2', 'candidates', _CANDIDATES),
        [seconds(batch_size=2, num_candidates=candidates) for candidates in _CANDIDATES],
    )


def search(directory: str) -> Iterator[tuple]:
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
    yield 'ScaNN, building', 'blocks', sizes, building
    yield 'ScaNN, a query at recall 0.95', 'blocks', sizes, searching
    yield 'exact search, a query', 'blocks', sizes, exact


def cost(call: Callable[[], object]) -> float:
    """Seconds of the processor that a call takes: the median of some measurements, each of calls enough to measure."""
    call()
    started = time.process_time()
    call()
    calls = max(1, round(_LEAST_SECONDS / max(time.process_time() - started, 1e-6)))
    repeated = seconds_of(lambda: [call() for _ in range(calls)], REPETITIONS, warm_up=False)
    return float(np.median([processor for _, processor in repeated])) / calls


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """The slope of the straight line through the logarithms, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def row(what: str, by: str, sizes: Sequence[int], seconds: Sequence[float]) -> str:
    """A row of the table."""
    cells = (', '.join(f'{size:,}' for size in sizes), ', '.join(f'{value:.3g}' for value in seconds))
    return f'| {what} | {by} | {cells[0]} | {cells[1]} | {exponent(sizes, seconds):.2f} |'


if __name__ == '__main__':
    main()
