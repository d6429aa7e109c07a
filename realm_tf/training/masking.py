"""Masked queries: a sentence with one salient span blanked out (REALM, section 3.4)."""

from typing import NamedTuple

import numpy as np

from realm_tf.corpus.block_store import BlockStore
from realm_tf.corpus.span_store import SpanStore
from realm_tf.text.ragged import Ragged


class MaskedQueries(NamedTuple):
    """A batch of masked sentences.

    Attributes:
      token_ids: the sentences' wordpieces with [MASK] over the span, without [CLS] and [SEP].
      mask_positions: int32 `[batch, max_masks]`: where the masked wordpieces stand in the sentence; 0 is padding.
      gold_ids: int32 `[batch, max_masks]`: the wordpieces under the masks.
      mask_weights: float32 `[batch, max_masks]`: 1 for a masked wordpiece, 0 for padding.
    """

    token_ids: Ragged
    mask_positions: np.ndarray
    gold_ids: np.ndarray
    mask_weights: np.ndarray


def mask_salient_spans(
    corpus: BlockStore,
    spans: SpanStore,
    rows: np.ndarray,
    *,
    max_length: int,
    max_masks: int,
    generator: np.random.Generator,
) -> MaskedQueries:
    """Draws one salient span of each block and blanks it out in its sentence.

    Every wordpiece of the span becomes [MASK]; at most `max_masks` of them are scored. A sentence longer than
    `max_length` is cut to a window around the span.

    Args:
      corpus: the corpus.
      spans: its salient spans.
      rows: block ids, int64 `[batch]`; each has a span.
      max_length: the longest sentence, in wordpieces.
      max_masks: the most wordpieces that are scored.
      generator: draws the spans.
    """
    batch = len(rows)
    sentences = []
    mask_positions = np.zeros((batch, max_masks), np.int32)
    gold_ids = np.zeros((batch, max_masks), np.int32)
    mask_weights = np.zeros((batch, max_masks), np.float32)
    blocks = zip(
        corpus.body_ids(rows).rows(),
        corpus.sentence_starts(rows).rows(),
        spans.token_starts(rows).rows(),
        spans.token_limits(rows).rows(),
        strict=True,
    )
    for index, (body, sentence_starts, span_starts, span_limits) in enumerate(blocks):
        chosen = generator.integers(len(span_starts))
        span_start, span_limit = int(span_starts[chosen]), int(span_limits[chosen])
        start, limit = _sentence_around(sentence_starts, len(body), span_start, span_limit)
        start, limit = _window_around(start, limit, span_start, span_limit, max_length)
        span_limit = min(span_limit, limit)
        sentence = body[start:limit].copy()
        masked = np.arange(span_start, span_limit)[:max_masks] - start
        mask_positions[index, : len(masked)] = masked
        gold_ids[index, : len(masked)] = sentence[masked]
        mask_weights[index, : len(masked)] = 1.0
        sentence[span_start - start : span_limit - start] = corpus.vocabulary.mask_id
        sentences.append(sentence)
    return MaskedQueries(Ragged.of(sentences), mask_positions, gold_ids, mask_weights)


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
