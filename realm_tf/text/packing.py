"""Packing of wordpieces into the fixed-shape inputs of the networks, on the host.

Every function takes `Ragged` rows of wordpiece ids and returns int32 arrays padded with [PAD] (0). Nothing else in the
house knows where [CLS] and [SEP] stand.
"""

from typing import NamedTuple

import numpy as np

from realm_tf.text.ragged import Ragged, place
from realm_tf.text.vocabulary import Vocabulary

MAX_TITLE_LENGTH = 64
# [CLS], and [SEP] twice.
NUM_SPECIAL = 3


class Packed(NamedTuple):
    """A batch of inputs.

    Attributes:
      token_ids: int32 `[batch, length]`.
      segment_ids: int32 `[batch, length]`: 0 for the first part with its [CLS] and [SEP] and for padding, 1 for the
        second part with its [SEP].
      second_starts: int64 `[batch]`: the position of the first wordpiece of the second part.
      second_lengths: int64 `[batch]`: how many wordpieces of the second part were kept.
    """

    token_ids: np.ndarray
    segment_ids: np.ndarray
    second_starts: np.ndarray
    second_lengths: np.ndarray


def title_limit(length: int) -> int:
    """The most wordpieces kept of a title where documents have at most `length`: none crowds out its body."""
    return min(MAX_TITLE_LENGTH, (length - NUM_SPECIAL) // 2)


def pack_queries(queries: Ragged, length: int, vocabulary: Vocabulary) -> np.ndarray:
    """Packs `[CLS] query [SEP]`, the query cut to fit.

    Returns:
      Token ids, int32 `[batch, length]`; all of it is segment 0.
    """
    queries = queries.truncated(length - 2)
    token_ids = np.full((queries.num_rows, length), vocabulary.pad_id, np.int32)
    token_ids[:, 0] = vocabulary.cls_id
    place(token_ids, queries, np.ones(queries.num_rows, np.int64))
    token_ids[np.arange(queries.num_rows), queries.lengths + 1] = vocabulary.sep_id
    return token_ids


def pack_pairs(
    first: Ragged, second: Ragged, length: int, vocabulary: Vocabulary, first_limit: int | None = None
) -> Packed:
    """Packs `[CLS] first [SEP] second [SEP]`; the second part is cut to the room that the first leaves.

    Args:
      first: the first part of each row.
      second: the second part of each row.
      length: length of the input, in wordpieces.
      vocabulary: for the special pieces.
      first_limit: the most wordpieces kept of the first part; all that fit by default.
    """
    first = first.truncated(length - 3 if first_limit is None else min(first_limit, length - 3))
    second = second.truncated(length - 3 - first.lengths)
    batch = np.arange(first.num_rows)
    second_starts = first.lengths + 2
    last = second_starts + second.lengths
    token_ids = np.full((first.num_rows, length), vocabulary.pad_id, np.int32)
    token_ids[:, 0] = vocabulary.cls_id
    place(token_ids, first, np.ones(first.num_rows, np.int64))
    token_ids[batch, second_starts - 1] = vocabulary.sep_id
    place(token_ids, second, second_starts)
    token_ids[batch, last] = vocabulary.sep_id
    columns = np.arange(length)
    segment_ids = ((columns >= second_starts[:, None]) & (columns <= last[:, None])).astype(np.int32)
    return Packed(token_ids, segment_ids, second_starts, second.lengths)


def pack_documents(titles: Ragged, bodies: Ragged, length: int, vocabulary: Vocabulary) -> Packed:
    """Packs documents for the retriever: `[CLS] title [SEP] body [SEP]`; the null document is an empty pair."""
    return pack_pairs(titles, bodies, length, vocabulary, first_limit=title_limit(length))


def pack_reader_inputs(
    questions: Ragged, bodies: Ragged, length: int, vocabulary: Vocabulary, *, question_length: int
) -> Packed:
    """Packs the input of a reader: `[CLS] question [SEP] body [SEP]`, without the title.

    The question is kept as the retriever saw it, packed in `question_length`; the body is cut to the room it leaves.
    """
    return pack_pairs(questions, bodies, length, vocabulary, first_limit=question_length - 2)
