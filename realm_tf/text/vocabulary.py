"""A WordPiece vocabulary: the pieces in order, and the ids of the special ones."""

import dataclasses
import functools
import hashlib

from etils import epath

from realm_tf.errors import RealmError


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """The pieces of a BERT `vocab.txt`; a piece's id is its line.

    Attributes:
      pieces: every wordpiece, in the order of their ids.
    """

    pieces: tuple[str, ...]

    @classmethod
    def read(cls, path: epath.PathLike) -> 'Vocabulary':
        """Reads a `vocab.txt`, one piece a line.

        Raises:
          RealmError: if the file is missing or damaged, or lacks one of the special pieces.
        """
        path = epath.Path(path)
        if not path.exists():
            raise RealmError(f'There is no vocabulary at {path}: a BERT vocab.txt is needed.')
        if path.is_dir():
            raise RealmError(f'{path} is a directory: name the vocab.txt in it.')
        data = path.read_bytes()
        try:
            # Other ends of lines, such as U+2028, are pieces.
            pieces = [piece.removesuffix('\r') for piece in data.decode().removesuffix('\n').split('\n')]
        except UnicodeDecodeError as error:
            line = data.count(b'\n', 0, error.start) + 1
            raise RealmError(f'{path} is not UTF-8 in line {line} ({error.reason}). Is it whole?') from error
        missing = [piece for piece in ('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]') if piece not in pieces]
        if missing:
            raise RealmError(f'{path} is not a BERT vocabulary: it has no {", ".join(missing)}.')
        if pieces[0] != '[PAD]':
            raise RealmError(f'{path}: the first piece is {pieces[0]!r}; padding needs [PAD] there, with the id 0.')
        return cls(tuple(pieces))

    def write(self, path: epath.PathLike) -> None:
        """Writes the pieces as a `vocab.txt`."""
        epath.Path(path).write_text('\n'.join(self.pieces) + '\n')

    @functools.cached_property
    def digest(self) -> str:
        """Identifies the vocabulary: equal only for the same pieces in the same order."""
        return hashlib.sha256('\n'.join(self.pieces).encode()).hexdigest()

    @functools.cached_property
    def _ids(self) -> dict[str, int]:
        return {piece: id for id, piece in enumerate(self.pieces)}

    def id_of(self, piece: str) -> int:
        """The id of a piece that is in the vocabulary."""
        return self._ids[piece]

    @property
    def pad_id(self) -> int:
        return 0

    @property
    def unknown_id(self) -> int:
        return self.id_of('[UNK]')

    @property
    def cls_id(self) -> int:
        return self.id_of('[CLS]')

    @property
    def sep_id(self) -> int:
        return self.id_of('[SEP]')

    @property
    def mask_id(self) -> int:
        return self.id_of('[MASK]')
