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

    A document whose record names no id is named by the path of its file and its position in it.

    Args:
      folder: the one that holds all files, within which paths are told; None, where there is none, for whole paths.
      has_ids: whether records name ids; where they do not, files under other names hold other documents.
    """

    def __init__(self, folder: epath.PathLike | None = None, *, has_ids: bool = True):
        self._has_ids = has_ids
        self._folder = folder

    def identity(self, path: epath.PathLike) -> list[str]:
        checksums = super().identity(path)
        return checksums if self._has_ids else [self.path_within(path), *checksums]

    def path_within(self, file: epath.PathLike) -> str:
        """The path of a file within the folder that holds all."""
        file = epath.Path(file)
        return (file if self._folder is None else file.relative_to(self._folder)).as_posix()

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
            if isinstance(fields, Dropped):
                return self.raw(record)
            # One that is no document for its id alone must not pass for the first of those that are.
            fields.id.encode()
        except ValueError:
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
        return Document(fields.id or f'{self.path_within(file)}:{position}', fields.title, fields.text)


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
