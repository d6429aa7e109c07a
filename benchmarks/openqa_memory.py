"""How much memory open-domain question answering takes at the paper's size: one step of fine-tuning, one inference.

    python -m benchmarks.openqa_memory

Query tower and reader are BERT-base with fresh weights, in float32; 5,000 candidates are found by exact search among
13,353,718 embeddings of 128 dimensions in a file that is mapped to memory, and 5 blocks of 320 wordpieces are read. Of
the embeddings the first million are random and the others zeros, in a sparse file; every search reads all of them.
Pages of the file that are in memory are no demand of the process, as the system takes them back when it needs them:
they are counted apart. In the step, the query tower is in memory twice: the
benchmark embeds the question with another one. Prints a table in Markdown.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time

import click
import numpy as np

from benchmarks.machine import machine
from benchmarks.peak_memory import PeakMemory

BLOCKS, DIMENSION = 13_353_718, 128
_RANDOM_BLOCKS = 1_000_000
_GIB = 2**30
PARTS = {'fine-tuning step': 'step', 'inference': 'inference'}


@click.command()
@click.option('--part', type=click.Choice(list(PARTS.values())), help='Measure one part, and print it as JSON.')
@click.option('--index', type=click.Path(path_type=pathlib.Path), help='The file of embeddings for it.')
@click.option('--blocks', default=BLOCKS, show_default=True, help='How many embeddings are searched.')
@click.option('--set', 'assignments', multiple=True, metavar='NAME=VALUE', help='A setting, over the preset paper.')
def main(part, index, blocks, assignments):
    """Measures each part in a process of its own."""
    if part:
        print(json.dumps(measured(part, index, assignments)))
        return
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / 'embeddings.npy'
        write_embeddings(path, blocks)
        print(f'{machine()}. {blocks:,} blocks.\n')
        print('| | memory of the process, at most | mapped files beside it | seconds of the search | seconds in all |')
        print('|---|---|---|---|---|')
        for name, part in PARTS.items():
            command = [sys.executable, '-m', 'benchmarks.openqa_memory', '--part', part, '--index', str(path)]
            command += [word for assignment in assignments for word in ('--set', assignment)]
            result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found = json.loads(result.stdout.splitlines()[-1])
            print(
                f'| {name} | {found["anonymous"] / _GIB:.1f} GiB | {found["mapped"] / _GIB:.1f} GiB | '
                f'{found["search_seconds"]:.1f} | {found["seconds"]:.1f} |',
                flush=True,
            )


def write_embeddings(path: pathlib.Path, blocks: int) -> None:
    """Writes a sparse `.npy` of embeddings, random ones first."""
    embeddings = np.lib.format.open_memmap(path, 'w+', np.float32, (blocks, DIMENSION))
    first = min(blocks, _RANDOM_BLOCKS)
    embeddings[:first] = np.random.default_rng(0).standard_normal((first, DIMENSION), np.float32)
    embeddings.flush()


def measured(part: str, index: pathlib.Path, assignments) -> dict[str, float]:
    """Runs a part twice, and gives the most memory it took and the seconds of the second time."""
    with PeakMemory() as peak:
        run = {'step': step, 'inference': inference}[part](index, assignments)
        run()
        started = time.monotonic()
        search_seconds = run()
        seconds = time.monotonic() - started
    return {'anonymous': peak.anonymous, 'mapped': peak.mapped, 'search_seconds': search_seconds, 'seconds': seconds}


def step(index: pathlib.Path, assignments):
    """A function that makes one step of fine-tuning, and gives the seconds of its search."""
    import tensorflow as tf

    from benchmarks.tpu_step import batch_specs, training_step
    from realm_tf.training.strategies import make_strategy
    from realm_tf.training.train_step import shared_out

    config, searcher, vectors = _prepared(index, assignments)
    strategy = make_strategy()
    compiled = training_step('finetune', config, strategy)
    embed = _embedding(config)
    batch = {
        name: np.ones(spec.shape, spec.dtype.as_numpy_dtype) for name, spec in batch_specs('finetune', config).items()
    }
    rows = config.finetune.batch_size * config.finetune.num_candidates
    batch['has_answer'] = np.arange(rows).reshape(batch['has_answer'].shape) % 100 == 0

    def run() -> float:
        queries = embed(tf.constant(batch['question_ids'])).numpy()
        found, seconds = _timed(lambda: searcher.search(queries, config.finetune.num_candidates))
        embeddings = np.stack([vectors[row] for row in found.block_ids])
        compiled(shared_out(batch | {'candidate_embeddings': embeddings}, strategy))
        return seconds

    return run


def inference(index: pathlib.Path, assignments):
    """A function that answers one question, and gives the seconds of its search."""
    import tensorflow as tf

    from realm_tf.weights.networks import make_reader

    config, searcher, _ = _prepared(index, assignments)
    embed, read = _embedding(config), tf.function(make_reader(config), reduce_retracing=True)
    settings = config.finetune
    question = tf.ones([1, settings.question_length], tf.int32)
    inputs = tf.ones([settings.reader_blocks, settings.reader_length], tf.int32)

    def run() -> float:
        queries = embed(question).numpy()
        _, seconds = _timed(lambda: searcher.search(queries, settings.num_candidates))
        read(inputs, inputs)
        return seconds

    return run


def _prepared(index: pathlib.Path, assignments):
    """Configuration, searcher, and the embeddings themselves."""
    from realm_tf.config import load_config, parse_overrides
    from realm_tf.search.exact import ExactSearcher

    overrides = {'precision': 'float32'} | parse_overrides(assignments)
    vectors = np.load(index, mmap_mode='r')
    return load_config('paper', overrides=overrides), ExactSearcher.build([vectors]), vectors


def _embedding(config):
    import tensorflow as tf

    from realm_tf.weights.networks import make_retriever

    return tf.function(make_retriever(config).embed_queries, reduce_retracing=True)


def _timed(function):
    started = time.monotonic()
    return function(), time.monotonic() - started


if __name__ == '__main__':
    main()
