"""Documents, and the files they are read from."""

import gzip
import json
from collections.abc import Iterator
from typing import NamedTuple

from etils import epath

from realm_tf.errors import RealmError


class Document(NamedTuple):
    """A titled text.

    Attributes:
      id: names it within its collection.
      title: its title; may be empty.
      text: its text.
    """

    id: str
    title: str
    text: str


class Rejected(NamedTuple):
    """A record that is no document.

    Attributes:
      file: where it was found.
      position: its line, counted from 1.
      reason: what is wrong with it.
      excerpt: how it begins.
    """

    file: str
    position: int
    reason: str
    excerpt: str


class Dropped(NamedTuple):
    """A record that is a document, and not one that is wanted.

    Attributes:
      reason: why, such as `redirect`.
      title: its title.
    """

    reason: str
    title: str


def read_json_lines(path: epath.PathLike, first: int = 0, limit: int | None = None) -> Iterator[Document | Rejected]:
    """Reads documents from JSON Lines of `{"id", "title", "text"}`, plain or gzip-compressed.

    Args:
      path: the file.
      first: lines to pass over.
      limit: line to stop before, counted from 0; None for all.

    Yields:
      A `Document`, or a `Rejected` for a line that is none.

    Raises:
      RealmError: if the file cannot be read.
    """
    for number, line in enumerate(_lines(epath.Path(path))):
        if limit is not None and number >= limit:
            return
        if number >= first:
            yield _document(line, str(path), number + 1)


def count_lines(path: epath.PathLike) -> int:
    """How many lines a file of documents has.

    Raises:
      RealmError: if the file cannot be read.
    """
    return sum(1 for _ in _lines(epath.Path(path)))


def _lines(path: epath.Path) -> Iterator[bytes]:
    try:
        with path.open('rb') as file, gzip.open(file) if path.suffix == '.gz' else file as lines:
            yield from lines
    except (OSError, EOFError) as error:
        raise RealmError(f'{path} cannot be read: {error}.') from error


def _document(line: bytes, file: str, position: int) -> Document | Rejected:
    def rejected(reason: str) -> Rejected:
        return Rejected(file, position, reason, line[:200].decode(errors='replace'))

    try:
        record = json.loads(line.decode())
    except UnicodeDecodeError as error:
        return rejected(f'not UTF-8 at byte {error.start}')
    except json.JSONDecodeError as error:
        return rejected(f'not JSON at column {error.colno}: {error.msg}')
    if not isinstance(record, dict):
        return rejected('not a JSON object')
    for name in ('id', 'title', 'text'):
        if name not in record:
            return rejected(f'no {name!r}')
    if not isinstance(record['text'], str) or not isinstance(record['title'], str):
        return rejected("'title' and 'text' must be strings")
    if not record['text'].strip():
        return rejected('empty text')
    # JSON can spell half of a surrogate pair, which no text holds.
    if not _is_unicode(record['title']) or not _is_unicode(record['text']):
        return rejected('half of a surrogate pair')
    return Document(str(record['id']), record['title'], record['text'])


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
