"""Embeds the blocks of a corpus with the document tower of an encoder.

    python -m beam_jobs.embed_blocks --corpus corpus --encoder encoder --output embeddings --num_workers 16

The shards of the corpus are the elements of the pipeline. A worker loads the SavedModel once, reads a shard
memory-mapped, embeds its blocks in batches of about equal length, and writes one `.npy` in block order to a temporary
name, then renames it: a shard is there whole or not at all, and an interrupted job goes on from those that are.
"""

import concurrent.futures
import dataclasses
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.metrics.metric import Metrics, MetricsFilter
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions
from apache_beam.utils.shared import Shared
from etils import epath

from beam_jobs.options import JobOptions, main, run_pipeline
from beam_jobs.progress import progress_of_files
from realm_tf.artifacts import make_artifact, open_artifact, open_whole, outdated_because
from realm_tf.config import Config, config_to_dict
from realm_tf.corpus.block_store import BlockStore
from realm_tf.search.embeddings import shard_name
from realm_tf.text.packing import pack_documents
from realm_tf.text.vocabulary import Vocabulary

# Batches are padded to a multiple of this, so that a device sees few shapes.
LENGTH_STEP = 16
COUNTERS = ('blocks', 'tokens', 'padding', 'milliseconds')


class EmbedBlocksOptions(JobOptions):
    """What is embedded, by what, and where the embeddings go."""

    @classmethod
    def _add_argparse_args(cls, parser) -> None:
        parser.add_argument('--corpus', required=True, help='The corpus.')
        parser.add_argument('--encoder', required=True, help='The encoder that embeds its blocks.')
        parser.add_argument('--output', required=True, help='Directory of the embeddings.')
        parser.add_argument(
            '--threads_per_worker', type=int, help='Threads of a worker; unset: the cores shared out among the workers.'
        )


def run(options: PipelineOptions, config: Config) -> None:
    """Embeds the corpus, or says that it is done already.

    Raises:
      RealmError: if an input is missing, or corpus and encoder have different vocabularies.
    """
    job = options.view_as(EmbedBlocksOptions)
    corpus = BlockStore.open(job.corpus)
    encoder = open_artifact(job.encoder, 'encoder')
    configuration = config_to_dict(config.embed)
    inputs = {'corpus': corpus.artifact.digest, 'encoder': encoder.digest}
    if outdated_because(job.output, 'embeddings', configuration, inputs) is None:
        print(f'{job.output} is up to date.')
        return
    corpus.require_vocabulary(Vocabulary.read(encoder.path / 'vocab.txt'), encoder.path)
    with make_artifact(
        job.output, 'embeddings', configuration=configuration, inputs=inputs, overwrite=job.overwrite
    ) as draft:
        num_shards = len(corpus.shard_ranges)
        shards = [
            Shard(blocks, str(draft.path / shard_name(number, num_shards)))
            for number, blocks in enumerate(corpus.shard_ranges)
        ]
        counts = embed_shards(
            shards,
            options,
            corpus=str(job.corpus),
            encoder=str(job.encoder),
            tokens_per_batch=config.embed.tokens_per_batch,
            threads=_threads_per_worker(options),
        )
        draft.counts['blocks'] = len(corpus)
    print(
        f'Embedded {counts["blocks"]:,} blocks: {counts["tokens"]:,} tokens and {counts["padding"]:,} of padding '
        f'in {counts["milliseconds"] / 1000:.1f} s of all workers.'
    )


@dataclasses.dataclass(frozen=True)
class Shard:
    """Consecutive blocks of the corpus, and the file their embeddings go to."""

    blocks: range
    file: str

    @property
    def is_embedded(self) -> bool:
        return epath.Path(self.file).exists()


def embed_shards(shards: Sequence[Shard], options: PipelineOptions, **embedder: Any) -> dict[str, int]:
    """Runs the pipeline.

    Args:
      shards: what to embed; those that are embedded already stay as they are.
      options: of the pipeline.
      **embedder: arguments of the `BlockEmbedder` of every worker.

    Returns:
      What was done, by the names of `COUNTERS`.
    """
    progress = progress_of_files('Embedding', {shard.file: len(shard.blocks) for shard in shards}, 'block')
    with run_pipeline(options, progress) as pipeline:
        (
            pipeline
            | 'Shards' >> beam.Create([shard for shard in shards if not shard.is_embedded])
            | 'Spread over workers' >> beam.Reshuffle()
            | 'Embed' >> beam.ParDo(EmbedShard(embedder))
        )
    counters = pipeline.result.metrics().query(MetricsFilter().with_namespace('embed_blocks'))['counters']
    return dict.fromkeys(COUNTERS, 0) | {counter.key.metric.name: counter.result for counter in counters}


class EmbedShard(beam.DoFn):
    """Embeds the blocks of a shard and writes them to its file."""

    def __init__(self, embedder: Mapping[str, Any]):
        self._embedder_arguments = embedder
        # One embedder a process, however many threads Beam runs in it.
        self._shared = Shared()

    def setup(self) -> None:
        self._embedder = self._shared.acquire(lambda: BlockEmbedder(**self._embedder_arguments))

    def process(self, shard: Shard) -> None:
        start = time.monotonic()
        embedded = self._embedder.embed(shard.blocks)
        with open_whole(shard.file) as file:
            np.save(file, embedded.embeddings)
        milliseconds = round(1000 * (time.monotonic() - start))
        for name, count in zip(
            COUNTERS, (len(shard.blocks), embedded.tokens, embedded.padding, milliseconds), strict=True
        ):
            Metrics.counter('embed_blocks', name).inc(count)


@dataclasses.dataclass(frozen=True)
class EmbeddedBlocks:
    """Embeddings, and what they cost.

    Attributes:
      embeddings: float32 `[blocks, dimension]`, in block order.
      tokens: wordpieces embedded.
      padding: padding embedded with them.
    """

    embeddings: np.ndarray
    tokens: int
    padding: int


class BlockEmbedder:
    """The document tower of an encoder, over a corpus."""

    def __init__(self, corpus: str, encoder: str, tokens_per_batch: int, threads: int):
        """Loads the SavedModel and settles TensorFlow's threads, which must not have started in this process.

        Args:
          corpus: the corpus.
          encoder: the encoder.
          tokens_per_batch: most wordpieces in a batch, padding counted.
          threads: batches embedded at the same time.
        """
        # Here, and not at the top: a driver that starts workers, or finds nothing to do, needs no TensorFlow.
        import tensorflow as tf

        # Batches share out the cores, and each runs on one thread: sums over several would depend on their number.
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        self._corpus = BlockStore.open(corpus)
        self._lengths = self._corpus.lengths()
        self._model = tf.saved_model.load(str(epath.Path(encoder) / 'saved_model'))
        self._embed_document = self._model.signatures['embed_document']
        self._tokens_per_batch = tokens_per_batch
        self._threads = concurrent.futures.ThreadPoolExecutor(threads)

    def embed(self, blocks: range) -> EmbeddedBlocks:
        """Embeds consecutive blocks of the corpus."""
        dimension = self._embed_document.structured_outputs['embedding'].shape[-1]
        embeddings = np.empty((len(blocks), dimension), np.float32)

        def embed_batch(batch: tuple[np.ndarray, int]) -> tuple[int, int]:
            rows, length = batch
            ids = blocks.start + rows
            packed = pack_documents(
                self._corpus.title_ids(ids),
                self._corpus.body_ids(ids),
                min(length, self._corpus.block_length),
                self._corpus.vocabulary,
            )
            # [batch, dimension]
            embedded = self._embed_document(token_ids=packed.token_ids, segment_ids=packed.segment_ids)
            embeddings[rows] = embedded['embedding']
            return int(self._lengths[ids].sum()), packed.token_ids.size

        batches = batches_by_length(self._lengths[blocks.start : blocks.stop], self._tokens_per_batch)
        sizes = np.array(list(self._threads.map(embed_batch, batches)), np.int64).reshape(-1, 2)
        tokens, positions = sizes.sum(axis=0).tolist()
        return EmbeddedBlocks(embeddings, tokens, positions - tokens)


def batches_by_length(lengths: np.ndarray, tokens_per_batch: int) -> Iterator[tuple[np.ndarray, int]]:
    """Groups rows of about equal length into batches.

    Args:
      lengths: length of each row, `[rows]`.
      tokens_per_batch: most wordpieces in a batch, padding counted; a longer row is a batch of its own.

    Yields:
      The rows of a batch, ascending, and the multiple of `LENGTH_STEP` they are padded to; longest last.
    """
    padded_lengths = -(-lengths // LENGTH_STEP) * LENGTH_STEP
    for length in np.unique(padded_lengths):
        rows = np.flatnonzero(padded_lengths == length)
        batch_size = max(1, tokens_per_batch // int(length))
        for start in range(0, len(rows), batch_size):
            yield rows[start : start + batch_size], int(length)


def _threads_per_worker(options: PipelineOptions) -> int:
    asked = options.view_as(EmbedBlocksOptions).threads_per_worker
    return asked or max(1, os.cpu_count() // options.view_as(DirectOptions).direct_num_workers)


if __name__ == '__main__':
    # Under the module's own name, which workers can import; what they are sent from `__main__` they cannot.
    from beam_jobs import embed_blocks

    main(embed_blocks.run, embed_blocks.EmbedBlocksOptions)
