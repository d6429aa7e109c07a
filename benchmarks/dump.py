"""How fast a MediaWiki dump becomes blocks, beside WikiExtractor and a greedy chunker in plain Python.

    python -m benchmarks.dump --dump enwiki-pages-articles1.xml.bz2 --vocabulary vocab.txt

A short dump is made longer first: its pages are there so many times, each time by another title, so that none is a
duplicate. Ours is the command that users run, beside it `benchmarks.peers.wikiextractor_blocks`; they take turns, with
as many processes, on as many cores: WikiExtractor has two processes more, which read and write. Words are those of the
blocks that each has written. The peer rejects nothing, reports nothing, and does not survive being killed. Prints a
table in Markdown.
"""

import bz2
import json
import os
import pathlib
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import NamedTuple

import click

from benchmarks.corpus import count_words, timed
from benchmarks.machine import machine
from benchmarks.peers import python_of
from benchmarks.timing import with_spread

PEER = ('wikiextractor==3.1.0', 'tokenizers==0.22.1')
_TITLE = re.compile(r'(<title>)(.*?)(</title>)')
_HEAD = """
| workers | ours, s | peer, s | peer / ours | ours, words | peer, words | times as fast as the peer, by words |
|---|---|---|---|---|---|---|"""


@click.command()
@click.option('--dump', required=True, help='A MediaWiki export compressed by bzip2.')
@click.option('--vocabulary', required=True, help='A BERT vocab.txt.')
@click.option('--copies', default=40, show_default=True, help='How many times its pages are read.')
@click.option('--workers', multiple=True, type=int, default=(1, 2), show_default=True)
@click.option('--rounds', default=3, show_default=True, help='How often each is run.')
def main(dump, vocabulary, copies, workers, rounds):
    """Makes blocks of a dump, with each number of workers."""
    cores = sorted(os.sched_getaffinity(0))
    if max(workers) > len(cores):
        raise click.UsageError(f'There are {len(cores)} processors here: take no more workers.')
    peer_python = python_of('wikiextractor', PEER)
    print(f'{machine()}; beside {", ".join(PEER)}. {copies} × {pathlib.Path(dump).name}.')
    print(f'Median (minimum–maximum) of {rounds}.\n{_HEAD}', flush=True)
    with tempfile.TemporaryDirectory() as directory:
        longer = pathlib.Path(directory) / 'longer.xml.bz2'
        write_longer(pathlib.Path(dump), longer, copies)
        for number in workers:
            # The processes that are started have these cores too.
            os.sched_setaffinity(0, cores[:number])
            ours, theirs = [], []
            for _ in range(rounds):
                ours.append(of_ours(longer, vocabulary, number))
                theirs.append(of_peer(longer, vocabulary, number, peer_python))
            print(f'| {number} | {" | ".join(row(ours, theirs))} |', flush=True)


class Run(NamedTuple):
    """What a run took, and how many words its blocks have."""

    seconds: float
    words: int


def of_ours(dump: pathlib.Path, vocabulary: str, workers: int) -> Run:
    """Builds a corpus."""
    with tempfile.TemporaryDirectory() as directory:
        corpus = pathlib.Path(directory) / 'corpus'
        arguments = ['--input', str(dump), '--vocabulary', vocabulary, '--output', str(corpus)]
        return Run(timed('build_corpus', workers, arguments), count_words(corpus))


def of_peer(dump: pathlib.Path, vocabulary: str, workers: int, python: str) -> Run:
    """Has the peer write its blocks."""
    with tempfile.TemporaryDirectory() as directory:
        module = 'benchmarks.peers.wikiextractor_blocks'
        started = time.monotonic()
        subprocess.run([python, '-m', module, str(dump), vocabulary, str(workers), directory], check=True)
        seconds = time.monotonic() - started
        lines = (line for file in pathlib.Path(directory).glob('*.jsonl') for line in file.open())
        return Run(seconds, sum(len(json.loads(line)['text'].split()) for line in lines))


def row(ours: list[Run], theirs: list[Run]) -> Iterator[str]:
    """The cells of a table for runs that took turns."""
    yield with_spread([run.seconds for run in ours])
    yield with_spread([run.seconds for run in theirs])
    yield with_spread([their.seconds / our.seconds for our, their in zip(ours, theirs, strict=True)], digits=2)
    yield f'{ours[0].words:,}'
    yield f'{theirs[0].words:,}'
    pairs = zip(ours, theirs, strict=True)
    yield with_spread([our.words / our.seconds * their.seconds / their.words for our, their in pairs], digits=2)


def write_longer(dump: pathlib.Path, output: pathlib.Path, copies: int) -> None:
    """Writes a dump whose pages are there again and again, the number of the copy in their titles."""
    text = bz2.decompress(dump.read_bytes()).decode()
    head, page, rest = text.partition('<page>')
    pages, end, tail = rest.rpartition('</page>')
    with bz2.open(output, 'wt') as file:
        file.write(head)
        for copy in range(copies):
            file.write(_TITLE.sub(rf'\1\2 {copy}\3', page + pages + end) + '\n')
        file.write(tail)


if __name__ == '__main__':
    main()
