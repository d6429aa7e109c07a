"""The benchmarks that `make bench` runs, all on the same documents and questions.

    python -m benchmarks                                                        the World Factbook's
    python -m benchmarks --documents articles.jsonl.gz --questions questions.jsonl --dump dump.xml.bz2

Corpus, embeddings and vectors are made once, and kept in `--workdir`.
"""

import pathlib
import subprocess
import sys
from collections.abc import Iterator, Mapping

from benchmarks.search_measure import QUERIES
from realm_tf.commands import run_realm
from realm_tf.quickstart.minilm import minilm_directory

# They are drawn between the embeddings of the blocks, of which there are fewer.
VECTORS = 1_000_000


class Inputs:
    """What the benchmarks are run on.

    Args:
      workdir: what is made is kept here.
      documents: JSON Lines with a title and a text; None: the World Factbook.
      questions: JSON Lines of questions; None: those of the World Factbook.
      dump: a MediaWiki export compressed by bzip2; None: what reads one is left out.
    """

    def __init__(self, workdir: pathlib.Path, documents: str | None, questions: str | None, dump: str | None):
        self._workdir = workdir
        self._factbook = None if documents and questions else workdir / 'factbook'
        self._questions = questions or self._factbook / 'questions.test.jsonl'
        self._dump = dump
        self._vocabulary = ('--vocabulary', minilm_directory() / 'vocab.txt')
        self._texts = ('--input', documents or self._factbook / 'documents.jsonl', *self._vocabulary)
        self._corpus = ('--corpus', workdir / 'corpus')
        self._embeddings = workdir / 'embeddings'
        self._vectors = workdir / 'vectors'

    def commands(self) -> Iterator[tuple]:
        """Arguments of the `realm` commands that make them, in order; what is there is not made again."""
        if self._factbook:
            yield 'factbook', '--output', self._factbook
        small, encoder = ('--preset', 'small'), self._workdir / 'encoder'
        yield 'corpus', 'build', *small, *self._texts, '--output', self._workdir / 'corpus'
        yield 'import', *small, *self._corpus, '--from', minilm_directory(), '--to', encoder
        yield (
            *('embed', *small, *self._corpus, '--encoder', encoder, '--output', self._embeddings),
            *('--num_workers', '2'),
        )

    def make(self) -> None:
        """Makes what is not there."""
        self._workdir.mkdir(parents=True, exist_ok=True)
        for arguments in self.commands():
            run_realm(*arguments)
        # The last of its files.
        if not (self._vectors / QUERIES).exists():
            of_vectors = ('--embeddings', self._embeddings, '--blocks', VECTORS, '--output', self._vectors)
            command = [sys.executable, '-m', 'benchmarks.search_vectors', *map(str, of_vectors)]
            subprocess.run(command, check=True)

    def options(self, docs: pathlib.Path) -> Mapping[str, tuple]:
        """The benchmarks in the order in which they are run, with their options.

        Args:
          docs: the documentation that what they print is written into; their pictures get a directory of its name.
        """
        pictures = docs.with_suffix('')
        return {
            # A twentieth of the World Factbook is read in too short a time.
            'tokenization': (*self._texts, *(('--every', '1') if self._factbook else ())),
            'corpus': self._texts,
            **({'dump': ('--dump', self._dump, *self._vocabulary)} if self._dump else {}),
            'encoder': (),
            'embedding': self._corpus,
            'training_step': (),
            'question_answering': (*self._corpus, '--questions', self._questions),
            'search': (
                *('--vectors', self._vectors, '--scratch', self._workdir / 'indexes'),
                *('--picture', pictures / 'search.svg'),
            ),
            'growth': ('--vectors', self._vectors, *self._corpus, '--picture', pictures / 'growth.svg'),
            # Of what the others wrote.
            'ratios': ('--docs', docs, '--picture', pictures / 'ratios.svg'),
        }
