"""The shards of embeddings in the making: which blocks each has, which files it becomes, and whether it is done."""

import concurrent.futures
import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np
from etils import epath

from beam_jobs.embedding_reports import read_report
from realm_tf.artifacts import file_checksum, open_whole
from realm_tf.embedding.block_embedder import EmbeddedBlocks
from realm_tf.search.embeddings import contents_name, shard_name


@dataclasses.dataclass(frozen=True)
class Shard:
    """Consecutive blocks of a corpus, and the files that they become.

    Attributes:
      blocks: their ids.
      embeddings: the file of the embeddings.
      contents: the file of the contents.
    """

    blocks: range
    embeddings: str
    contents: str

    @property
    def report(self) -> epath.Path:
        """Where its report goes; the name begins with a dot, so that it is no part of the artefact."""
        path = epath.Path(self.embeddings)
        return path.parent / f'.{path.stem}.json'

    def write(self, embedded: EmbeddedBlocks) -> dict[str, str]:
        """Writes the files, each whole or not at all; gives their checksums."""
        for path, array in ((self.embeddings, embedded.embeddings), (self.contents, embedded.contents)):
            with open_whole(path) as file:
                np.save(file, array)
        return self.checksums()

    def is_done(self) -> bool:
        """Whether its files are there, with the checksums in its report."""
        try:
            return read_report(self.report).checksums == self.checksums()
        except FileNotFoundError:
            return False

    def checksums(self) -> dict[str, str]:
        """The checksums of its files, by name."""
        return {epath.Path(path).name: file_checksum(path) for path in (self.embeddings, self.contents)}


def shards_of(directory: epath.Path, corpus_shards: Sequence[range], blocks_per_shard: int) -> list[Shard]:
    """Cuts the shards of a corpus into shards of embeddings.

    Args:
      directory: of the embeddings.
      corpus_shards: the blocks of each shard of the corpus.
      blocks_per_shard: the most blocks in one; those cut from a shard of the corpus have about equally many.
    """
    ranges = []
    for blocks in corpus_shards:
        num_parts = max(1, math.ceil(len(blocks) / blocks_per_shard))
        limits = [len(blocks) * part // num_parts for part in range(num_parts + 1)]
        ranges.extend(blocks[start:limit] for start, limit in itertools.pairwise(limits))
    return [
        Shard(blocks, *(str(directory / name(number, len(ranges))) for name in (shard_name, contents_name)))
        for number, blocks in enumerate(ranges)
    ]


def unfinished(shards: Sequence[Shard]) -> list[Shard]:
    """The shards that are still to be made; what a run before reported of them is removed."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        is_done = list(pool.map(Shard.is_done, shards))
    waiting = [shard for shard, done in zip(shards, is_done, strict=True) if not done]
    for shard in waiting:
        shard.report.unlink(missing_ok=True)
    return waiting
