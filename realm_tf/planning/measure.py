"""What a plan measures: how fast this machine embeds with one thread, and what indices of samples take.

Each measurement is a process of its own, so that the memory that it reports is its own, and TensorFlow's threads are
settled there.
"""

import concurrent.futures
import contextlib
import dataclasses
import multiprocessing
import os
import pathlib
import resource
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import numpy as np

from realm_tf.artifacts import make_artifact
from realm_tf.config import Config, IndexConfig, recipe
from realm_tf.corpus.arrow_shards import shard_name
from realm_tf.corpus.block_store import KIND, SHARDS, VOCABULARY, Block, BlockStore, write_blocks
from realm_tf.errors import RealmError
from realm_tf.files import read_json_lines
from realm_tf.peak_memory import PeakMemory, own
from realm_tf.planning.plan import BuiltIndex
from realm_tf.search import embeddings
from realm_tf.text.vocabulary import Vocabulary

_SPECIAL_PIECES = ('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]')
_BLOCKS_AT_ONCE = 128
_TITLE_LENGTH = 4
# Of made-up embeddings: how many lie about one centre, and how far, where centres are 1 from one another.
_VECTORS_OF_A_CENTRE = 16
_DISTANCE = 0.5


@dataclasses.dataclass(frozen=True)
class Embedded:
    """What one thread embedded.

    Attributes:
      blocks: how many blocks.
      seconds: how long it took, after the first that are not counted.
      memory: most bytes that the process had.
    """

    blocks: int
    seconds: float
    memory: int


def measure_embedding(corpus: str, encoder: str, tokens_per_batch: int, seconds: float) -> Embedded:
    """Embeds runs of blocks from all over a corpus with one thread for some seconds."""
    return _in_process(_embed, corpus, encoder, tokens_per_batch, seconds)


def measure_index(directory: pathlib.Path, num_blocks: int, dimension: int, config: Config) -> BuiltIndex:
    """Builds an index of made-up embeddings, whatever its recall.

    Args:
      directory: where all that is made goes.
      num_blocks: how many embeddings.
      dimension: of an embedding.
      config: says the searcher.

    Raises:
      RealmError: if a process was ended from outside.
    """
    index = dataclasses.replace(config.index, minimum_recall=0.0)
    _write_embeddings(directory / 'first', _VECTORS_OF_A_CENTRE, dimension)
    _write_embeddings(directory / 'embeddings', num_blocks, dimension)
    with _process() as process:
        # From here, as ScaNN may not let another thread of its process look.
        with PeakMemory(process.submit(os.getpid).result(), own, every=0.1) as peak:
            seconds, disk = process.submit(_build, directory, index).result()
        return BuiltIndex(num_blocks, seconds, peak.bytes, disk)


def make_up_encoder(directory: pathlib.Path, config: Config, vocabulary: Vocabulary) -> None:
    """Writes an encoder with the shape that the configuration says and random weights; TensorFlow is needed."""
    _in_process(_write_encoder, directory, config, vocabulary)


def make_up_vocabulary(size: int) -> Vocabulary:
    """A vocabulary of so many wordpieces that mean nothing."""
    return Vocabulary((*_SPECIAL_PIECES, *(f'piece{id}' for id in range(size - len(_SPECIAL_PIECES)))))


def make_up_corpus(directory: pathlib.Path, block_length: int, vocabulary: Vocabulary) -> None:
    """Writes a corpus of random blocks, all of the full length."""
    random = np.random.default_rng(0)

    def pieces(length: int) -> np.ndarray:
        return random.integers(len(_SPECIAL_PIECES), len(vocabulary.pieces), length)

    body_length = block_length - 3 - _TITLE_LENGTH
    blocks = [Block('', '', '', pieces(_TITLE_LENGTH), pieces(body_length), [0]) for _ in range(4 * _BLOCKS_AT_ONCE)]
    with make_artifact(directory, KIND, configuration={'block_length': block_length}, inputs={}) as draft:
        vocabulary.write(draft.path / VOCABULARY)
        write_blocks(draft.path / shard_name(SHARDS, 0, 1), blocks)


def _embed(corpus: str, encoder: str, tokens_per_batch: int, seconds: float) -> Embedded:
    from realm_tf.embedding.block_embedder import BlockEmbedder

    embedder = BlockEmbedder(corpus, encoder, tokens_per_batch, threads=1)
    num_blocks = len(BlockStore.open(corpus))
    starts = np.arange(0, num_blocks, _BLOCKS_AT_ONCE)
    np.random.default_rng(0).shuffle(starts)
    runs = [range(start, min(start + _BLOCKS_AT_ONCE, num_blocks)) for start in starts.tolist()]
    embedder.embed(runs[0], lambda counts: None)
    started = time.monotonic()
    blocks = 0
    while time.monotonic() - started < seconds:
        run = runs[(blocks // _BLOCKS_AT_ONCE + 1) % len(runs)]
        embedder.embed(run, lambda counts: None)
        blocks += len(run)
    return Embedded(blocks, time.monotonic() - started, _peak_memory())


def _build(directory: pathlib.Path, config: IndexConfig) -> tuple[float, int]:
    """How many seconds the index took, and how many bytes it has."""
    from realm_tf.search.index import build_index

    # The time for what is imported and set up once is not counted.
    build_index(directory / 'first', directory / 'first-index', config)
    started = time.monotonic()
    artifact = build_index(directory / 'embeddings', directory / 'index', config)
    return time.monotonic() - started, sum(file['bytes'] for file in artifact.files.values())


def _write_embeddings(path: pathlib.Path, num_blocks: int, dimension: int) -> None:
    random = np.random.default_rng(0)
    centres = random.standard_normal((max(1, num_blocks // _VECTORS_OF_A_CENTRE), dimension), np.float32)
    vectors = np.resize(centres, (num_blocks, dimension))
    vectors += _DISTANCE * random.standard_normal(vectors.shape, np.float32)
    with make_artifact(path, 'embeddings', configuration={}, inputs={}) as draft:
        np.save(draft.path / embeddings.shard_name(0, 1), vectors)
        draft.counts['blocks'] = num_blocks


def _write_encoder(directory: pathlib.Path, config: Config, vocabulary: Vocabulary) -> None:
    from realm_tf.weights.encoder_artifact import write_encoder
    from realm_tf.weights.networks import make_retriever

    write_encoder(
        directory,
        configuration=recipe(config),
        vocabulary=vocabulary,
        retriever=make_retriever(config),
        knowledge_augmented_encoder=None,
        inputs={},
        step=0,
    )


def _peak_memory() -> int:
    """In bytes; Linux says it in KiB, macOS in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == 'darwin' else 1024)


def _in_process(work: Callable[..., Any], *arguments: Any) -> Any:
    """What the work gives in a process of its own."""
    with _process() as process:
        return process.submit(work, *arguments).result()


@contextlib.contextmanager
def _process() -> Iterator[concurrent.futures.Executor]:
    """A process, which may start others, whose messages nobody is to read."""
    spawn = multiprocessing.get_context('spawn')
    try:
        with concurrent.futures.ProcessPoolExecutor(1, spawn, initializer=_be_silent) as process:
            yield process
    except BrokenProcessPool as error:
        raise RealmError(
            'A process that measured was ended from outside, most likely as memory ran out. Give a smaller '
            '--index-sample, or --blocks-per-second, which then is not measured.'
        ) from error


def _be_silent() -> None:
    # The libraries in C++ write to the file itself.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def seconds_of_step(run: pathlib.Path) -> float:
    """The median of the seconds of the steps of a training run.

    Raises:
      RealmError: if it has none.
    """
    file = run / 'metrics.jsonl'
    entries = read_json_lines(file) if file.exists() else []
    seconds = [entry['seconds'] for entry in entries if 'seconds' in entry]
    if not seconds:
        raise RealmError(f'{file} tells of no step. Name the directory of a training run, or give --seconds-per-step.')
    return float(np.median(seconds))


def bytes_per_block(corpus: BlockStore) -> float:
    """Bytes on disk of a block of a corpus."""
    return sum(file['bytes'] for file in corpus.artifact.files.values()) / len(corpus)
