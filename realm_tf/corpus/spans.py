"""Salient spans: named entities and dates (REALM, section 3.4)."""

import abc
import importlib.util
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from realm_tf.config import SpansConfig
from realm_tf.errors import RealmError

_MONTH = (
    r'(?:January|February|March|April|May|June|July|August|September|October|November|December'
    r'|Jan\.|Feb\.|Mar\.|Apr\.|Jun\.|Jul\.|Aug\.|Sept?\.|Oct\.|Nov\.|Dec\.)'
)
_DAY = r'(?:[12]\d|3[01]|0?[1-9])(?:st|nd|rd|th)?'
_YEAR = r'(?:1\d{3}|20\d{2})'
_DATE = re.compile(
    '|'.join(
        (
            rf'\b{_DAY} {_MONTH},? {_YEAR}\b',  # 25 August 1825
            rf'\b{_MONTH} {_DAY},? {_YEAR}\b',  # August 25, 1825
            rf'\b{_DAY} {_MONTH}(?!\w)',  # 25 August
            rf'\b{_MONTH} {_DAY}(?![\w,]\w|\d)',  # August 25
            rf'\b{_MONTH},? {_YEAR}\b',  # August 1825
            r'\b\d{1,4} (?:BCE|BC|AD|CE)\b',  # 44 BC
            r'\bAD \d{1,4}\b',  # AD 79
            r'\b\d{1,2}(?:st|nd|rd|th)[ -]century(?: (?:BCE|BC|AD|CE))?\b',  # 19th century
            rf'\b{_YEAR}s\b',  # 1960s
            rf'\b{_YEAR}[–-]{_YEAR}\b',  # 1939–1945
            rf'\b{_YEAR}\b(?![.,]?\d)',  # 1825
        )
    )
)
# Kinds of entities that are salient; spaCy's others are quantities.
_LABELS = frozenset(
    ['PERSON', 'NORP', 'FAC', 'ORG', 'GPE', 'LOC', 'PRODUCT', 'EVENT', 'WORK_OF_ART', 'LAW', 'LANGUAGE', 'DATE']
)


class Span(NamedTuple):
    """A salient span of a text.

    Attributes:
      start: its first byte.
      limit: the byte after its last.
      label: what it is, such as `PERSON` or `DATE`.
    """

    start: int
    limit: int
    label: str


class Tagger(abc.ABC):
    """Finds salient spans."""

    @abc.abstractmethod
    def tag(self, texts: Sequence[str]) -> Iterator[list[Span]]:
        """Finds the spans of each text, in order and without overlaps."""


class DateTagger(Tagger):
    """Finds dates by their form: years, days, months, decades, centuries, ranges, in English."""

    def tag(self, texts):
        for text in texts:
            yield _in_bytes(text, _dates(text))


class SpacyTagger(Tagger):
    """Finds named entities with an installed spaCy pipeline, and dates by their form.

    Args:
      pipeline: the name of the pipeline's package.
    """

    def __init__(self, pipeline: str):
        self._pipeline = importlib.import_module(pipeline).load(
            exclude=['tagger', 'parser', 'attribute_ruler', 'lemmatizer', 'senter']
        )

    def tag(self, texts):
        for text, document in zip(texts, self._pipeline.pipe(texts), strict=True):
            entities = [
                (entity.start_char, entity.end_char, entity.label_)
                for entity in document.ents
                if entity.label_ in _LABELS
            ]
            yield _in_bytes(text, without_overlaps([*_dates(text), *entities]))


def require_tagger(config: SpansConfig) -> None:
    """Checks that the tagger a configuration names is installed, without loading it.

    Raises:
      RealmError: if it is not.
    """
    if config.tagger == 'spacy' and importlib.util.find_spec(config.spacy_pipeline) is None:
        raise RealmError(
            f'The spaCy pipeline {config.spacy_pipeline} is not installed. pip install "realm-tf[spacy]", name another '
            'one with spans.spacy_pipeline, or set spans.tagger=dates.'
        )


def make_tagger(config: SpansConfig) -> Tagger:
    """The tagger that a configuration names."""
    return DateTagger() if config.tagger == 'dates' else SpacyTagger(config.spacy_pipeline)


def without_overlaps(spans: Iterable[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Keeps, of spans that overlap, the longest, and of equally long ones the first; ordered by where they start."""
    kept: list[tuple[int, int, str]] = []
    for span in sorted(spans, key=lambda span: (span[0] - span[1], span[0])):
        if all(span[1] <= other[0] or span[0] >= other[1] for other in kept):
            kept.append(span)
    return sorted(kept)


def _dates(text: str) -> list[tuple[int, int, str]]:
    return [(match.start(), match.end(), 'DATE') for match in _DATE.finditer(text)]


def _in_bytes(text: str, spans: Iterable[tuple[int, int, str]]) -> list[Span]:
    """Spans in characters as spans in bytes, without white space at their ends."""
    found = []
    byte, character = 0, 0
    for start, limit, label in spans:
        words = text[start:limit]
        start += len(words) - len(words.lstrip())
        words = words.strip()
        byte += len(text[character:start].encode())
        character = start
        if words:
            found.append(Span(byte, byte + len(words.encode()), label))
    return found
