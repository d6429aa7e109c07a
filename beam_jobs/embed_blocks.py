"""Embeds the blocks of a corpus with the document tower of an encoder.

    python -m beam_jobs.embed_blocks --corpus corpus --encoder encoder --output embeddings --num_workers 16

The shards of the embeddings are the elements of the pipeline: runs of blocks, the same for any number of workers. A
worker loads the SavedModel once, reads the blocks of a shard memory-mapped, embeds them in batches of about equal
length, and writes the files of the shard under temporary names, then renames them. An interrupted job goes on from the
shards that are there whole, by their checksums.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.metrics.metric import Metrics, MetricsFilter
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions
from apache_beam.utils.shared import Shared

from beam_jobs.embedding_reports import COUNTS, Reporter, progress_of_reports
from beam_jobs.embedding_shards import Shard, shards_of, unfinished
from beam_jobs.options import LOCAL_RUNNER, JobOptions, main, run_pipeline
from beam_jobs.watchdog import Watchdog
from realm_tf.artifacts import make_artifact, open_artifact, outdated_because
from realm_tf.config import Config, config_from_dict, config_to_dict
from realm_tf.corpus.block_store import BlockStore
from realm_tf.embedding.block_embedder import BlockEmbedder
from realm_tf.embedding.reuse import require_reusable
from realm_tf.text.vocabulary import Vocabulary
from realm_tf.weights.fit import require_positions


class EmbedBlocksOptions(JobOptions):
    """What is embedded, by what, and where the embeddings go."""

    @classmethod
    def _add_argparse_args(cls, parser) -> None:
        parser.add_argument('--corpus', required=True, help='The corpus.')
        parser.add_argument('--encoder', required=True, help='The encoder that embeds its blocks.')
        parser.add_argument('--output', required=True, help='Directory of the embeddings.')
        parser.add_argument(
            '--reuse',
            metavar='EMBEDDINGS',
            help='Embeddings of an earlier state of the corpus by the same encoder: only blocks that they do not have '
            'are embedded.',
        )
        parser.add_argument(
            '--threads_per_worker',
            type=int,
            help='Threads of a worker; unset: here, the cores shared out among the workers, elsewhere one.',
        )
        parser.add_argument(
            '--stall_minutes', type=float, default=30.0, help='Minutes without progress after which the job gives up.'
        )


def run(options: PipelineOptions, config: Config) -> None:
    """Embeds the corpus, or says that it is done already.

    Raises:
      RealmError: if an input is missing, corpus and encoder have different vocabularies, or the embeddings to reuse are
        another encoder's.
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
    require_positions(config_from_dict(encoder.configuration), {f'the blocks of {job.corpus}': corpus.block_length})
    read = []
    if job.reuse:
        reused = open_artifact(job.reuse, 'embeddings')
        require_reusable(reused, encoder)
        read.append(reused)
    with make_artifact(
        job.output, 'embeddings', configuration=configuration, inputs=inputs, overwrite=job.overwrite, read=read
    ) as draft:
        shards = shards_of(draft.path, corpus.shard_ranges, config.embed.blocks_per_shard)
        waiting = unfinished(shards)
        counts = embed_shards(
            waiting,
            len(corpus),
            options,
            corpus=str(job.corpus),
            encoder=str(job.encoder),
            tokens_per_batch=config.embed.tokens_per_batch,
            threads=_threads_per_worker(options),
            reuse=job.reuse,
        )
        draft.counts['blocks'] = len(corpus)
    print(_summary(counts, len(corpus) - sum(len(shard.blocks) for shard in waiting)))


def embed_shards(shards: Sequence[Shard], num_blocks: int, options: PipelineOptions, **embedder: Any) -> dict[str, int]:
    """Runs the pipeline.

    Args:
      shards: what to embed.
      num_blocks: how many blocks there are, in these shards and in those that are done.
      options: of the pipeline.
      **embedder: arguments of the `BlockEmbedder` of every worker.

    Returns:
      What was done, by the names of `COUNTS`.
    """
    done = num_blocks - sum(len(shard.blocks) for shard in shards)
    minutes = options.view_as(EmbedBlocksOptions).stall_minutes
    watchdog = Watchdog(60 * minutes, _stalled(minutes, options.view_as(StandardOptions).runner))
    progress = progress_of_reports([shard.report for shard in shards], num_blocks, done, watchdog)
    with run_pipeline(options, progress) as pipeline:
        add_steps(pipeline, shards, embedder)
    counters = pipeline.result.metrics().query(MetricsFilter().with_namespace('embed_blocks'))['counters']
    return dict.fromkeys(COUNTS, 0) | {counter.key.metric.name: counter.result for counter in counters}


def add_steps(pipeline: beam.Pipeline, shards: Sequence[Shard], embedder: Mapping[str, Any]) -> None:
    """Adds the steps of the job to a pipeline; arguments as of `embed_shards`."""
    (
        pipeline
        | 'Shards' >> beam.Create(shards)
        | 'Spread over workers' >> beam.Reshuffle()
        | 'Embed' >> beam.ParDo(EmbedShard(embedder))
    )


class EmbedShard(beam.DoFn):
    """Embeds the blocks of a shard, and writes its files."""

    def __init__(self, embedder: Mapping[str, Any]):
        self._embedder_arguments = embedder
        # One embedder a process, however many threads Beam runs in it.
        self._shared = Shared()

    def setup(self) -> None:
        self._embedder = self._shared.acquire(lambda: BlockEmbedder(**self._embedder_arguments))

    def process(self, shard: Shard) -> None:
        reporter = Reporter(shard.report)
        embedded = self._embedder.embed(shard.blocks, reporter.add)
        report = reporter.finish(shard.write(embedded))
        for name, count in report.counts.items():
            Metrics.counter('embed_blocks', name).inc(count)


def _summary(counts: Mapping[str, int], done_before: int) -> str:
    share = counts['padding'] / max(1, counts['tokens'] + counts['padding'])
    summary = (
        f'Embedded {counts["blocks"]:,} blocks: {counts["tokens"]:,} tokens and {counts["padding"]:,} of padding '
        f'({share:.1%}) in {counts["milliseconds"] / 1000:.1f} s of all workers; {counts["reused"]:,} blocks reused, '
        f'{done_before:,} were there.'
    )
    if counts['halved']:
        summary += (
            f' Memory ran out, and a batch was halved, {counts["halved"]:,} times: a smaller embed.tokens_per_batch, '
            'or fewer workers on a machine, would save that.'
        )
    return summary


def _stalled(minutes: float, runner: str) -> str:
    if runner == LOCAL_RUNNER:
        what_to_do = 'A worker may wait for a disk that is gone, or for memory'
    else:
        what_to_do = f'Cancel the job of {runner}, and look for the reason in the logs of its workers'
    return (
        f'No worker has got further for {minutes:g} minutes, so the job was given up. {what_to_do}. The same command '
        'goes on from the shards that are done; --stall_minutes says how long to wait.'
    )


def _threads_per_worker(options: PipelineOptions) -> int:
    asked = options.view_as(EmbedBlocksOptions).threads_per_worker
    # Elsewhere it is not known here how many cores there are; Dataflow starts a process for each.
    if asked or options.view_as(StandardOptions).runner != LOCAL_RUNNER:
        return asked or 1
    return max(1, os.cpu_count() // options.view_as(DirectOptions).direct_num_workers)


if __name__ == '__main__':
    # Under the module's own name, which workers can import; what they are sent from `__main__` they cannot.
    from beam_jobs import embed_blocks

    main(embed_blocks.run, embed_blocks.EmbedBlocksOptions)
