"""Salient spans, named entities and dates (REALM, section 3.4), and the one interface of what finds them."""

import abc
import bisect
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from realm_tf.config import SpansConfig

# Kinds of entities that are quantities, as OntoNotes names them; all others, of any tagger, are salient.
QUANTITIES = frozenset(['CARDINAL', 'MONEY', 'ORDINAL', 'PERCENT', 'QUANTITY', 'TIME'])


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

    @classmethod
    def inputs(cls, *source) -> dict[str, str]:
        """What the spans of a tagger that is made from this depend on, without loading it: see `tagger_inputs`."""
        return {}

    @abc.abstractmethod
    def tag(self, texts: Sequence[str]) -> Iterator[list[Span]]:
        """Finds the spans of each text, in order and without overlaps."""


def tagger_inputs(config: SpansConfig) -> dict[str, str]:
    """What spans are made with by a configuration's tagger: versions and digests, by role.

    Raises:
      RealmError: if what it needs is missing.
    """
    tagger, source = _tagger_and_source(config)
    return tagger.inputs(*source)


def make_tagger(config: SpansConfig) -> Tagger:
    """The tagger that a configuration names.

    Raises:
      RealmError: if what it needs is missing.
    """
    tagger, source = _tagger_and_source(config)
    return tagger(*source)


def _tagger_and_source(config: SpansConfig) -> tuple[type[Tagger], tuple]:
    """The class of a configuration's tagger, and what one is made from."""
    # A tagger's own libraries are loaded with it: dates need neither spaCy nor TensorFlow.
    if config.tagger == 'spacy':
        from realm_tf.corpus.taggers.spacy_entities import SpacyTagger

        return SpacyTagger, (config.spacy_pipeline,)
    if config.tagger == 'hf':
        from realm_tf.corpus.taggers.bert_entities import BertTagger

        return BertTagger, (config.hf_directory,)
    from realm_tf.corpus.taggers.dates import DateTagger

    return DateTagger, ()


def without_overlaps(spans: Iterable[Span]) -> list[Span]:
    """Keeps, of spans that overlap, the longest, and of equally long ones the first; ordered by where they start.

    Of two in the same place, the one that comes first in `spans` is kept.
    """
    kept: list[Span] = []
    for span in sorted(spans, key=lambda span: (span[0] - span[1], span[0])):
        position = bisect.bisect(kept, span)
        after_previous = position == 0 or kept[position - 1][1] <= span[0]
        before_next = position == len(kept) or span[1] <= kept[position][0]
        if after_previous and before_next:
            kept.insert(position, span)
    return kept


def in_bytes(text: str, spans: Iterable[tuple[int, int, str]]) -> list[Span]:
    """Spans in characters as spans in bytes, without white space at their ends.

    Args:
      text: the text.
      spans: start, limit and label of each, in characters, without overlaps and in order.
    """
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
