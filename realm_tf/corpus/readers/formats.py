"""The formats documents are read from, by name, and how a file shows which it has."""

import functools
import re
from collections.abc import Callable, Sequence

from etils import epath

from realm_tf.config import MediaWikiConfig
from realm_tf.corpus.compression import open_decompressed
from realm_tf.corpus.readers import tf_records
from realm_tf.corpus.readers.authors import BLOCKS, EXAMPLES, TITLES, BlocksReader, RetrievalCorpusReader
from realm_tf.corpus.readers.columns import Columns
from realm_tf.corpus.readers.delimited import DelimitedReader
from realm_tf.corpus.readers.folders import files_in, uncompressed_name
from realm_tf.corpus.readers.json_lines import JsonLinesReader
from realm_tf.corpus.readers.parquet import ParquetReader
from realm_tf.corpus.readers.reader import RecordReader
from realm_tf.corpus.readers.text_files import TextFilesReader
from realm_tf.corpus.readers.wikiextractor import WikiExtractorReader
from realm_tf.errors import RealmError

_HEAD_SIZE = 4096


# Formats whose columns can be named, and those that know where title and text are.
_WITH_COLUMNS: dict[str, Callable[[Columns, epath.PathLike | None], RecordReader]] = {
    'jsonl': JsonLinesReader,
    'csv': functools.partial(DelimitedReader, ','),
    'tsv': functools.partial(DelimitedReader, '\t'),
    'parquet': ParquetReader,
}
_WITHOUT_COLUMNS: dict[str, Callable[[epath.PathLike | None], RecordReader]] = {
    'text': TextFilesReader,
    'wikiextractor': WikiExtractorReader,
    'orqa-blocks': BlocksReader,
    'realm-corpus': RetrievalCorpusReader,
}
MEDIAWIKI = 'mediawiki'
FORMATS = (*_WITH_COLUMNS, MEDIAWIKI, *_WITHOUT_COLUMNS)

_BY_SUFFIX = {
    '.jsonl': 'jsonl',
    '.ndjson': 'jsonl',
    '.csv': 'csv',
    '.tsv': 'tsv',
    '.parquet': 'parquet',
    '.xml': 'mediawiki',
    '.txt': 'text',
}
_EXTRACTED_JSON = re.compile(rb'\{"id": "[^"]*", ("revid": "[^"]*", )?"url": ')


def make_reader(
    format: str,
    columns: Columns = Columns(),
    rules: MediaWikiConfig = MediaWikiConfig(),
    folder: epath.PathLike | None = None,
) -> RecordReader:
    """Makes the reader of a format.

    Args:
      format: one of `FORMATS`.
      columns: those that hold id, title and text, in formats that have columns.
      rules: which pages of a MediaWiki dump are articles.
      folder: the one that holds all files, if there is one; what has no id is named by the path of its file within it.

    Raises:
      RealmError: if there is no such format, or its columns cannot be named.
    """
    if format in _WITH_COLUMNS:
        return _WITH_COLUMNS[format](columns, folder)
    if format not in FORMATS:
        raise RealmError(f'There is no format {format!r}; there are {", ".join(FORMATS)}.')
    if columns != Columns():
        raise RealmError(
            f'The format {format} has no columns that could be named; these have: {", ".join(_WITH_COLUMNS)}.'
        )
    if format == MEDIAWIKI:
        # Here, because its parsers are needed for nothing else.
        from realm_tf.corpus.readers.mediawiki import MediaWikiReader

        return MediaWikiReader(rules)
    return _WITHOUT_COLUMNS[format](folder)


def recognise(paths: Sequence[epath.PathLike]) -> str:
    """Tells the format of files by their names, or else by their first bytes.

    Of a folder, and of files whose names say nothing, the first is looked into.

    Args:
      paths: the files, all of one format, or folders of them.

    Returns:
      One of `FORMATS`.

    Raises:
      RealmError: if the format is none of them, or not the same for all files.
    """
    found: dict[str, epath.Path] = {}
    by_content = None
    for path in paths:
        file = next(files_in(path), None)
        if file is None:
            raise RealmError(f'There are no files in {path}.')
        format = _by_name(file)
        if format is None:
            format = by_content = by_content or _by_content(file)
        found.setdefault(format, file)
    if len(found) > 1:
        shown = ' and '.join(f'{file} is {format}' for format, file in found.items())
        raise RealmError(f'The input has more than one format: {shown}. Name the one of all files with --format.')
    (format,) = found
    return format


def _by_name(path: epath.Path) -> str | None:
    name = epath.Path(uncompressed_name(path))
    if name.suffix == '.tfr' and name.stem in (TITLES, EXAMPLES):
        raise RealmError(f'{path} goes with {BLOCKS}.tfr: give that file alone, and the titles are read beside it.')
    if name.suffix == '.tfr' and name.stem == BLOCKS:
        return 'orqa-blocks'
    return _BY_SUFFIX.get(name.suffix.lower())


def _by_content(path: epath.Path) -> str:
    with open_decompressed(path) as file:
        head = file.read(_HEAD_SIZE)
    text = head.removeprefix(b'\xef\xbb\xbf').lstrip()
    if head.startswith(b'PAR1'):
        return 'parquet'
    if tf_records.is_header(head[: tf_records.HEADER_SIZE]):
        return 'realm-corpus'
    if text.startswith(b'<doc id=') or _EXTRACTED_JSON.match(text):
        return 'wikiextractor'
    if b'<mediawiki' in text:
        return 'mediawiki'
    if text.startswith(b'{'):
        return 'jsonl'
    raise RealmError(
        f'What {path} holds cannot be told from its name or its first bytes. Name its format with --format: '
        f'{", ".join(FORMATS)}.'
    )
