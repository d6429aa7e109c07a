"""Cuts documents into blocks: the corpus.

    python -m beam_jobs.build_corpus --input 'articles/*.jsonl.gz' --vocabulary vocab.txt --output corpus

Documents are JSON Lines of `{"id", "title", "text"}`. The shards of the corpus are the elements of the pipeline: each
is a run of documents, so that blocks keep the documents' order and every shard is the same whoever makes it. A shard is
written whole or not at all, and an interrupted job goes on from those that are there.
"""

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from etils import epath

from beam_jobs.options import JobOptions, main, make_pipeline
from beam_jobs.progress import progress_of_files
from realm_tf.artifacts import file_checksum, make_artifact, outdated_because, write_text_whole
from realm_tf.config import Config, CorpusConfig, config_to_dict
from realm_tf.corpus.arrow_shards import shard_counts, shard_name
from realm_tf.corpus.block_store import KIND, SHARDS, VOCABULARY, Block, write_blocks
from realm_tf.corpus.documents import Document, Rejected, count_lines, read_json_lines
from realm_tf.errors import RealmError
from realm_tf.text.vocabulary import Vocabulary

_DOCUMENTS_AT_ONCE = 256


class BuildCorpusOptions(JobOptions):
    """What is read, and where the corpus goes."""

    @classmethod
    def _add_argparse_args(cls, parser) -> None:
        parser.add_argument('--input', required=True, action='append', help='Files of documents; may be given again.')
        parser.add_argument('--vocabulary', required=True, help='A BERT vocab.txt.')
        parser.add_argument('--output', required=True, help='Directory of the corpus.')
        parser.add_argument(
            '--maximum_rejected', type=float, default=0.05, help='Share of records that may be rejected.'
        )


def run(options: PipelineOptions, config: Config) -> None:
    """Builds the corpus, or says that it is done already.

    Raises:
      RealmError: if an input is missing, or too many records are no documents.
    """
    job = options.view_as(BuildCorpusOptions)
    files = _matching(job.input)
    vocabulary = Vocabulary.read(job.vocabulary)
    configuration = config_to_dict(config.corpus)
    inputs = {'documents': _checksum_of_all(files), 'vocabulary': vocabulary.digest}
    if outdated_because(job.output, KIND, configuration, inputs) is None:
        print(f'{job.output} is up to date.')
        return
    with make_artifact(job.output, KIND, configuration=configuration, inputs=inputs, overwrite=job.overwrite) as draft:
        vocabulary.write(draft.path / VOCABULARY)
        shards = plan_shards(files, draft.path, config.corpus.num_shards)
        waiting = [shard for shard in shards if not epath.Path(shard.file).exists()]
        # Leaving the pipeline's block runs it.
        with (
            progress_of_files('Corpus', dict.fromkeys((shard.file for shard in shards), 1), 'shard'),
            make_pipeline(options) as pipeline,
        ):
            (
                pipeline
                | 'Shards' >> beam.Create(waiting)
                | 'Spread over workers' >> beam.Reshuffle()
                | 'Build' >> beam.ParDo(BuildShard(str(draft.path / VOCABULARY), config.corpus))
            )
        counts = sum((Counter(shard_counts(shard.file)) for shard in shards), Counter())
        _require_few_rejected(counts, job.maximum_rejected, draft.path)
        draft.counts.update(counts)
    print(
        f'{counts["blocks"]:,} blocks of {counts["documents"]:,} documents, {counts["wordpieces"]:,} wordpieces; '
        f'{counts["rejected"]:,} records rejected, {counts["split_sentences"]:,} sentences split.'
    )


@dataclasses.dataclass(frozen=True)
class Shard:
    """A run of documents, and the file their blocks go to.

    Attributes:
      slices: files of documents, and the lines of each, from the first to before the limit.
      file: the shard.
      rejected: where lines that are no documents go.
    """

    slices: tuple[tuple[str, int, int], ...]
    file: str
    rejected: str


def plan_shards(files: Sequence[epath.Path], output: epath.Path, num_shards: int) -> list[Shard]:
    """Shares the lines of all files out among shards, in order and evenly."""
    lines = [count_lines(file) for file in files]
    total = sum(lines)
    shards = []
    for number in range(num_shards):
        first, limit = number * total // num_shards, (number + 1) * total // num_shards
        slices = []
        start = 0
        for file, count in zip(files, lines, strict=True):
            if first < start + count and limit > start:
                slices.append((str(file), max(0, first - start), min(count, limit - start)))
            start += count
        name = shard_name(SHARDS, number, num_shards)
        rejected = f'rejected-{number:05d}-of-{num_shards:05d}.jsonl'
        shards.append(Shard(tuple(slices), str(output / name), str(output / rejected)))
    return shards


class BuildShard(beam.DoFn):
    """Reads the documents of a shard, cuts them into blocks, and writes these."""

    def __init__(self, vocabulary: str, config: CorpusConfig):
        self._vocabulary = vocabulary
        self._config = config

    def setup(self) -> None:
        # Here, and not at the top: a driver that starts workers, or finds nothing to do, needs no TensorFlow.
        from realm_tf.corpus.chunking import Chunker

        self._chunker = Chunker(Vocabulary.read(self._vocabulary), self._config)

    def process(self, shard: Shard) -> None:
        blocks: list[Block] = []
        rejected: list[Rejected] = []
        counts = Counter()
        for documents in _batches(shard, rejected):
            for of_document, num_split in self._chunker.chunk(documents):
                blocks.extend(of_document)
                counts.update(documents=1, split_sentences=num_split, empty_documents=int(not of_document))
        counts.update(
            blocks=len(blocks), wordpieces=sum(len(block.body_ids) for block in blocks), rejected=len(rejected)
        )
        if rejected:
            lines = [json.dumps(record._asdict(), ensure_ascii=False) + '\n' for record in rejected]
            write_text_whole(shard.rejected, ''.join(lines))
        write_blocks(shard.file, blocks, counts)


def _batches(shard: Shard, rejected: list[Rejected]) -> Iterator[list[Document]]:
    """The documents of a shard, some at once; what is none goes to `rejected`."""
    batch: list[Document] = []
    for file, first, limit in shard.slices:
        for record in read_json_lines(file, first, limit):
            if isinstance(record, Rejected):
                rejected.append(record)
                continue
            batch.append(record)
            if len(batch) == _DOCUMENTS_AT_ONCE:
                yield batch
                batch = []
    if batch:
        yield batch


def _matching(patterns: Sequence[str]) -> list[epath.Path]:
    files = []
    for pattern in patterns:
        path = epath.Path(pattern)
        found = [path] if path.is_file() else sorted(path.parent.glob(path.name))
        if not found:
            raise RealmError(f'No file matches --input {pattern}.')
        files.extend(found)
    return files


def _checksum_of_all(files: Sequence[epath.Path]) -> str:
    return hashlib.sha256(''.join(file_checksum(file) for file in files).encode()).hexdigest()


def _require_few_rejected(counts: Counter, maximum: float, path: epath.Path) -> None:
    records = counts['documents'] + counts['rejected']
    if records == 0:
        raise RealmError('The input holds no documents.')
    if counts['rejected'] > maximum * records:
        raise RealmError(
            f'{counts["rejected"]:,} of {records:,} records are no documents, more than '
            f'--maximum_rejected {maximum:g} allows; each, with its reason, is in {path}/rejected-*.jsonl.'
        )


if __name__ == '__main__':
    # Under the module's own name, which workers can import; what they are sent from `__main__` they cannot.
    from beam_jobs import build_corpus

    main(build_corpus.run, build_corpus.BuildCorpusOptions)
