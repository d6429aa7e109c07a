"""What reads one format of documents."""

import abc
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

from etils import epath

from realm_tf.artifacts import file_checksum
from realm_tf.corpus.compression import Gap
from realm_tf.corpus.documents import Document, Dropped, Rejected
from realm_tf.errors import RealmError


class RecordReader(abc.ABC):
    """Reads one format, in two steps, so that a worker passes cheaply over what belongs to another.

    `records` only finds where records begin and end; `document` does the costly work. A record that is no document is
    told as `Rejected` and costs no other record; only a file that cannot be read at all is an error.

    Attributes:
      holds_blocks: whether a record is a block already: it is not cut again, nor left out for being like another, so
        that embeddings that came with the blocks still belong to them.
    """

    holds_blocks = False

    def identity(self, path: epath.PathLike) -> list[str]:
        """What makes the records of a file what they are, as checksums and names; with others they are made again.

        Args:
          path: the file.
        """
        return [file_checksum(path)]

    def columns(self, path: epath.PathLike) -> Sequence[str] | None:
        """The columns that a file names before its records; None if it names none.

        Args:
          path: the file.

        Raises:
          RealmError: if the file cannot be read.
        """
        return None

    @abc.abstractmethod
    def records(self, path: epath.PathLike) -> Iterator[Any]:
        """Finds the records of a file.

        Args:
          path: the file, local or `gs://`, compressed or not.

        Yields:
          The records as they lie in the file, in order; `Unreadable` where there is a gap in it.

        Raises:
          RealmError: if the file cannot be read.
        """

    @abc.abstractmethod
    def key(self, record: Any) -> bytes:
        """What exact duplicates have in common: title and text, without the id.

        A record that is no document has a key of its own, even if one that is has the same title and text: of a page
        that is there twice, and damaged once, the whole one is kept.

        Args:
          record: one that `records` gave.
        """

    @abc.abstractmethod
    def document(self, record: Any, file: str, position: int) -> Document | Rejected | Dropped:
        """Makes a document of a record.

        Args:
          record: one that `records` gave.
          file: the file it is from.
          position: its place among the records of the file, counted from 1.
        """


class Unreadable(NamedTuple):
    """A part of a file that cannot be read, or all the rest of it.

    Attributes:
      reason: what is wrong.
    """

    reason: str


def lines_of(file: BinaryIO) -> Iterator[bytes | Unreadable]:
    """The lines of a file, and for each gap in it an `Unreadable`; those beside a gap may be cut.

    Args:
      file: one that `open_decompressed` opened.
    """
    while True:
        try:
            yield from file
            return
        except Gap as gap:
            yield Unreadable(str(gap))


def readable_records(reader: RecordReader, path: epath.PathLike) -> Iterator[Any]:
    """The records of a file, as far as it can be read; what cannot be is `Unreadable`.

    Args:
      reader: reads its format.
      path: the file.

    Raises:
      RealmError: if it holds no record that can be read.
    """
    found = False
    unreadable = None
    try:
        for record in reader.records(path):
            if isinstance(record, Unreadable):
                unreadable = record
            else:
                found = True
            yield record
    except RealmError as error:
        unreadable = Unreadable(str(error))
        if found:
            yield unreadable
    if unreadable and not found:
        raise RealmError(unreadable.reason)
