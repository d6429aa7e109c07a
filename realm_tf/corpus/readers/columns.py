"""The columns, by name, that documents are made of."""

from collections.abc import Mapping, Sequence
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

    def require(self, present: Sequence[str], path: epath.PathLike) -> None:
        """Checks that a table has the columns.

        Args:
          present: the columns it has.
          path: its file, for the message.

        Raises:
          RealmError: if one is missing; it names those there are.
        """
        for role, name in self._asdict().items():
            if name is not None and name not in present:
                raise RealmError(
                    f'{path} has no column {name!r} for the {role} of documents. Its columns are '
                    f'{", ".join(map(repr, present))}: say which of them holds the {role}.'
                )

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
