"""Finds the salient spans of a corpus: named entities and dates.

    python -m beam_jobs.tag_spans --corpus corpus --output spans --num_workers 2

The shards of the corpus are the elements of the pipeline. A worker loads the tagger once; a shard is written whole or
not at all, and an interrupted job goes on from those that are there.
"""

import dataclasses
from collections import Counter
from collections.abc import Sequence

import apache_beam as beam
import numpy as np
from apache_beam.options.pipeline_options import PipelineOptions
from etils import epath

from beam_jobs.options import JobOptions, main, run_pipeline
from beam_jobs.progress import progress_of_files
from realm_tf.artifacts import make_artifact, outdated_because
from realm_tf.config import Config, SpansConfig, config_to_dict
from realm_tf.corpus.arrow_shards import shard_counts, shard_name
from realm_tf.corpus.block_store import BlockStore
from realm_tf.corpus.span_store import KIND, SHARDS, BlockSpans, write_spans
from realm_tf.corpus.spans import Span, make_tagger, tagger_inputs

_BLOCKS_AT_ONCE = 256


class TagSpansOptions(JobOptions):
    """What is tagged, and where the spans go."""

    @classmethod
    def _add_argparse_args(cls, parser) -> None:
        parser.add_argument('--corpus', required=True, help='The corpus.')
        parser.add_argument('--output', required=True, help='Directory of the spans.')


def run(options: PipelineOptions, config: Config) -> None:
    """Tags the corpus, or says that it is done already.

    Raises:
      RealmError: if there is no corpus, or the tagger is not installed.
    """
    job = options.view_as(TagSpansOptions)
    corpus = BlockStore.open(job.corpus)
    configuration = config_to_dict(config.spans)
    inputs = {'corpus': corpus.artifact.digest, **tagger_inputs(config.spans)}
    if outdated_because(job.output, KIND, configuration, inputs) is None:
        print(f'{job.output} is up to date.')
        return
    with make_artifact(job.output, KIND, configuration=configuration, inputs=inputs, overwrite=job.overwrite) as draft:
        num_shards = len(corpus.shard_ranges)
        shards = [
            Shard(blocks, str(draft.path / shard_name(SHARDS, number, num_shards)))
            for number, blocks in enumerate(corpus.shard_ranges)
        ]
        waiting = [shard for shard in shards if not epath.Path(shard.file).exists()]
        # Leaving the pipeline's block runs it.
        progress = progress_of_files('Spans', {shard.file: len(shard.blocks) for shard in shards}, 'block')
        with run_pipeline(options, progress) as pipeline:
            (
                pipeline
                | 'Shards' >> beam.Create(waiting)
                | 'Spread over workers' >> beam.Reshuffle()
                | 'Tag' >> beam.ParDo(TagShard(str(job.corpus), config.spans))
            )
        counts = sum((Counter(shard_counts(shard.file)) for shard in shards), Counter())
        draft.counts.update(counts)
    print(f'{counts["spans"]:,} spans in {counts["blocks_with_spans"]:,} of {len(corpus):,} blocks.')


@dataclasses.dataclass(frozen=True)
class Shard:
    """Consecutive blocks of the corpus, and the file their spans go to."""

    blocks: range
    file: str


class TagShard(beam.DoFn):
    """Tags the blocks of a shard, and writes their spans."""

    def __init__(self, corpus: str, config: SpansConfig):
        self._corpus_path = corpus
        self._config = config

    def setup(self) -> None:
        # Here, and not at the top: a driver that starts workers, or finds nothing to do, needs no TensorFlow.
        from realm_tf.text.wordpiece import WordPieceTokenizer

        self._corpus = BlockStore.open(self._corpus_path)
        self._tagger = make_tagger(self._config)
        self._tokenizer = WordPieceTokenizer(self._corpus.vocabulary)

    def process(self, shard: Shard) -> None:
        blocks: list[BlockSpans] = []
        for start in range(shard.blocks.start, shard.blocks.stop, _BLOCKS_AT_ONCE):
            texts = self._corpus.texts(np.arange(start, min(start + _BLOCKS_AT_ONCE, shard.blocks.stop)))
            offsets = self._tokenizer.offsets(texts)
            blocks.extend(
                spans_of_block(spans, *of_block)
                for spans, of_block in zip(self._tagger.tag(texts), offsets, strict=True)
            )
        num_spans = [len(of_block.starts) for of_block in blocks]
        write_spans(shard.file, blocks, {'spans': sum(num_spans), 'blocks_with_spans': sum(map(bool, num_spans))})


def spans_of_block(spans: Sequence[Span], piece_starts: np.ndarray, piece_limits: np.ndarray) -> BlockSpans:
    """Says which wordpieces each span covers; a span that covers none is left out.

    Args:
      spans: the spans of a block, in bytes.
      piece_starts: where each wordpiece of the block starts, in bytes, `[pieces]`.
      piece_limits: where it ends.
    """
    kept = []
    for span in spans:
        token_start = int(np.searchsorted(piece_limits, span.start, side='right'))
        token_limit = int(np.searchsorted(piece_starts, span.limit, side='left'))
        if token_start < token_limit:
            kept.append((span.start, span.limit, token_start, token_limit, span.label))
    return BlockSpans(*zip(*kept, strict=True)) if kept else BlockSpans([], [], [], [], [])


if __name__ == '__main__':
    # Under the module's own name, which workers can import; what they are sent from `__main__` they cannot.
    from beam_jobs import tag_spans

    main(tag_spans.run, tag_spans.TagSpansOptions)
