"""All benchmarks that have a peer, on the same documents and questions.

    python -m benchmarks                                                        the World Factbook's
    python -m benchmarks --documents articles.jsonl.gz --questions questions.jsonl --dump dump.xml.bz2

Corpus, embeddings and vectors are made once, with the commands that users run, and kept in `--workdir`.
"""

import pathlib
from collections.abc import Iterator, Mapping

from realm_tf.commands import run_realm
from realm_tf.quickstart.minilm import minilm_directory

# Of the World Factbook there are 4,000 blocks or so; the vectors of search are drawn between the real ones.
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
        factbook = workdir / 'factbook'
        self.documents = documents or factbook / 'documents.jsonl'
        self.questions = questions or factbook / 'questions.test.jsonl'
        self.dump = dump
        self.vocabulary = minilm_directory() / 'vocab.txt'
        self.corpus = workdir / 'corpus'
        self.vectors = workdir / 'vectors'
        self.indexes = workdir / 'indexes'
        self._embeddings = workdir / 'embeddings'
        self._workdir = workdir
        self._needs_factbook = not (documents and questions)

    def commands(self) -> Iterator[tuple]:
        """Arguments of the `realm` commands that make them, in order; what is there is not made again."""
        if self._needs_factbook:
            yield 'factbook', '--output', self._workdir / 'factbook'
        small, encoder = ('--preset', 'small'), self._workdir / 'encoder'
        texts = ('--input', self.documents, '--vocabulary', self.vocabulary)
        yield 'corpus', 'build', *small, *texts, '--output', self.corpus
        yield 'import', *small, '--from', minilm_directory(), '--to', encoder, '--random'
        made_of = ('--corpus', self.corpus, '--encoder', encoder)
        yield 'embed', *small, *made_of, '--output', self._embeddings, '--num_workers', '2'

    def make(self) -> None:
        """Makes what is not there."""
        self._workdir.mkdir(parents=True, exist_ok=True)
        for arguments in self.commands():
            run_realm(*arguments)

    def options(self) -> Mapping[str, tuple]:
        """The benchmarks in the order in which they are run, with their options."""
        texts = ('--input', self.documents, '--vocabulary', self.vocabulary)
        return {
            'tokenization': texts,
            'corpus': texts,
            **({'dump': ('--dump', self.dump, '--vocabulary', self.vocabulary)} if self.dump else {}),
            'encoder': (),
            'embedding': ('--corpus', self.corpus),
            'training_step': (),
            'question_answering': ('--corpus', self.corpus, '--questions', self.questions),
            'search_vectors': ('--embeddings', self._embeddings, '--blocks', VECTORS, '--output', self.vectors),
            'search': ('--vectors', self.vectors, '--scratch', self.indexes),
            'growth': ('--vectors', self.vectors),
        }
