"""What readers share whose records hold title and text as they are."""

import abc
from typing import Any, NamedTuple

from etils import epath

from realm_tf.corpus.documents import Document, Dropped, Rejected
from realm_tf.corpus.readers.reader import RecordReader

_EXCERPT_SIZE = 200  # bytes


class Fields(NamedTuple):
    """What a record says of a document.

    Attributes:
      id: names it within its collection; empty if the record does not say.
      title: its title; may be empty.
      text: its text.
    """

    id: str
    title: str
    text: str


class FieldReader(RecordReader):
    """Reads a format whose records hold title and text as they are.

    A document whose record names no id is named by its file and its position in it.
    """

    @abc.abstractmethod
    def fields(self, record: Any) -> Fields | Dropped:
        """Reads the fields of a record.

        Args:
          record: one that `records` gave.

        Raises:
          ValueError: if it has none; the message is the reason.
        """

    @abc.abstractmethod
    def raw(self, record: Any) -> bytes:
        """The bytes of a record, or what comes close to them.

        Args:
          record: one that `records` gave.
        """

    def key(self, record: Any) -> bytes:
        try:
            fields = self.fields(record)
        except ValueError:
            return self.raw(record)
        if isinstance(fields, Dropped):
            return self.raw(record)
        return f'{fields.title}\0{fields.text}'.encode('utf-8', 'surrogatepass')

    def document(self, record: Any, file: str, position: int) -> Document | Rejected | Dropped:
        try:
            fields = self.fields(record)
            if isinstance(fields, Dropped):
                return fields
            _require_text(fields)
        except ValueError as error:
            return Rejected(file, position, str(error), self.raw(record)[:_EXCERPT_SIZE].decode(errors='replace'))
        return Document(fields.id or f'{epath.Path(file).name}:{position}', fields.title, fields.text)


def decoded(data: bytes) -> str:
    """Decodes UTF-8, without the mark that may begin a file.

    Raises:
      ValueError: if it is not UTF-8; the message says at which byte.
    """
    try:
        return data.decode().removeprefix('\ufeff')
    except UnicodeDecodeError as error:
        raise ValueError(f'not UTF-8 at byte {error.start}') from None


def _require_text(fields: Fields) -> None:
    if not fields.text.strip():
        raise ValueError('empty text')
    try:
        ''.join(fields).encode()
    except UnicodeEncodeError:
        # JSON can spell half of a surrogate pair, which no text holds.
        raise ValueError('half of a surrogate pair') from None
