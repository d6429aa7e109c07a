"""Packing of wordpieces in the graph: the twin of `realm_tf.text.packing`, for what is served."""

import tensorflow as tf

from realm_tf.text.packing import title_limit
from realm_tf.text.vocabulary import Vocabulary


def pack_queries(queries: tf.RaggedTensor, length: int, vocabulary: Vocabulary) -> tf.Tensor:
    """Packs `[CLS] query [SEP]`, the query cut to fit, as int32 `[batch, length]`."""
    queries = queries[:, : length - 2]
    parts = [_column(queries, vocabulary.cls_id), queries, _column(queries, vocabulary.sep_id)]
    return tf.concat(parts, axis=1).to_tensor(vocabulary.pad_id, shape=(None, length))


def pack_pairs(
    first: tf.RaggedTensor, second: tf.RaggedTensor, length: int, vocabulary: Vocabulary, *, first_limit: int
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Packs `[CLS] first [SEP] second [SEP]`, the second part cut to the room that the first leaves.

    Columns that are padding in all rows are left out.

    Args:
      first: the first part of each row.
      second: the second part of each row.
      length: the longest input, in wordpieces.
      vocabulary: for the special pieces.
      first_limit: the most wordpieces kept of the first part.

    Returns:
      A tuple of token ids and segment ids, int32 `[batch, columns]`, and where the second part starts, int32 `[batch]`.
    """
    first = first[:, : min(first_limit, length - 3)]
    # [batch]
    starts = tf.cast(first.row_lengths(), tf.int32) + 2
    room = length - 1 - starts
    positions = tf.ragged.range(tf.minimum(tf.cast(second.row_lengths(), tf.int32), room))
    second = tf.gather(second, positions, batch_dims=1)
    head = [_column(first, vocabulary.cls_id), first, _column(first, vocabulary.sep_id)]
    tail = tf.concat([second, _column(second, vocabulary.sep_id)], axis=1)
    token_ids = tf.concat([*head, tail], axis=1).to_tensor(vocabulary.pad_id)
    last = starts + tf.cast(tail.row_lengths(), tf.int32)
    columns = tf.range(tf.shape(token_ids)[1])[tf.newaxis]
    segment_ids = tf.logical_and(columns >= starts[:, tf.newaxis], columns < last[:, tf.newaxis])
    return token_ids, tf.cast(segment_ids, tf.int32), starts


def pack_documents(
    titles: tf.RaggedTensor, bodies: tf.RaggedTensor, length: int, vocabulary: Vocabulary
) -> tuple[tf.Tensor, tf.Tensor]:
    """Packs `[CLS] title [SEP] body [SEP]` for the retriever: token ids and segment ids, int32 `[batch, columns]`."""
    return pack_pairs(titles, bodies, length, vocabulary, first_limit=title_limit(length))[:2]


def pack_reader_inputs(
    questions: tf.RaggedTensor, bodies: tf.RaggedTensor, length: int, vocabulary: Vocabulary, *, question_length: int
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Packs `[CLS] question [SEP] body [SEP]` for the reader; returns what `pack_pairs` does."""
    return pack_pairs(questions, bodies, length, vocabulary, first_limit=question_length - 2)


def _column(rows: tf.RaggedTensor, id: int) -> tf.RaggedTensor:
    """One wordpiece for each row."""
    column = tf.fill([rows.nrows(), 1], tf.constant(id, tf.int32))
    return tf.RaggedTensor.from_tensor(column, row_splits_dtype=rows.row_splits.dtype)
