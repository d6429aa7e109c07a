"""How fast a training step is, and what memory it takes, beside PyTorch in the same run.

    python -m benchmarks.training_step

The step of REALM pre-training at the lengths of the paper, two BERT-base, 8 candidates a sentence: beside it the same
computation with the modules of transformers 4.40.2, which computes the vocabulary at every position. The step of the
inverse cloze task: beside it the multiple-negatives loss of sentence-transformers, same tower, same shapes. Each is
forward, backward, clipping and update, with dropout. Ours and the peer take turns, each time in a process of its own.
Prints a table in Markdown: nan is the time of what the system ended, as its memory was not enough.
"""

import math
import sys

import click
import numpy as np

from benchmarks.machine import machine
from benchmarks.peers import python_of
from benchmarks.side_by_side import measured, versions_of
from benchmarks.timing import with_spread
from benchmarks.training_cases import CASES, PRECISIONS

# transformers has REALM's classes up to 4.40, and BERT with scaled-dot-product attention from 4.41 on.
PEERS = {
    'pretrain': ('transformers_4_40', ('torch', 'transformers==4.40.2', 'numpy<2')),
    'ict': ('sentence_transformers', ('torch', 'transformers>=4.48', 'sentence-transformers', 'numpy')),
}
_HEAD = """
| step | precision | ours, s | PyTorch, s | times as fast as PyTorch | ours, GB | PyTorch, GB | ours / PyTorch |
|---|---|---|---|---|---|---|---|"""


@click.command()
@click.option('--case', 'cases', multiple=True, type=click.Choice(list(CASES)), default=list(CASES), show_default=True)
@click.option('--precision', 'precisions', multiple=True, type=click.Choice(PRECISIONS), default=PRECISIONS)
@click.option('--rounds', default=1, show_default=True, help='How often each process runs.')
@click.option('--repetitions', default=3, show_default=True, help='Steps that a process counts.')
@click.option('--peer-python', help='A Python that has what the peer needs; unset: an environment is made.')
def main(cases, precisions, rounds, repetitions, peer_python):
    """Measures every case in every precision."""
    peers = {task: peer_python or python_of(*PEERS[task]) for task in sorted({CASES[case].task for case in cases})}
    versions = '; '.join(f'{task} {versions_of(python)}' for task, python in peers.items())
    print(f'{machine(("tensorflow", "keras"))}; beside: {versions}. Median (minimum–maximum) of {rounds}.')
    print(_HEAD, flush=True)
    for case in cases:
        for precision in precisions:
            arguments = [case, precision, str(repetitions)]
            ours, theirs = [], []
            for _ in range(rounds):
                ours.append(step(sys.executable, 'benchmarks.our_training_step', arguments))
                theirs.append(step(peers[CASES[case].task], 'benchmarks.peers.torch_training_step', arguments))
            print(f'| {case} | {precision} | {" | ".join(row(ours, theirs))} |', flush=True)


def step(python: str, module: str, arguments: list[str]) -> tuple[float, float]:
    """Seconds of a step, NaN if the machine's memory was not enough, and the most gigabytes that the process had."""
    seconds, gigabytes = measured(python, module, arguments)
    return math.nan if seconds is None else seconds, gigabytes


def row(ours: list[tuple[float, float]], theirs: list[tuple[float, float]]) -> list[str]:
    """The cells of a table for figures that were taken in turns."""
    our_seconds, our_memory = zip(*ours, strict=True)
    their_seconds, their_memory = zip(*theirs, strict=True)
    return [
        with_spread(our_seconds, digits=2),
        with_spread(their_seconds, digits=2),
        with_spread(np.divide(their_seconds, our_seconds).tolist(), digits=2),
        with_spread(our_memory),
        with_spread(their_memory),
        with_spread(np.divide(our_memory, their_memory).tolist(), digits=2),
    ]


if __name__ == '__main__':
    main()
