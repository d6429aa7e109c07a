"""Documents in Parquet tables."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
from etils import epath
from pyarrow import parquet

from realm_tf.corpus.readers.columns import Columns
from realm_tf.corpus.readers.field_reader import FieldReader, Fields, decoded
from realm_tf.errors import RealmError
from realm_tf.files import open_binary

_ROWS_AT_ONCE = 256
_BUFFER_SIZE = 1024 * 1024


class Row(NamedTuple):
    """A row of a table.

    Attributes:
      batch: rows that were read together, their texts as bytes.
      index: the row's place among them.
    """

    batch: pa.RecordBatch
    index: int


class ParquetReader(FieldReader):
    """Reads Parquet, by row group. A record is a row.

    Args:
      columns: those that hold id, title and text.
      folder: the one that holds all files, if there is one.
    """

    def __init__(self, columns: Columns, folder: epath.PathLike | None = None):
        super().__init__(folder, has_ids=columns.id is not None)
        self._columns = columns

    def columns(self, path: epath.PathLike) -> Sequence[str]:
        with _opened(path) as table:
            return table.schema_arrow.names

    def records(self, path: epath.PathLike) -> Iterator[Row]:
        with _opened(path) as table:
            for batch in table.iter_batches(_ROWS_AT_ONCE, columns=self._columns.names()):
                # Without any of the columns, a batch still has rows, and what is made of it none.
                num_rows = batch.num_rows
                batch = _with_texts_as_bytes(batch)
                for index in range(num_rows):
                    yield Row(batch, index)

    def fields(self, record: Row) -> Fields:
        values = {}
        for name, value in _values(record).items():
            try:
                values[name] = decoded(value) if isinstance(value, bytes) else value
            except ValueError as error:
                raise ValueError(f'{name!r} is {error}') from None
        return self._columns.fields(values)

    def raw(self, record: Row) -> bytes:
        values = _values(record).values()
        return b'\t'.join(value if isinstance(value, bytes) else str(value).encode() for value in values)


@contextlib.contextmanager
def _opened(path: epath.PathLike) -> Iterator[parquet.ParquetFile]:
    try:
        # Buffered, because a row group may be larger than memory.
        with open_binary(path) as file, parquet.ParquetFile(file, buffer_size=_BUFFER_SIZE) as table:
            yield table
    except (OSError, pa.ArrowException) as error:
        raise RealmError(f'{path} cannot be read as Parquet: {error}') from error


def _values(row: Row) -> dict[str, Any]:
    return {name: row.batch.column(name)[row.index].as_py() for name in row.batch.schema.names}


def _with_texts_as_bytes(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Lets a text that is no UTF-8, which Arrow does not look for, be a fault of its row alone."""
    columns = []
    for column in batch.columns:
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            column = column.cast(pa.large_binary())
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, batch.schema.names)
