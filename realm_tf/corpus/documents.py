"""What becomes of a record: a document, one that is not wanted, or none."""

from typing import NamedTuple


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
      position: its place among the records of the file, counted from 1.
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
