"""Masked queries: a sentence with a part of it blanked out, a salient span if nothing else is asked for."""

from typing import NamedTuple

import numpy as np

from realm_tf.corpus.block_store import BlockStore
from realm_tf.corpus.span_store import SpanStore
from realm_tf.text.ragged import Ragged

# Lengths of random spans: geometric, and cut (SpanBERT, Joshi et al. 2020, section 3.1).
_SPAN_PROBABILITY = 0.2
_LONGEST_SPAN = 10
# Masked at random (BERT, Devlin et al. 2019, section 3.1).
_SHARE_OF_TOKENS = 0.15


class MaskedQueries(NamedTuple):
    """A batch of masked sentences.

    Attributes:
      token_ids: the sentences' wordpieces with [MASK] over the part, without [CLS] and [SEP].
      mask_positions: int32 `[batch, max_masks]`: where the masked wordpieces stand in the sentence; 0 is padding.
      gold_ids: int32 `[batch, max_masks]`: the wordpieces under the masks.
      mask_weights: int32 `[batch, max_masks]`: 1 for a masked wordpiece, 0 for padding.
    """

    token_ids: Ragged
    mask_positions: np.ndarray
    gold_ids: np.ndarray
    mask_weights: np.ndarray


class _Block(NamedTuple):
    """What masks are drawn from: the sentences of a block and its salient spans, in wordpieces."""

    length: int
    sentence_starts: np.ndarray
    span_starts: np.ndarray
    span_limits: np.ndarray


class _Drawn(NamedTuple):
    """A sentence, or a window of it, from its first wordpiece to before the limit, and the ones masked, ascending."""

    start: int
    limit: int
    masked: np.ndarray


def mask_queries(
    corpus: BlockStore,
    spans: SpanStore,
    rows: np.ndarray,
    *,
    masking: str,
    max_length: int,
    max_masks: int,
    generator: np.random.Generator,
) -> MaskedQueries:
    """Draws one sentence of each block and blanks out a part of it.

    Every wordpiece of the part becomes [MASK]; at most `max_masks` of them are scored. A sentence longer than
    `max_length` is cut to a window around it. No sentence is lost to an accent or an [UNK]: wordpieces are masked, and
    not words looked up again.

    Args:
      corpus: the corpus.
      spans: its salient spans.
      rows: block ids, int64 `[batch]`; each has a span.
      masking: `'salient'`, one of the salient spans (REALM, section 3.4); `'span'`, a random one (the paper's ablation,
        with the lengths of SpanBERT); `'tokens'`, 15 % of the wordpieces (its other one, after BERT).
      max_length: the longest sentence, in wordpieces.
      max_masks: the most wordpieces that are scored.
      generator: draws the masks.
    """
    batch = len(rows)
    draw = _DRAW[masking]
    sentences = []
    mask_positions = np.zeros((batch, max_masks), np.int32)
    gold_ids = np.zeros((batch, max_masks), np.int32)
    mask_weights = np.zeros((batch, max_masks), np.int32)
    bodies = corpus.body_ids(rows).rows()
    blocks = zip(
        map(len, bodies),
        corpus.sentence_starts(rows).rows(),
        spans.token_starts(rows).rows(),
        spans.token_limits(rows).rows(),
        strict=True,
    )
    for index, (body, block) in enumerate(zip(bodies, blocks, strict=True)):
        drawn = draw(_Block(*block), max_length, generator)
        sentence = body[drawn.start : drawn.limit].copy()
        masked = drawn.masked - drawn.start
        scored = masked[:max_masks]
        mask_positions[index, : len(scored)] = scored
        gold_ids[index, : len(scored)] = sentence[scored]
        mask_weights[index, : len(scored)] = 1
        sentence[masked] = corpus.vocabulary.mask_id
        sentences.append(sentence)
    return MaskedQueries(Ragged.of(sentences), mask_positions, gold_ids, mask_weights)


def _draw_salient_span(block: _Block, max_length: int, generator: np.random.Generator) -> _Drawn:
    chosen = generator.integers(len(block.span_starts))
    span_start, span_limit = int(block.span_starts[chosen]), int(block.span_limits[chosen])
    sentence = _sentence_around(block.sentence_starts, block.length, span_start, span_limit)
    return _span_in_window(*sentence, span_start, span_limit, max_length)


def _draw_random_span(block: _Block, max_length: int, generator: np.random.Generator) -> _Drawn:
    start, limit = _random_sentence(block, generator)
    length = min(int(generator.geometric(_SPAN_PROBABILITY)), _LONGEST_SPAN, limit - start)
    span_start = start + int(generator.integers(limit - start - length + 1))
    return _span_in_window(start, limit, span_start, span_start + length, max_length)


def _draw_random_tokens(block: _Block, max_length: int, generator: np.random.Generator) -> _Drawn:
    start, limit = _random_sentence(block, generator)
    start, limit = _window_around(start, limit, pivot := int(generator.integers(start, limit)), pivot + 1, max_length)
    is_masked = generator.random(limit - start) < _SHARE_OF_TOKENS
    # At least one, so that there is something to predict.
    is_masked[pivot - start] = True
    return _Drawn(start, limit, start + np.flatnonzero(is_masked))


_DRAW = {'salient': _draw_salient_span, 'span': _draw_random_span, 'tokens': _draw_random_tokens}


def _random_sentence(block: _Block, generator: np.random.Generator) -> tuple[int, int]:
    chosen = generator.integers(len(block.sentence_starts))
    boundaries = np.append(block.sentence_starts, block.length)
    return int(boundaries[chosen]), int(boundaries[chosen + 1])


def _span_in_window(start: int, limit: int, span_start: int, span_limit: int, max_length: int) -> _Drawn:
    start, limit = _window_around(start, limit, span_start, span_limit, max_length)
    return _Drawn(start, limit, np.arange(span_start, min(span_limit, limit)))


def _sentence_around(sentence_starts: np.ndarray, body_length: int, start: int, limit: int) -> tuple[int, int]:
    """The wordpieces of the sentence, or sentences, that a span lies in."""
    boundaries = np.append(sentence_starts, body_length)
    first = int(np.searchsorted(boundaries, start, side='right')) - 1
    last = int(np.searchsorted(boundaries, limit, side='left'))
    return int(boundaries[first]), int(boundaries[last])


def _window_around(start: int, limit: int, span_start: int, span_limit: int, length: int) -> tuple[int, int]:
    """Cuts a sentence to `length` wordpieces around a span, with as much before it as after it where both are long."""
    if limit - start <= length:
        return start, limit
    room = max(0, length - (span_limit - span_start))
    window_start = min(max(start, span_start - room // 2), max(start, limit - length))
    return window_start, min(limit, window_start + length)
