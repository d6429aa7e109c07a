"""The interface of taggers: overlaps, bytes, and which tagger a configuration names."""

import itertools
import subprocess
import sys

import hypothesis
import pytest
from hypothesis import strategies

from realm_tf.config import SpansConfig
from realm_tf.corpus.spans import Span, in_bytes, make_tagger, tagger_inputs, without_overlaps
from realm_tf.errors import RealmError

SPANS = strategies.lists(
    strategies.tuples(strategies.integers(0, 30), strategies.integers(1, 10), strategies.sampled_from('XY')).map(
        lambda span: Span(span[0], span[0] + span[1], span[2])
    )
)


@hypothesis.given(SPANS)
def test_of_overlapping_spans_the_longest_is_kept(spans):
    kept = without_overlaps(spans)
    assert kept == sorted(kept) and set(kept) <= set(spans)
    assert all(one.limit <= other.start for one, other in itertools.pairwise(kept))
    for span in spans:
        rivals = [other for other in kept if other.start < span.limit and span.start < other.limit]
        longest = max(rivals, key=lambda other: (other.limit - other.start, -other.start))
        assert (longest.limit - longest.start, -longest.start) >= (span.limit - span.start, -span.start)


def test_of_spans_in_the_same_place_the_first_is_kept():
    assert without_overlaps([Span(3, 7, 'DATE'), Span(3, 7, 'EVENT')]) == [Span(3, 7, 'DATE')]
    assert without_overlaps([Span(3, 7, 'EVENT'), Span(3, 7, 'DATE')]) == [Span(3, 7, 'EVENT')]


@hypothesis.given(strategies.lists(strategies.text('aé日🙂 \u0301\n', max_size=6), max_size=8))
def test_bytes_are_those_of_the_characters(parts):
    text = ''.join(parts)
    starts = itertools.accumulate(map(len, parts), initial=0)
    spans = [(start, limit, str(number)) for number, (start, limit) in enumerate(itertools.pairwise(starts))]
    found = in_bytes(text, spans)
    assert [(text.encode()[span.start : span.limit].decode(), span.label) for span in found] == [
        (part.strip(), str(number)) for number, part in enumerate(parts) if part.strip()
    ]


def test_dates_need_neither_spacy_nor_tensorflow():
    code = (
        'import sys; from realm_tf.config import SpansConfig; from realm_tf.corpus.spans import make_tagger\n'
        "print(list(make_tagger(SpansConfig(tagger='dates')).tag(['In 1825.', ''])))\n"
        "assert not {'spacy', 'tensorflow', 'keras'} & set(sys.modules)"
    )
    printed = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[[Span(start=3, limit=7, label='DATE')], []]"


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'tagger': 'spacy', 'spacy_pipeline': 'xx_not_there'}, 'pipeline xx_not_there is not installed'),
        ({'tagger': 'spacy', 'spacy_pipeline': 'not.there'}, 'pipeline not.there is not installed'),
        ({'tagger': 'hf'}, 'needs spans.hf_directory'),
        ({'tagger': 'hf', 'hf_directory': '/not/there'}, 'There is no directory /not/there'),
    ],
)
def test_what_a_tagger_lacks_is_named(settings, message):
    config = SpansConfig(**settings)
    for check in (tagger_inputs, make_tagger):
        with pytest.raises(RealmError, match=message):
            check(config)
