"""Cuts documents into blocks: the corpus.

    python -m beam_jobs.build_corpus --input 'articles/*.jsonl.gz' --vocabulary vocab.txt --output corpus

Two pipelines. The elements of the first are the files: it counts the records of each and hashes their texts, which
tells the duplicates. Then the records are shared out evenly among the shards of the corpus, and these are the elements
of the second: each is a run of records, so that blocks keep the documents' order and every shard is the same whoever
makes it. A file is written whole or not at all, and an interrupted job goes on from those that are there.
"""

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.options.pipeline_options import PipelineOptions
from etils import epath

from beam_jobs.options import JobOptions, main, run_pipeline
from beam_jobs.progress import progress_of_files
from realm_tf.artifacts import Draft, file_checksum, make_artifact, open_whole, outdated_because, write_text_whole
from realm_tf.config import Config, CorpusConfig, config_to_dict
from realm_tf.corpus.arrow_shards import shard_counts, shard_name
from realm_tf.corpus.block_store import KIND, SHARDS, VOCABULARY, write_blocks
from realm_tf.corpus.corpus_report import ShardTally, write_report
from realm_tf.corpus.documents import Document, Dropped, Rejected
from realm_tf.corpus.duplicates import hashes_of, repeated
from realm_tf.corpus.readers.columns import Columns
from realm_tf.corpus.readers.folders import files_in
from realm_tf.corpus.readers.formats import FORMATS, make_reader, recognise
from realm_tf.corpus.readers.reader import RecordReader, Unreadable, readable_records
from realm_tf.errors import RealmError
from realm_tf.text.vocabulary import Vocabulary

_DOCUMENTS_AT_ONCE = 256


class BuildCorpusOptions(JobOptions):
    """What is read, and where the corpus goes."""

    @classmethod
    def _add_argparse_args(cls, parser) -> None:
        parser.add_argument(
            '--input', required=True, action='append', help='Files of documents, or a folder; may be given again.'
        )
        parser.add_argument('--format', choices=FORMATS, help='Format of the files; unset: recognised.')
        for role in Columns._fields:
            default = Columns._field_defaults[role]
            parser.add_argument(
                f'--{role}_column', default=default, help=f'Column that holds the {role}; empty: none does.'
            )
        parser.add_argument('--vocabulary', required=True, help='A BERT vocab.txt.')
        parser.add_argument('--output', required=True, help='Directory of the corpus.')
        parser.add_argument(
            '--maximum_rejected', type=float, default=0.05, help='Share of records that may be rejected.'
        )


@dataclasses.dataclass(frozen=True)
class Source:
    """How records become documents.

    Attributes:
      format: of the files.
      columns: those that hold id, title and text.
      config: which pages of a dump are articles.
    """

    format: str
    columns: Columns
    config: CorpusConfig

    def reader(self) -> RecordReader:
        return make_reader(self.format, self.columns, self.config.mediawiki)


def run(options: PipelineOptions, config: Config) -> None:
    """Builds the corpus, or says that it is done already.

    Raises:
      RealmError: if an input is missing, or too many records are no documents.
    """
    job = options.view_as(BuildCorpusOptions)
    files = _matching(job.input)
    columns = Columns(job.id_column or None, job.title_column or None, job.text_column)
    source = Source(job.format or recognise(files), columns, config.corpus)
    source.reader()  # refuses what does not go together, before anything is made
    vocabulary = Vocabulary.read(job.vocabulary)
    configuration = config_to_dict(config.corpus) | {'format': source.format, 'columns': columns._asdict()}
    inputs = {'documents': _checksum_of_all(files), 'vocabulary': vocabulary.digest}
    if outdated_because(job.output, KIND, configuration, inputs) is None:
        print(f'{job.output} is up to date.')
        return
    with make_artifact(job.output, KIND, configuration=configuration, inputs=inputs, overwrite=job.overwrite) as draft:
        vocabulary.write(draft.path / VOCABULARY)
        slices = _scanned(files, draft, source, options)
        shards = plan_shards(slices, draft.path, config.corpus.num_shards)
        _build(shards, draft, source, options)
        counts = sum((Counter(shard_counts(shard.file)) for shard in shards), Counter())
        tally = ShardTally.sum_of(ShardTally.read(shard.tally) for shard in shards)
        _require_few_rejected(counts, job.maximum_rejected, draft.path)
        write_report(draft.path, counts, tally)
        draft.counts.update(counts)
    print(
        f'{counts["blocks"]:,} blocks of {counts["documents"]:,} documents, {counts["wordpieces"]:,} wordpieces; '
        f'{counts["rejected"]:,} records rejected, {counts["dropped"]:,} dropped, {counts["duplicates"]:,} duplicates, '
        f'{counts["split_sentences"]:,} sentences split. More: {epath.Path(job.output) / "report.html"}'
    )


@dataclasses.dataclass(frozen=True)
class Scan:
    """A file of documents, and where the hashes of its records go."""

    file: str
    hashes: str


@dataclasses.dataclass(frozen=True)
class Slice:
    """Records of one file, from the first to before the limit, and which of them are duplicates (counted from 0)."""

    file: str
    first: int
    limit: int
    duplicates: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Shard:
    """A run of records, and the files that are made of them.

    Attributes:
      slices: the records.
      file: where their blocks go.
      rejected: where records that are no documents go.
      tally: what the report is told of the shard.
    """

    slices: tuple[Slice, ...]
    file: str
    rejected: str
    tally: str


def plan_shards(files: Sequence[tuple[str, np.ndarray]], output: epath.Path, num_shards: int) -> list[Shard]:
    """Shares the records of all files out among shards, in order and evenly.

    Args:
      files: each file with whether its records are duplicates, bool `[records]`.
      output: directory of the shards.
      num_shards: how many.
    """
    total = sum(len(is_duplicate) for _, is_duplicate in files)
    shards = []
    for number in range(num_shards):
        first, limit = number * total // num_shards, (number + 1) * total // num_shards
        slices = []
        start = 0
        for file, is_duplicate in files:
            here = slice(max(0, first - start), max(0, min(len(is_duplicate), limit - start)))
            if here.start < here.stop:
                duplicates = here.start + np.flatnonzero(is_duplicate[here])
                slices.append(Slice(file, here.start, here.stop, tuple(duplicates.tolist())))
            start += len(is_duplicate)
        name = shard_name(SHARDS, number, num_shards)
        of_shard = f'{number:05d}-of-{num_shards:05d}'
        rejected, tally = output / f'rejected-{of_shard}.jsonl', output / f'.tally-{of_shard}.json'
        shards.append(Shard(tuple(slices), str(output / name), str(rejected), str(tally)))
    return shards


def _scanned(
    files: Sequence[epath.Path], draft: Draft, source: Source, options: PipelineOptions
) -> list[tuple[str, np.ndarray]]:
    """Every file with whether its records are duplicates of ones before."""
    scans = [Scan(str(file), str(draft.path / f'.hashes-{number:05d}.npy')) for number, file in enumerate(files)]
    with (
        progress_of_files('Scan', dict.fromkeys((scan.hashes for scan in scans), 1), 'file'),
        run_pipeline(options) as pipeline,
    ):
        (
            pipeline
            | 'Files' >> beam.Create([scan for scan in scans if not epath.Path(scan.hashes).exists()])
            | 'Spread files over workers' >> beam.Reshuffle()
            | 'Scan' >> beam.ParDo(ScanFile(source))
        )
    hashes = [_read_array(scan.hashes) for scan in scans]
    is_duplicate = repeated(hashes)
    if source.reader().holds_blocks:
        is_duplicate[:] = False
    limits = np.cumsum([len(of_file) for of_file in hashes])[:-1]
    return list(zip((scan.file for scan in scans), np.split(is_duplicate, limits), strict=True))


def _build(shards: Sequence[Shard], draft: Draft, source: Source, options: PipelineOptions) -> None:
    with (
        progress_of_files('Corpus', dict.fromkeys((shard.file for shard in shards), 1), 'shard'),
        run_pipeline(options) as pipeline,
    ):
        (
            pipeline
            | 'Shards' >> beam.Create([shard for shard in shards if not epath.Path(shard.file).exists()])
            | 'Spread over workers' >> beam.Reshuffle()
            | 'Build' >> beam.ParDo(BuildShard(str(draft.path / VOCABULARY), source))
        )


class ScanFile(beam.DoFn):
    """Counts the records of a file, and hashes their texts."""

    def __init__(self, source: Source):
        self._source = source

    def setup(self) -> None:
        self._reader = self._source.reader()

    def process(self, scan: Scan) -> None:
        hashes = hashes_of(self._keys(scan.file))
        with open_whole(scan.hashes) as file:
            np.save(file, hashes)

    def _keys(self, file: str) -> Iterator[bytes]:
        for position, record in enumerate(readable_records(self._reader, file)):
            # What cannot be read is like nothing else.
            is_readable = not isinstance(record, Unreadable)
            yield self._reader.key(record) if is_readable else f'{file}\0{position}'.encode()


class BuildShard(beam.DoFn):
    """Reads the documents of a shard, cuts them into blocks, and writes these."""

    def __init__(self, vocabulary: str, source: Source):
        self._vocabulary = vocabulary
        self._source = source

    def setup(self) -> None:
        # Here, and not at the top: a driver that starts workers, or finds nothing to do, needs no TensorFlow.
        from realm_tf.corpus.chunking import Chunker

        self._reader = self._source.reader()
        vocabulary = Vocabulary.read(self._vocabulary)
        self._chunker = Chunker(vocabulary, self._source.config, are_blocks=self._reader.holds_blocks)

    def process(self, shard: Shard) -> None:
        tally = ShardTally()
        rejected: list[Rejected] = []
        blocks = []
        counts = Counter()
        for documents in _batched(self._documents(shard, rejected, tally, counts)):
            for document, (of_document, num_split) in zip(documents, self._chunker.chunk(documents), strict=True):
                blocks.extend(of_document)
                tally.add_document(document, of_document)
                counts.update(documents=1, split_sentences=num_split, empty_documents=int(not of_document))
        wordpieces = sum(len(block.body_ids) for block in blocks)
        counts.update(blocks=len(blocks), wordpieces=wordpieces, rejected=len(rejected))
        if rejected:
            lines = [json.dumps(record._asdict(), ensure_ascii=False) + '\n' for record in rejected]
            write_text_whole(shard.rejected, ''.join(lines))
        tally.write(shard.tally)
        # Last: the shard is done if and only if its blocks are there.
        write_blocks(shard.file, blocks, counts)

    def _documents(
        self, shard: Shard, rejected: list[Rejected], tally: ShardTally, counts: Counter
    ) -> Iterator[Document]:
        """The documents of a shard; what is none, or not wanted, is told to the other arguments."""
        for of_file in shard.slices:
            duplicates = frozenset(of_file.duplicates)
            for number, record in _records_of(self._reader, of_file):
                found = self._document(record, of_file.file, number + 1)
                if isinstance(found, Rejected):
                    rejected.append(found)
                    tally.add_rejected(found)
                elif isinstance(found, Dropped):
                    counts.update(dropped=1)
                    tally.add_dropped(found.reason, found.title)
                elif number in duplicates:
                    counts.update(duplicates=1)
                    tally.add_dropped('duplicate', found.title)
                else:
                    yield found

    def _document(self, record: Any, file: str, position: int) -> Document | Rejected | Dropped:
        if isinstance(record, Unreadable):
            return Rejected(file, position, record.reason, '')
        return self._reader.document(record, file, position)


def _records_of(reader: RecordReader, of_file: Slice) -> Iterator[tuple[int, Any]]:
    for number, record in enumerate(readable_records(reader, of_file.file)):
        if number >= of_file.limit:
            return
        if number >= of_file.first:
            yield number, record


def _batched(documents: Iterator[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    for document in documents:
        batch.append(document)
        if len(batch) == _DOCUMENTS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _matching(patterns: Sequence[str]) -> list[epath.Path]:
    files = []
    for pattern in patterns:
        path = epath.Path(pattern)
        found = [path] if path.exists() else sorted(path.parent.glob(path.name))
        if not found:
            raise RealmError(f'No file matches --input {pattern}.')
        files.extend(file for match in found for file in files_in(match))
    if not files:
        raise RealmError(f'There are no files in --input {" ".join(patterns)}.')
    return files


def _checksum_of_all(files: Sequence[epath.Path]) -> str:
    return hashlib.sha256(''.join(file_checksum(file) for file in files).encode()).hexdigest()


def _read_array(path: str) -> np.ndarray:
    with epath.Path(path).open('rb') as file:
        return np.load(file)


def _require_few_rejected(counts: Counter, maximum: float, path: epath.Path) -> None:
    records = counts['documents'] + counts['dropped'] + counts['duplicates'] + counts['rejected']
    if counts['rejected'] > maximum * records:
        raise RealmError(
            f'{counts["rejected"]:,} of {records:,} records are no documents, more than '
            f'--maximum_rejected {maximum:g} allows; each, with its reason, is in {path}/rejected-*.jsonl.'
        )
    if counts['documents'] == 0:
        raise RealmError('The input holds no documents.')


if __name__ == '__main__':
    # Under the module's own name, which workers can import; what they are sent from `__main__` they cannot.
    from beam_jobs import build_corpus

    main(build_corpus.run, build_corpus.BuildCorpusOptions)
