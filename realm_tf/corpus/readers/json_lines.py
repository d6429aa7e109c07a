"""Documents in JSON Lines: one JSON object a line."""

import json
from collections.abc import Iterator

from etils import epath

from realm_tf.corpus.compression import open_decompressed
from realm_tf.corpus.documents import Dropped
from realm_tf.corpus.readers.columns import Columns
from realm_tf.corpus.readers.field_reader import FieldReader, Fields, decoded
from realm_tf.corpus.readers.reader import Unreadable, lines_of


class JsonLinesReader(FieldReader):
    """Reads JSON Lines. A record is a line; empty ones are dropped.

    Args:
      columns: the members of an object that hold id, title and text.
      folder: the one that holds all files, if there is one.
    """

    def __init__(self, columns: Columns, folder: epath.PathLike | None = None):
        super().__init__(folder, has_ids=columns.id is not None)
        self._columns = columns

    def records(self, path: epath.PathLike) -> Iterator[bytes | Unreadable]:
        with open_decompressed(path) as file:
            yield from lines_of(file)

    def fields(self, record: bytes) -> Fields | Dropped:
        if not record.strip():
            return Dropped('empty line', '')
        return self._columns.fields(json_object(record))

    def raw(self, record: bytes) -> bytes:
        return record


def json_object(line: bytes) -> dict:
    """Parses a line of JSON Lines.

    Raises:
      ValueError: if it is no JSON object; the message is the reason.
    """
    # Without its end, which the parser would blame for a text that is cut off.
    text = decoded(line.rstrip(b'\r\n'))
    try:
        parsed = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f'not JSON at column {error.colno}: {error.msg}') from None
    except RecursionError:
        raise ValueError('JSON that is nested too deeply') from None
    if not isinstance(parsed, dict):
        raise ValueError('not a JSON object')
    return parsed
