"""Cuts documents into blocks: the corpus.

    python -m beam_jobs.build_corpus --input 'articles/*.jsonl.gz' --vocabulary vocab.txt --output corpus

First the elements are the files: each is read once, its records are set aside, and their texts hashed, which tells the
duplicates. When all have been read, the records are shared out among the shards of the corpus, and these are the
elements: each is a run of records, so that blocks keep the documents' order and every shard is the same whoever makes
it. A file is written whole or not at all, and an interrupted job goes on from those that are there.
"""

import argparse
import concurrent.futures
import contextlib
import dataclasses
import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.options.pipeline_options import PipelineOptions, TestOptions
from etils import epath

from beam_jobs.options import JobOptions, main, run_pipeline
from beam_jobs.progress import progress_of_files
from realm_tf.artifacts import Draft, make_artifact, outdated_because, write_text_whole
from realm_tf.config import Config, CorpusConfig, config_to_dict
from realm_tf.corpus.arrow_shards import shard_counts, shard_name
from realm_tf.corpus.block_store import KIND, SHARDS, VOCABULARY, write_blocks
from realm_tf.corpus.corpus_report import ShardTally, write_report
from realm_tf.corpus.documents import Document, Dropped, Rejected
from realm_tf.corpus.duplicates import repeated
from realm_tf.corpus.readers.columns import Columns
from realm_tf.corpus.readers.folders import files_in, folder_of_all
from realm_tf.corpus.readers.formats import FORMATS, make_reader, recognise
from realm_tf.corpus.readers.reader import RecordReader, Unreadable, readable_records
from realm_tf.corpus.scans import read_index, read_records, write_scan
from realm_tf.errors import RealmError
from realm_tf.progress import tracked
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
            '--maximum_rejected', type=_share, default=0.05, help='Share of records that may be rejected, from 0 to 1.'
        )


def _share(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= float(text) <= 1:
            return float(text)
    raise argparse.ArgumentTypeError(f'{text} is no share from 0 to 1; 5 % are 0.05')


@dataclasses.dataclass(frozen=True)
class Source:
    """How records become documents.

    Attributes:
      format: of the files.
      columns: those that hold id, title and text.
      config: which pages of a dump are articles.
      folder: the one that holds all files; None if there is none.
    """

    format: str
    columns: Columns
    config: CorpusConfig
    folder: epath.Path | None

    def reader(self) -> RecordReader:
        return make_reader(self.format, self.columns, self.config.mediawiki, self.folder)


def run(options: PipelineOptions, config: Config) -> None:
    """Builds the corpus, or says that it is done already.

    Raises:
      RealmError: if an input is missing, or too many records are no documents.
    """
    job = options.view_as(BuildCorpusOptions)
    matches = _matching(job.input)
    files = _files_in_all(matches)
    columns = Columns(job.id_column or None, job.title_column or None, job.text_column)
    source = Source(job.format or recognise(files), columns, config.corpus, folder_of_all(matches))
    reader = source.reader()  # refuses what does not go together, before anything is made
    columns.require(_tables(files, reader))
    vocabulary = Vocabulary.read(job.vocabulary)
    configuration = config_to_dict(config.corpus) | {'format': source.format, 'columns': columns._asdict()}
    # A dry run makes nothing that could be up to date, and reads no documents.
    is_dry = options.view_as(TestOptions).dry_run
    inputs = {'documents': '' if is_dry else _checksum_of_all(files, reader), 'vocabulary': vocabulary.digest}
    if outdated_because(job.output, KIND, configuration, inputs) is None:
        print(f'{job.output} is up to date.')
        return
    with make_artifact(job.output, KIND, configuration=configuration, inputs=inputs, overwrite=job.overwrite) as draft:
        vocabulary.write(draft.path / VOCABULARY)
        scans = [Scan(str(file), str(draft.path / f'.scan-{number:08d}.npz')) for number, file in enumerate(files)]
        shards = files_of_shards(draft.path, config.corpus.num_shards)
        _build(scans, shards, draft, source, options)
        counts = sum((Counter(shard_counts(shard.blocks)) for shard in shards), Counter())
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
    """A file of documents, and where its scan goes."""

    file: str
    index: str


@dataclasses.dataclass(frozen=True)
class ShardFiles:
    """The files that a shard becomes.

    Attributes:
      blocks: where the blocks go; the shard is done if and only if it is there.
      rejected: where records that are no documents go.
      tally: what the report is told of the shard.
    """

    blocks: str
    rejected: str
    tally: str


@dataclasses.dataclass(frozen=True)
class Slice:
    """Records of one file, from the first to before the limit, and which of them are duplicates (counted from 0)."""

    scan: Scan
    first: int
    limit: int
    duplicates: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Shard:
    """A run of records, and the files that it becomes."""

    slices: tuple[Slice, ...]
    files: ShardFiles


def files_of_shards(directory: epath.Path, num_shards: int) -> list[ShardFiles]:
    """The files of every shard of a corpus."""
    files = []
    for number in range(num_shards):
        of_shard = f'{number:05d}-of-{num_shards:05d}'
        names = (shard_name(SHARDS, number, num_shards), f'rejected-{of_shard}.jsonl', f'.tally-{of_shard}.json')
        files.append(ShardFiles(*(str(directory / name) for name in names)))
    return files


def plan_shards(
    scans: Sequence[Scan], sizes: Sequence[np.ndarray], is_duplicate: np.ndarray, files: Sequence[ShardFiles]
) -> list[Shard]:
    """Shares the records of all files out among shards, in order, so that each has about as much text.

    Args:
      scans: the scans of the files.
      sizes: of the records of each, int64 `[records]`.
      is_duplicate: which records are duplicates, all files in one, bool `[all_records]`.
      files: what each shard becomes.
    """
    # Counted over all files: where the records of each begin, and where those of each shard do.
    file_starts = np.cumsum([0, *map(len, sizes)]).tolist()
    text_before = np.cumsum(np.concatenate([np.zeros(1, np.int64), *sizes]))
    shares = np.arange(1, len(files)) * text_before[-1] // len(files)
    shard_starts = [0, *np.searchsorted(text_before[1:], shares, side='right').tolist(), file_starts[-1]]
    shards = []
    for (shard_start, shard_limit), of_shard in zip(itertools.pairwise(shard_starts), files, strict=True):
        slices = []
        for scan, (start, limit) in zip(scans, itertools.pairwise(file_starts), strict=True):
            first, end = max(start, shard_start), min(limit, shard_limit)
            if first < end:
                duplicates = first - start + np.flatnonzero(is_duplicate[first:end])
                slices.append(Slice(scan, first - start, end - start, tuple(duplicates.tolist())))
        shards.append(Shard(tuple(slices), of_shard))
    return shards


def _build(scans: Sequence[Scan], files: Sequence[ShardFiles], draft: Draft, source: Source, options: PipelineOptions):
    made = [scan.index for scan in scans] + [of_shard.blocks for of_shard in files]
    progress = progress_of_files('Corpus', dict.fromkeys(made, 1), 'file')
    with run_pipeline(options, progress, has_light_steps=True) as pipeline:
        (
            pipeline
            | 'Files' >> beam.Create(scans)
            | 'Spread files over workers' >> beam.Reshuffle()
            | 'Scan' >> beam.ParDo(ScanFile(source))
            | 'Wait for all scans' >> beam.combiners.ToList()
            | 'Plan shards' >> beam.ParDo(PlanShards(files, source))
            | 'Spread shards over workers' >> beam.Reshuffle()
            | 'Build' >> beam.ParDo(BuildShard(str(draft.path / VOCABULARY), source)).with_resource_hints(min_ram='2GB')
        )


class ScanFile(beam.DoFn):
    """Reads a file, and sets its records aside."""

    def __init__(self, source: Source):
        self._source = source

    def setup(self) -> None:
        self._reader = self._source.reader()

    def process(self, scan: Scan) -> Iterator[Scan]:
        if not epath.Path(scan.index).exists():
            write_scan(scan.index, self._records(scan.file))
        yield scan

    def _records(self, file: str) -> Iterator[tuple[Any, bytes]]:
        for position, record in enumerate(readable_records(self._reader, file)):
            # What cannot be read is like nothing else.
            is_readable = not isinstance(record, Unreadable)
            yield record, self._reader.key(record) if is_readable else f'{file}\0{position}'.encode()


class PlanShards(beam.DoFn):
    """Finds the duplicates, and says which records make up each shard that is not there yet."""

    def __init__(self, files: Sequence[ShardFiles], source: Source):
        self._files = files
        self._source = source

    def process(self, scans: Sequence[Scan]) -> Iterator[Shard]:
        scans = sorted(scans, key=lambda scan: scan.index)
        indices = [read_index(scan.index) for scan in scans]
        is_duplicate = repeated([index.hashes for index in indices])
        if self._source.reader().holds_blocks:
            is_duplicate[:] = False
        for shard in plan_shards(scans, [index.sizes for index in indices], is_duplicate, self._files):
            if not epath.Path(shard.files.blocks).exists():
                yield shard


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
            write_text_whole(shard.files.rejected, ''.join(lines))
        tally.write(shard.files.tally)
        # Last: the shard is done if and only if its blocks are there.
        write_blocks(shard.files.blocks, blocks, counts)

    def _documents(
        self, shard: Shard, rejected: list[Rejected], tally: ShardTally, counts: Counter
    ) -> Iterator[Document]:
        """The documents of a shard; what is none, or not wanted, is told to the other arguments."""
        for of_file in shard.slices:
            duplicates = frozenset(of_file.duplicates)
            records = read_records(of_file.scan.index, of_file.first, of_file.limit)
            for number, record in enumerate(records, of_file.first):
                found = self._document(record, of_file.scan.file, number + 1)
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
    """The files and folders that the patterns name."""
    matches = []
    for pattern in patterns:
        if '**' in pattern:
            raise RealmError(
                f'--input {pattern} has **, which is not supported. Give the folder, whose folders are read too, or a '
                '* for each level.'
            )
        path = epath.Path(pattern)
        found = [path] if path.exists() else sorted(path.parent.glob(path.name))
        if not found:
            raise RealmError(f'No file matches --input {pattern}.')
        matches.extend(found)
    return matches


def _files_in_all(matches: Sequence[epath.Path]) -> list[epath.Path]:
    files = [file for match in matches for file in files_in(match)]
    if not files:
        raise RealmError(f'There are no files in --input {" ".join(map(str, matches))}.')
    return files


def _tables(files: Sequence[epath.Path], reader: RecordReader) -> Iterator[tuple[epath.Path, Sequence[str]]]:
    """The files that name their columns, and these."""
    return ((file, names) for file in files if (names := reader.columns(file)) is not None)


def _checksum_of_all(files: Sequence[epath.Path], reader: RecordReader) -> str:
    with concurrent.futures.ThreadPoolExecutor() as pool:
        identities = tracked(pool.map(reader.identity, files), 'Checksums of the input', 'file', len(files))
        parts = ''.join(itertools.chain.from_iterable(identities))
    return hashlib.sha256(parts.encode()).hexdigest()


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
