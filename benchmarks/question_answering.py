"""How long a question takes to be answered, and in what memory, beside PyTorch in the same run.

    python -m benchmarks.question_answering --corpus simplewiki/corpus --questions webquestions.train.jsonl

A question is asked alone: text in, answer out, with the search among all blocks and the reading of five of them in at
most 320 wordpieces, as in the paper. Query tower and reader are BERT-base with fresh weights, block embeddings are
random, and the blocks are real text: as they come, or with --shortest 256 nearly as long as blocks can be, so that as
much is read for every question and there is hardly any padding.

Ours is the signature `serving_default` of what `realm export` writes, called in Python: what `realm ask` runs, and the
graph that a server runs, without its queue and network. Beside it is `RealmForOpenQA` of transformers 4.40.2 with what
`realm convert` writes of the same model. Both search exactly. In bfloat16 the peer computes in two ways: by autocast,
as it is trained, and with weights in bfloat16, where it searches in bfloat16 too.

Ours and the peer take turns, each time in a process of its own, whose memory includes the loading. For how many
questions both read the same blocks, in the same order, stands beside: all are to, in float32. Answers are not compared:
the peer's is the best span, and ours has the probability of all spans that are the same. Prints a table in Markdown.
"""

import contextlib
import dataclasses
import json
import math
import operator
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence

import click
import numpy as np

from benchmarks.answering_measure import PRECISIONS
from benchmarks.corpus_sample import write_sample
from benchmarks.machine import machine
from benchmarks.peers import python_of
from benchmarks.side_by_side import measured, versions_of
from benchmarks.timing import with_spread
from benchmarks.training_step import PEERS
from realm_tf.commands import realm_command
from realm_tf.corpus.block_store import BlockStore
from realm_tf.corpus.questions import read_questions
from realm_tf.weights.imported_embeddings import write_imported_embeddings

DIMENSION = 128
_HEAD = """
| blocks | precision | ours, p50 s | PyTorch, p50 s | times as fast as PyTorch | ours, GB | PyTorch, GB | same blocks |
|---|---|---|---|---|---|---|---|"""


@click.command()
@click.option('--corpus', 'corpus_path', required=True, help='The corpus that blocks are taken from.')
@click.option('--questions', 'question_file', required=True, help='JSON Lines of questions.')
@click.option('--number', default=16, show_default=True, help='How many of the questions are asked, the first ones.')
@click.option('--blocks', 'sizes', multiple=True, type=int, default=(20_000, 200_000), show_default=True)
@click.option('--shortest', default=0, show_default=True, help='Wordpieces that a block has at least.')
@click.option('--precision', 'precisions', multiple=True, type=click.Choice(list(PRECISIONS)), default=list(PRECISIONS))
@click.option('--rounds', default=1, show_default=True, help='How often each process runs.')
@click.option('--repetitions', default=3, show_default=True, help='How often a process counts each question.')
@click.option('--peer-python', help='A Python that has what the peer needs; unset: an environment is made.')
def main(corpus_path, question_file, number, sizes, shortest, precisions, rounds, repetitions, peer_python):
    """Measures every number of blocks in every precision."""
    peer_python = peer_python or python_of(*PEERS['pretrain'])
    corpus = BlockStore.open(corpus_path)
    questions = [question.text for question in read_questions(question_file).questions[:number]]
    print(f'{machine(("tensorflow", "keras"))}; beside {versions_of(peer_python)}. {len(questions)} questions, each')
    print(f'{repetitions} times a process. Median (minimum–maximum) of {rounds}.')
    ids = blocks_of(corpus, shortest)
    mean = corpus.lengths()[ids].mean()
    print(f'{len(ids):,} blocks of {mean:.0f} wordpieces in the mean; where more are searched, they repeat.')
    print(_HEAD, flush=True)
    for size in sizes:
        our_precisions = sorted({PRECISIONS[name][0] for name in precisions})
        with prepared(corpus, np.resize(ids, size), questions, our_precisions) as systems:
            for name in precisions:
                ours, theirs = in_turns(systems, name, peer_python, rounds, repetitions)
                print(f'| {size:,} | {name} | {" | ".join(row(ours, theirs, len(questions)))} |', flush=True)


@dataclasses.dataclass(frozen=True)
class Systems:
    """What both answer with, below a directory."""

    directory: pathlib.Path

    @property
    def questions(self) -> pathlib.Path:
        """The questions, a JSON list."""
        return self.directory / 'questions.json'

    @property
    def corpus(self) -> pathlib.Path:
        """The blocks."""
        return self.directory / 'corpus'

    @property
    def embeddings(self) -> pathlib.Path:
        """Random embeddings of the blocks."""
        return self.directory / 'embeddings'

    @property
    def hugging_face(self) -> pathlib.Path:
        """A `RealmForOpenQA` with its `RealmRetriever`."""
        return self.directory / 'hugging_face' / 'openqa'

    def model(self, precision: str) -> pathlib.Path:
        """The QA model, which has the same weights in every precision."""
        return self.directory / 'model' / precision

    def export(self, precision: str) -> pathlib.Path:
        """The SavedModel that computes in this precision."""
        return self.directory / 'export' / precision / '1'


@contextlib.contextmanager
def prepared(
    corpus: BlockStore, ids: np.ndarray, questions: Sequence[str], precisions: Sequence[str]
) -> Iterator[Systems]:
    """Makes what both answer with, and removes it at the end: gigabytes.

    Args:
      corpus: what blocks are taken from.
      ids: their ids, integers `[blocks]`; one may be there more than once, and has embeddings of its own each time.
      questions: the questions.
      precisions: those of ours.
    """
    with exported(corpus, ids, precisions) as systems:
        systems.questions.write_text(json.dumps(questions))
        model, output = systems.model(precisions[0]), systems.hugging_face.parent
        form = ('--format', 'hugging-face')
        _run(*realm_command('convert', '--from', model, '--to', output, *form, *_of_corpus(systems)))
        yield systems


@contextlib.contextmanager
def exported(corpus: BlockStore, ids: np.ndarray, precisions: Sequence[str]) -> Iterator[Systems]:
    """Makes what ours answers with, and removes it at the end; `prepared` has the arguments."""
    with tempfile.TemporaryDirectory() as directory:
        systems = Systems(pathlib.Path(directory))
        write_sample(corpus, ids, systems.corpus)
        vectors = np.random.default_rng(0).standard_normal((len(ids), DIMENSION), np.float32)
        sample = BlockStore.open(systems.corpus)
        write_imported_embeddings(vectors, systems.embeddings, sample, source='random', made_by={})
        for precision in precisions:
            made = (systems.corpus, systems.embeddings, precision, systems.model(precision))
            _run(sys.executable, '-m', 'benchmarks.answering_model', *made)
            output = systems.export(precision).parent
            _run(
                *realm_command('export', '--model', systems.model(precision), '--output', output, *_of_corpus(systems))
            )
        yield systems


def _of_corpus(systems: Systems) -> tuple:
    return '--corpus', systems.corpus, '--embeddings', systems.embeddings


def blocks_of(corpus: BlockStore, shortest: int) -> np.ndarray:
    """Ids of the blocks that are long enough, int64, in an order drawn at random."""
    ids = np.flatnonzero(corpus.lengths() >= shortest)
    if not ids.size:
        raise click.ClickException(f'{corpus.artifact.path} has no block of {shortest} wordpieces.')
    return np.random.default_rng(0).permutation(ids)


@dataclasses.dataclass(frozen=True)
class Run:
    """What a process found.

    Attributes:
      seconds: the median for a question; NaN if the machine's memory was not enough.
      gigabytes: the most that the process had.
      blocks: ids of those read for each question, best first.
    """

    seconds: float
    gigabytes: float
    blocks: list[list[int]]


def run(python: str, module: str, arguments: Sequence[str]) -> Run:
    """Asks the questions in a process of its own."""
    found, gigabytes = measured(python, module, arguments)
    if found is None:
        return Run(math.nan, gigabytes, [])
    return Run(float(np.median(found['seconds'])), gigabytes, found['blocks'])


def in_turns(
    systems: Systems, name: str, peer_python: str, rounds: int, repetitions: int
) -> tuple[list[Run], list[Run]]:
    """Runs ours and the peer, one after the other, so many times; `name` is that of a row of `PRECISIONS`."""
    precision, arithmetic = PRECISIONS[name]
    arguments = [str(systems.questions), str(repetitions)]
    ours, theirs = [], []
    for _ in range(rounds):
        export, peer = str(systems.export(precision)), str(systems.hugging_face)
        ours.append(run(sys.executable, 'benchmarks.our_question_answering', [export, *arguments]))
        theirs.append(run(peer_python, 'benchmarks.peers.torch_question_answering', [peer, arithmetic, *arguments]))
    return ours, theirs


def row(ours: list[Run], theirs: list[Run], num_questions: int) -> list[str]:
    """The cells of a table for runs that took turns; how many questions agree is of the first turn."""
    ratios = [their.seconds / our.seconds for our, their in zip(ours, theirs, strict=True)]
    # A map ends with the shorter list: nothing agrees with what had not memory enough.
    same = sum(map(operator.eq, ours[0].blocks, theirs[0].blocks))
    return [
        *(with_spread([run.seconds for run in runs], digits=3) for runs in (ours, theirs)),
        with_spread(ratios, digits=2),
        *(with_spread([run.gigabytes for run in runs], digits=2) for runs in (ours, theirs)),
        f'{same} of {num_questions}',
    ]


def _run(*command) -> None:
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)


if __name__ == '__main__':
    main()
