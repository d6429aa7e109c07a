"""Packing of wordpieces in the graph: the twin of `realm_tf.text.packing`, for what is served."""

import tensorflow as tf

from realm_tf.text.vocabulary import Vocabulary


def pack_queries(queries: tf.RaggedTensor, length: int, vocabulary: Vocabulary) -> tf.Tensor:
    """Packs `[CLS] query [SEP]`, the query cut to fit, as int32 `[batch, length]`."""
    queries = queries[:, : length - 2]
    parts = [_column(queries, vocabulary.cls_id), queries, _column(queries, vocabulary.sep_id)]
    return tf.concat(parts, axis=1).to_tensor(vocabulary.pad_id, shape=(None, length))


def pack_reader_inputs(
    questions: tf.RaggedTensor, bodies: tf.RaggedTensor, length: int, vocabulary: Vocabulary, *, question_length: int
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Packs `[CLS] question [SEP] body [SEP]`, the body cut to the room that the question leaves.

    Returns:
      A tuple of token ids and segment ids, int32 `[batch, length]`, and where the body starts, int32 `[batch]`.
    """
    questions = questions[:, : min(question_length - 2, length - 3)]
    # [batch]
    starts = tf.cast(questions.row_lengths(), tf.int32) + 2
    room = length - 1 - starts
    positions = tf.ragged.range(tf.minimum(tf.cast(bodies.row_lengths(), tf.int32), room))
    bodies = tf.gather(bodies, positions, batch_dims=1)
    first = [_column(questions, vocabulary.cls_id), questions, _column(questions, vocabulary.sep_id)]
    second = tf.concat([bodies, _column(bodies, vocabulary.sep_id)], axis=1)
    token_ids = tf.concat([*first, second], axis=1).to_tensor(vocabulary.pad_id, shape=(None, length))
    last = starts + tf.cast(second.row_lengths(), tf.int32)
    columns = tf.range(length)[tf.newaxis]
    segment_ids = tf.logical_and(columns >= starts[:, tf.newaxis], columns < last[:, tf.newaxis])
    return token_ids, tf.cast(segment_ids, tf.int32), starts


def _column(rows: tf.RaggedTensor, id: int) -> tf.RaggedTensor:
    """One wordpiece for each row."""
    column = tf.fill([rows.nrows(), 1], tf.constant(id, tf.int32))
    return tf.RaggedTensor.from_tensor(column, row_splits_dtype=rows.row_splits.dtype)
