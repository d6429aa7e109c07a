"""What reads one format of documents."""

import abc
from collections.abc import Iterator
from typing import Any, NamedTuple

from etils import epath

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

    @abc.abstractmethod
    def records(self, path: epath.PathLike) -> Iterator[Any]:
        """Finds the records of a file.

        Args:
          path: the file, local or `gs://`, compressed or not.

        Yields:
          The records as they lie in the file, in order.

        Raises:
          RealmError: if the file cannot be read.
        """

    @abc.abstractmethod
    def key(self, record: Any) -> bytes:
        """What exact duplicates have in common: title and text, without the id.

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
    """The rest of a file, from where it cannot be read.

    Attributes:
      reason: what is wrong.
    """

    reason: str


def readable_records(reader: RecordReader, path: epath.PathLike) -> Iterator[Any]:
    """The records of a file, as far as it can be read; if that is not all, the last one is `Unreadable`.

    Args:
      reader: reads its format.
      path: the file.

    Raises:
      RealmError: if it holds no record that can be read.
    """
    found = False
    try:
        for record in reader.records(path):
            found = True
            yield record
    except RealmError as error:
        if not found:
            raise
        yield Unreadable(str(error))
