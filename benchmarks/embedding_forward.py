"""Our embedding of blocks, in a process of its own; see `benchmarks.embedding`.

python -m benchmarks.embedding_forward CORPUS ENCODER TOKENS_PER_BATCH REPETITIONS
"""

import itertools
import json
import os
import pathlib
import sys
import tempfile

os.environ.update(TF_CPP_MIN_LOG_LEVEL='3')

import apache_beam as beam

from beam_jobs.embed_blocks import EmbedShard
from beam_jobs.embedding_shards import Shard, shards_of
from benchmarks.timing import seconds_of
from realm_tf.corpus.block_store import BlockStore
from realm_tf.embedding.block_embedder import BlockEmbedder

BLOCKS_PER_SHARD = 128
# The embedder of this process. Beam pickles what a pipeline is made of, and this it could not.
_loaded: list[BlockEmbedder] = []


class EmbedShardAgain(EmbedShard):
    """The job's own work, with the embedder that this process has loaded."""

    def setup(self) -> None:
        (self._embedder,) = _loaded


def main(corpus: str, encoder: str, tokens_per_batch: str, repetitions: str) -> None:
    """Prints, as JSON, what each repetition took, with a loop over the shards and with Beam."""
    embedder = BlockEmbedder(corpus, encoder, int(tokens_per_batch), threads=1)
    ranges = BlockStore.open(corpus).shard_ranges
    numbers = itertools.count()
    _loaded.append(embedder)
    with tempfile.TemporaryDirectory() as directory:

        def shards() -> list[Shard]:
            path = pathlib.Path(directory) / str(next(numbers))
            path.mkdir()
            return shards_of(path, ranges, BLOCKS_PER_SHARD)

        def in_a_loop() -> None:
            for shard in shards():
                shard.write(embedder.embed(shard.blocks, lambda counts: None))

        def with_beam() -> None:
            with beam.Pipeline(runner='FnApiRunner') as pipeline:
                (pipeline | beam.Create(shards()) | beam.Reshuffle() | beam.ParDo(EmbedShardAgain({})))

        # In turns, so that both see the machine alike; the first time of each is not counted.
        taken = {'loop': [], 'beam': []}
        for _ in range(int(repetitions)):
            for name, way in (('loop', in_a_loop), ('beam', with_beam)):
                taken[name] += seconds_of(way, 1, warm_up=not taken[name])
    print(json.dumps(taken))


if __name__ == '__main__':
    # Under the module's own name, so that what is pickled is found again.
    from benchmarks import embedding_forward

    embedding_forward.main(*sys.argv[1:])
