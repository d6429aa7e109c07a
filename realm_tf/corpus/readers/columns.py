"""The columns, by name, that documents are made of."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from etils import epath

from realm_tf.corpus.readers.field_reader import Fields
from realm_tf.errors import RealmError


class Columns(NamedTuple):
    """The names of the columns of a table, or of the members of a JSON object, that documents are made of.

    Attributes:
      id: holds what names a document; None if no column does.
      title: holds its title; None if no column does.
      text: holds its text.
    """

    id: str | None = 'id'
    title: str | None = 'title'
    text: str = 'text'

    def names(self) -> list[str]:
        """The columns there must be."""
        return [name for name in self if name is not None]

    def require(self, tables: Iterable[tuple[epath.PathLike, Sequence[str]]]) -> None:
        """Checks that one of the tables has the columns: where none has, a name is wrong, and not a table.

        Args:
          tables: the file of each, and the columns it has; no more are taken than are needed.

        Raises:
          RealmError: if there are tables, and each lacks a column; it names those of the first.
        """
        wrong = None
        for path, present in tables:
            missing = [(role, name) for role, name in self._asdict().items() if name not in (None, *present)]
            if not missing:
                return
            role, name = missing[0]
            wrong = wrong or (
                f'{path} has no column {name!r} for the {role} of documents. Its columns are '
                f'{", ".join(map(repr, present))}: say which of them holds the {role}.'
            )
        if wrong:
            raise RealmError(wrong)

    def fields(self, values: Mapping[str, Any]) -> Fields:
        """Takes the fields of a document.

        Args:
          values: of all columns.

        Raises:
          ValueError: if one is missing, or is no text; the message is the reason.
        """
        for name in self.names():
            if name not in values:
                raise ValueError(f'no {name!r}')
        id, title, text = ('' if name is None else values[name] for name in self)
        title = '' if title is None else title
        if not isinstance(title, str) or not isinstance(text, str):
            raise ValueError(f'{" and ".join(map(repr, self.names()[-2:]))} must be strings')
        if not isinstance(id, str | int | float):
            raise ValueError(f'{self.id!r} must be a string or a number')
        return Fields(str(id), title, text)
