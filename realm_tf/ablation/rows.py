"""The rows of the paper's ablation table (table 2), and the trainings they need."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from realm_tf.errors import RealmError

# The encoder that every training starts from: after the inverse cloze task, before any pre-training.
START = 'start'
REALM, SPANS, WORDPIECES, STALE = 'realm', 'random-spans', 'random-wordpieces', 'stale'
# What of `pretrain` each training changes. The stale index is that of the start until the end; the index of the others
# is refreshed so many times.
TRAININGS: Mapping[str, Mapping[str, Any]] = {
    REALM: {},
    SPANS: {'masking': 'span'},
    WORDPIECES: {'masking': 'tokens'},
    STALE: {'refresh': 'none'},
}
STALER = 30


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
      name: what the paper calls it, in our words.
      directory: of what is made for it.
      retriever: the training whose retriever is taken, or `START`.
      reader: the training whose knowledge-augmented encoder is taken, or `START`.
      exact_match: the paper's, on the development questions of Natural Questions, in percent.
      recall: the paper's zero-shot recall@5, in percent.
    """

    name: str
    directory: str
    retriever: str
    reader: str
    exact_match: float
    recall: float


ROWS = (
    Row('REALM', REALM, REALM, REALM, 38.2, 38.5),
    Row('REALM retriever, baseline encoder', 'reset-encoder', REALM, START, 37.4, 38.5),
    Row('baseline retriever, REALM encoder', 'reset-retriever', START, REALM, 35.3, 13.9),
    Row('baseline', START, START, START, 31.3, 13.9),
    Row('random wordpieces masked', WORDPIECES, WORDPIECES, WORDPIECES, 32.3, 24.2),
    Row('random spans masked', SPANS, SPANS, SPANS, 35.3, 26.1),
    Row('stale index', STALE, STALE, STALE, 28.7, 15.1),
)


def trainings_of(rows: Iterable[Row]) -> set[str]:
    """The trainings that rows need."""
    return {training for row in rows for training in (row.retriever, row.reader)} - {START}


def rows_named(names: Iterable[str]) -> tuple[Row, ...]:
    """The rows with these directories for names, in the order of the table; all of them if there is no name.

    Raises:
      RealmError: if there is no such row.
    """
    names = set(names)
    unknown = names - {row.directory for row in ROWS}
    if unknown:
        known = ', '.join(row.directory for row in ROWS)
        raise RealmError(f'There is no row {", ".join(sorted(unknown))}. The rows are {known}.')
    return tuple(row for row in ROWS if not names or row.directory in names)
