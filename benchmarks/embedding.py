"""How fast blocks are embedded, beside sentence-transformers in the same run.

    python -m benchmarks.embedding --corpus simplewiki/corpus

Both embed the same blocks with the weights of MiniLM in bfloat16, one thread each, and take turns, in processes of
their own. sentence-transformers is given the texts, tokenises them, and sorts them by length; ours reads the wordpieces
of the corpus, which were tokenised once, and has a projection to 128 after the pooling; in a loop, and as a Beam
pipeline.

Beside the clock stand the seconds of the processor, which hold where something else is at work on the machine. Prints
a table in Markdown.
"""

import dataclasses
import json
import pathlib
import subprocess
import sys
import tempfile

import click
import numpy as np

from benchmarks.corpus_sample import random_blocks, write_sample
from benchmarks.embedding_job import TOKENS_PER_BATCH, import_minilm
from benchmarks.machine import machine
from benchmarks.peers import python_of
from benchmarks.timing import with_spread
from realm_tf.corpus.block_store import BlockStore
from realm_tf.quickstart.minilm import minilm_directory

PEER = ('torch==2.13.0', 'sentence-transformers>=5', 'numpy')
_VERSIONS = """
import torch, sentence_transformers
print(f'torch {torch.__version__}, sentence-transformers {sentence_transformers.__version__}')
"""

_HEAD = """
| | wordpieces/s, by the clock | by seconds of the processor | times as fast as the best peer |
|---|---|---|---|"""


@click.command()
@click.option('--corpus', 'corpus_path', required=True, help='The corpus that blocks are taken from.')
@click.option('--blocks', default=384, show_default=True, help='How many blocks.')
@click.option('--rounds', default=3, show_default=True, help='How often each process runs.')
@click.option('--repetitions', default=2, show_default=True, help='How often a process embeds them, and counts it.')
@click.option('--peer-batches', multiple=True, default=(16, 32), show_default=True, type=int, help='Texts in a batch.')
@click.option('--tokens-per-batch', default=TOKENS_PER_BATCH, show_default=True, help='embed.tokens_per_batch.')
def main(corpus_path, blocks, rounds, repetitions, peer_batches, tokens_per_batch):
    """Measures embedding without Beam and with it, and the peer."""
    peer = python_of('sentence_transformers', PEER)
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        sample = take_sample(corpus_path, directory, blocks)
        encoder = directory / 'encoder'
        import_minilm(encoder)
        versions = _output(peer, '-c', _VERSIONS).strip()
        print(f'{machine()}; beside {versions}. {blocks} blocks, {sample.tokens:,} wordpieces.')
        ours = ('-m', 'benchmarks.embedding_forward', str(sample.corpus), str(encoder))
        theirs = ('-m', 'benchmarks.peers.sentence_transformers_encoder', str(minilm_directory()), str(sample.texts))
        taken: dict[str, list] = {}
        for _ in range(rounds):
            run = json.loads(_output(sys.executable, *ours, str(tokens_per_batch), str(repetitions)))
            taken.setdefault('ours, in a loop', []).extend(run['loop'])
            taken.setdefault('ours, with Beam', []).extend(run['beam'])
            for batch in peer_batches:
                run = json.loads(_output(peer, *theirs, str(batch), '1', str(repetitions)))
                taken.setdefault(f'sentence-transformers, batches of {batch}', []).extend(run)
        print_rates(taken, sample.tokens)


@dataclasses.dataclass(frozen=True)
class Sample:
    """Blocks taken at random from a corpus: a corpus of their own, their texts as JSON, and their wordpieces."""

    corpus: pathlib.Path
    texts: pathlib.Path
    tokens: int


def take_sample(corpus_path: str, directory: pathlib.Path, num_blocks: int) -> Sample:
    """Writes a sample of a corpus."""
    corpus = BlockStore.open(corpus_path)
    ids = random_blocks(corpus, num_blocks)
    sample = Sample(directory / 'corpus', directory / 'texts.json', int(corpus.lengths()[ids].sum()))
    write_sample(corpus, ids, sample.corpus)
    texts = zip(corpus.titles(ids), corpus.texts(ids), strict=True)
    sample.texts.write_text(json.dumps([f'{title} {text}' for title, text in texts]))
    return sample


def print_rates(taken: dict[str, list], tokens: int) -> None:
    """Prints wordpieces a second, and the ratio to the best of the peer."""
    rates = {name: tokens / np.array(seconds) for name, seconds in taken.items()}
    best = np.max([np.median(rate, axis=0) for name, rate in rates.items() if not name.startswith('ours')], axis=0)
    print(_HEAD)
    for name, rate in rates.items():
        clock, processor = rate.T
        ratios = '–'
        if name.startswith('ours'):
            ratios = f'{np.median(clock) / best[0]:.2f}; by the processor {np.median(processor) / best[1]:.2f}'
        print(
            f'| {name} | {with_spread(clock, digits=0)} | {with_spread(processor, digits=0)} | {ratios} |', flush=True
        )
    loop, with_beam = (np.array(taken[name])[:, 1] for name in ('ours, in a loop', 'ours, with Beam'))
    shares = 1 - loop / with_beam
    print(f"\nBeam's share of the processor's time, in percent: {with_spread(100 * shares)}.")


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == '__main__':
    main()
