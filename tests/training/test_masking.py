import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realm_tf.corpus.block_store import BlockStore
from realm_tf.corpus.span_store import SpanStore
from realm_tf.training.masking import _window_around, mask_queries


@pytest.fixture(scope='module')
def corpus(tiny_corpus):
    return BlockStore.open(tiny_corpus)


@pytest.fixture(scope='module')
def spans(tiny_spans, corpus):
    return SpanStore.open(tiny_spans, corpus)


@settings(deadline=None)
@given(seed=st.integers(0, 1000), max_length=st.integers(4, 40), max_masks=st.integers(1, 10))
def test_one_span_is_masked_and_can_be_filled_in_again(corpus, spans, seed, max_length, max_masks):
    rows = np.flatnonzero(spans.counts())[:6]
    masked = mask_queries(
        corpus,
        spans,
        rows,
        masking='salient',
        max_length=max_length,
        max_masks=max_masks,
        generator=np.random.default_rng(seed),
    )
    mask_id = corpus.vocabulary.mask_id
    bodies = [row.tolist() for row in corpus.body_ids(rows).rows()]
    for index, sentence in enumerate(masked.token_ids.rows()):
        assert len(sentence) <= max_length
        is_mask = sentence == mask_id
        where = np.flatnonzero(is_mask)
        assert len(where) > 0 and where[-1] - where[0] + 1 == len(where)
        count = int(masked.mask_weights[index].sum())
        assert count == min(len(where), max_masks)
        assert masked.mask_positions[index, :count].tolist() == where[:count].tolist()
        if count == len(where):
            filled = sentence.copy()
            filled[where] = masked.gold_ids[index, :count]
            text = ','.join(map(str, filled.tolist()))
            assert text in ','.join(map(str, bodies[index]))


@pytest.mark.parametrize('masking', ['span', 'tokens'])
@settings(deadline=None)
@given(seed=st.integers(0, 1000), max_length=st.integers(4, 40))
def test_random_masks_lie_in_one_sentence_and_can_be_filled_in_again(corpus, spans, masking, seed, max_length):
    rows = np.flatnonzero(spans.counts())[:6]
    generator = np.random.default_rng(seed)
    masked = mask_queries(
        corpus, spans, rows, masking=masking, max_length=max_length, max_masks=max_length, generator=generator
    )
    for index, (sentence, row) in enumerate(zip(masked.token_ids.rows(), rows, strict=True)):
        where = np.flatnonzero(sentence == corpus.vocabulary.mask_id)
        assert 0 < len(where) <= len(sentence) <= max_length
        assert masking == 'tokens' or where[-1] - where[0] + 1 == len(where) <= 10
        filled = sentence.copy()
        filled[where] = masked.gold_ids[index, : len(where)]
        (body,) = corpus.body_ids(np.array([row])).rows()
        (starts,) = corpus.sentence_starts(np.array([row])).rows()
        sentences = [','.join(map(str, of_one)) for of_one in np.split(body, starts[1:])]
        assert any(','.join(map(str, filled)) in of_one for of_one in sentences)


def test_the_same_generator_masks_the_same(corpus, spans):
    rows = np.flatnonzero(spans.counts())[:4]

    def mask(seed):
        masked = mask_queries(
            corpus, spans, rows, masking='salient', max_length=30, max_masks=10, generator=np.random.default_rng(seed)
        )
        return masked.token_ids.values.tolist()

    assert mask(1) == mask(1)
    assert any(mask(1) != mask(seed) for seed in range(2, 9))


@given(st.data())
def test_a_window_holds_its_span(data):
    length = data.draw(st.integers(1, 30))
    limit = data.draw(st.integers(1, 80))
    span_start = data.draw(st.integers(0, limit - 1))
    span_limit = data.draw(st.integers(span_start + 1, limit))
    start, stop = _window_around(0, limit, span_start, span_limit, length)
    assert 0 <= start <= span_start < stop <= limit
    assert stop - start == min(limit, length)
    assert stop >= min(span_limit, start + length)
