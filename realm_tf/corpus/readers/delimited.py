"""Documents in tables of text: CSV and TSV."""

import collections
import contextlib
import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from etils import epath

from realm_tf.corpus.compression import open_decompressed
from realm_tf.corpus.readers.columns import Columns
from realm_tf.corpus.readers.field_reader import FieldReader, Fields
from realm_tf.errors import RealmError

# The module's own limit, 128 KiB, is less than a long article. It also ends the search for a quotation mark that nobody
# closed.
csv.field_size_limit(64 * 1024 * 1024)


class Row(NamedTuple):
    """A row of a table.

    Attributes:
      header: the names of the columns.
      cells: the texts in them; bytes that are no UTF-8 stand in them as half surrogates.
      fault: what is wrong with the row; empty if nothing is.
    """

    header: Sequence[str]
    cells: Sequence[str]
    fault: str = ''


class DelimitedReader(FieldReader):
    """Reads CSV or TSV, whose first row names the columns. A record is another row; cells in quotes may hold line ends.

    A quotation mark that is not closed spoils only the line it stands in. Between tabs it is a character as any other,
    as tables of that kind often do without quotes: lines that quotes would join are rows if all have every column.

    Args:
      delimiter: what separates cells, a comma or a tab.
      columns: those that hold id, title and text.
      folder: the one that holds all files, if there is one.
    """

    def __init__(self, delimiter: str, columns: Columns, folder: epath.PathLike | None = None):
        super().__init__(folder, has_ids=columns.id is not None)
        self._delimiter = delimiter
        self._columns = columns

    def columns(self, path: epath.PathLike) -> Sequence[str] | None:
        with _opened(path) as lines:
            return self._header(lines, path)

    def records(self, path: epath.PathLike) -> Iterator[Row]:
        with _opened(path) as lines:
            header = self._header(lines, path)
            if header is None:
                return
            for cells, fault in self._rows(lines, len(header)):
                yield Row(header, cells, fault)

    def fields(self, record: Row) -> Fields:
        if record.fault:
            raise ValueError(record.fault)
        if len(record.cells) != len(record.header):
            raise ValueError(f'{len(record.cells)} cells, and the header has {len(record.header)}')
        values = dict(zip(record.header, record.cells, strict=True))
        fields = self._columns.fields(values)
        for name in self._columns.names():
            _require_utf8(name, values[name])
        return fields

    def raw(self, record: Row) -> bytes:
        return self._delimiter.join(record.cells).encode('utf-8', 'surrogateescape')

    def _parser(self, lines: Iterable[str]) -> Iterator[list[str]]:
        return csv.reader(lines, delimiter=self._delimiter, strict=True)

    def _header(self, lines: '_RepeatableLines', path: epath.PathLike) -> list[str] | None:
        """The names of the columns; None if there is no row."""
        try:
            return next(filter(None, self._parser(lines)), None)
        except csv.Error as error:
            raise RealmError(f'The first row of {path}, which should name the columns, is broken: {error}.') from error

    def _rows(self, lines: '_RepeatableLines', width: int) -> Iterator[tuple[list[str], str]]:
        """The cells of each row, and what is wrong with it."""
        parser = self._parser(lines)
        while True:
            lines.begin()
            try:
                cells, fault = next(parser), ''
            except StopIteration:
                return
            except csv.Error as error:
                cells, fault = [], f'not CSV: {error}'
            if fault or self._are_rows(lines.taken, len(cells), width):
                # Where quotation marks went wrong, the lines behind the first may be good rows.
                line = lines.keep_first()
                cells = line.split('\t') if self._delimiter == '\t' else [line]
                fault = '' if self._delimiter == '\t' else fault or 'not CSV: a quotation mark in the wrong place'
            if cells:
                yield cells, fault

    def _are_rows(self, lines: Sequence[str], num_cells: int, width: int) -> bool:
        """Whether the lines that became so many cells, joined by quotation marks, are rows of their own."""
        if len(lines) == 1:
            return False
        # In a table of one column there is no tab to tell by.
        by_tabs = self._delimiter == '\t' and width > 1
        return num_cells != width or (by_tabs and all(line.count('\t') + 1 == width for line in lines))


class _RepeatableLines(Iterator[str]):
    """Lines, of which those that a row took can be given back."""

    def __init__(self, lines: Iterable[str]):
        self._lines = iter(lines)
        self._again: collections.deque[str] = collections.deque()
        self._taken: list[str] = []

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        self._taken.append(line)
        return line

    @property
    def taken(self) -> Sequence[str]:
        """The lines the row took."""
        return self._taken

    def begin(self) -> None:
        """Begins a row."""
        self._taken.clear()

    def keep_first(self) -> str:
        """The first line of the row, without its end; those after it will be read again."""
        first, *others = self._taken
        self._again.extendleft(reversed(others))
        return first.rstrip('\r\n')


@contextlib.contextmanager
def _opened(path: epath.PathLike) -> Iterator[_RepeatableLines]:
    with (
        open_decompressed(path) as file,
        io.TextIOWrapper(file, encoding='utf-8-sig', errors='surrogateescape', newline='') as text,
    ):
        yield _RepeatableLines(text)


def _require_utf8(name: str, cell: str) -> None:
    try:
        cell.encode()
    except UnicodeEncodeError as error:
        position = len(cell[: error.start].encode())
        raise ValueError(f'{name!r} is not UTF-8 at byte {position}') from None
