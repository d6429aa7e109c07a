"""How fast a corpus is built, by the number of workers.

    python -m benchmarks.corpus --input simplewiki/articles.jsonl.gz --vocabulary vocab.txt

Every run starts from nothing, in a directory that is removed, with the command that users run. Prints a table in
Markdown.
"""

import pathlib
import subprocess
import sys
import tempfile
import time

import click

from benchmarks.machine import machine
from realm_tf.artifacts import open_artifact


@click.command()
@click.option('--input', 'documents', required=True, help='Files of documents.')
@click.option('--vocabulary', required=True, help='A BERT vocab.txt.')
@click.option('--workers', multiple=True, type=int, default=(1, 2), show_default=True)
def main(documents, vocabulary, workers):
    """Builds a corpus with each number of workers."""
    print(f'{machine()}\n\n| workers | seconds | blocks | words/s |\n|---|---|---|---|')
    for number in workers:
        with tempfile.TemporaryDirectory() as directory:
            corpus = pathlib.Path(directory) / 'corpus'
            arguments = ['--input', documents, '--vocabulary', vocabulary, '--output', str(corpus)]
            seconds = timed('build_corpus', number, arguments)
            counts = open_artifact(corpus).counts
            words = count_words(corpus)
            print(f'| {number} | {seconds:.1f} | {counts["blocks"]:,} | {words / seconds:,.0f} |', flush=True)


def timed(job: str, workers: int, arguments: list[str]) -> float:
    """Seconds of a job, start and end of its processes counted."""
    started = time.monotonic()
    command = [sys.executable, '-m', f'beam_jobs.{job}', *arguments, '--num_workers', str(workers)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - started


def count_words(corpus: pathlib.Path) -> int:
    """Words between white space in all blocks."""
    from realm_tf.corpus.block_store import BlockStore

    store = BlockStore.open(corpus)
    return sum(len(text.split()) for rows in store.shard_ranges for text in store.texts(list(rows)))


if __name__ == '__main__':
    main()
