"""How fast a corpus of the paper's size opens, and how fast random rows are read from it.

    python -m benchmarks.block_store --corpus corpus

The shards of a real corpus are linked under as many names as give the number of blocks: the files are those of a corpus
of that size, the bytes behind them lie in the page cache once. A process of its own opens it and is measured.
"""

import pathlib
import subprocess
import sys
import tempfile

import click

from benchmarks.corpus_sample import multiplied
from benchmarks.machine import machine

ROWS = 4096

_MEASURE = """
import resource, sys, time
import numpy as np
from realm_tf.corpus.block_store import BlockStore
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
started = time.perf_counter()
store = BlockStore.open(sys.argv[1])
opened = time.perf_counter() - started
from realm_tf.text.packing import pack_documents
random = np.random.default_rng(0)
times = []
for _ in range(30):
    rows = random.integers(0, len(store), int(sys.argv[2]))
    started = time.perf_counter()
    arrays = store.title_ids(rows).padded(32), store.body_ids(rows).padded(store.block_length)
    times.append(1000 * (time.perf_counter() - started))
status = dict(line.split(':', 1) for line in open('/proc/self/status'))
anonymous = int(status['RssAnon'].split()[0]) / 1000
times = f'{np.median(times[5:]):.1f} ({min(times[5:]):.1f}–{max(times[5:]):.1f})'
print(f'| {len(store):,} | {opened:.2f} | {times} | {anonymous:.0f} |')
"""


@click.command()
@click.option('--corpus', required=True, type=click.Path(exists=True), help='A real corpus, to be multiplied.')
@click.option('--blocks', default=13_353_718, show_default=True, help='How many blocks.')
def main(corpus, blocks):
    """Opens a corpus of many blocks, and reads random rows."""
    with tempfile.TemporaryDirectory(dir=pathlib.Path(corpus).parent) as directory:
        multiplied(pathlib.Path(corpus), pathlib.Path(directory), blocks)
        print(f'{machine()}\n\n| blocks | open, s | {ROWS} rows, ms | memory beside the page cache, MB |')
        print('|---|---|---|---|', flush=True)
        subprocess.run([sys.executable, '-c', _MEASURE, directory, str(ROWS)], check=True)


if __name__ == '__main__':
    main()
