"""Documents in text files, each a document."""

from collections.abc import Iterator
from typing import NamedTuple

from etils import epath

from realm_tf.corpus.compression import open_decompressed
from realm_tf.corpus.documents import Document, Dropped, Rejected
from realm_tf.corpus.readers.field_reader import FieldReader, Fields, decoded
from realm_tf.corpus.readers.folders import files_in, uncompressed_name


class TextFile(NamedTuple):
    """A text file.

    Attributes:
      path: where it is.
      name: its path within the folder that holds all files.
    """

    path: epath.Path
    name: str


class TextFilesReader(FieldReader):
    """Reads text files, and folders of them.

    A record is a file: its title is its name, its id its path within the folder that holds all.

    Args:
      folder: the one that holds all files; None, where there is none, makes their whole paths their ids.
    """

    def __init__(self, folder: epath.PathLike | None = None):
        super().__init__(folder, has_ids=False)

    def records(self, path: epath.PathLike) -> Iterator[TextFile]:
        for file in files_in(path):
            yield TextFile(file, self.path_within(file))

    def fields(self, record: TextFile) -> Fields:
        title = uncompressed_name(record.path).removesuffix('.txt')
        return Fields(record.name, title, decoded(self.raw(record)))

    def raw(self, record: TextFile) -> bytes:
        with open_decompressed(record.path) as file:
            return file.read()

    def document(self, record: TextFile, file: str, position: int) -> Document | Rejected | Dropped:
        return super().document(record, str(record.path), position)
