import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realm_tf.text.packing import MAX_TITLE_LENGTH, pack_documents, pack_pairs, pack_queries, pack_reader_inputs
from realm_tf.text.ragged import Ragged
from realm_tf.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary(('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a', 'b'))
ROWS = st.lists(st.lists(st.integers(5, 99), max_size=12), min_size=1, max_size=5)


@given(ROWS, st.integers(1, 8))
def test_ragged_rows_survive(rows, limit):
    ragged = Ragged.of(rows)
    assert [row.tolist() for row in ragged.rows()] == rows
    assert [row.tolist() for row in ragged.truncated(limit).rows()] == [row[:limit] for row in rows]
    order = np.arange(len(rows))[::-1]
    assert [row.tolist() for row in ragged.take(order).rows()] == rows[::-1]
    padded = ragged.padded(limit)
    assert padded.tolist() == [(row[:limit] + [0] * limit)[:limit] for row in rows]


@given(ROWS, st.integers(3, 16))
def test_queries(rows, length):
    for packed, row in zip(pack_queries(Ragged.of(rows), length, VOCABULARY).tolist(), rows, strict=True):
        expected = [2, *row[: length - 2], 3]
        assert packed == expected + [0] * (length - len(expected))


@given(ROWS, st.data(), st.integers(4, 20))
def test_pairs(first, data, length):
    second = data.draw(st.lists(st.lists(st.integers(5, 99), max_size=12), min_size=len(first), max_size=len(first)))
    packed = pack_pairs(Ragged.of(first), Ragged.of(second), length, VOCABULARY)
    for row, (one, two) in enumerate(zip(first, second, strict=True)):
        one = one[: length - 3]
        two = two[: length - 3 - len(one)]
        head, tail = [2, *one, 3], [*two, 3]
        padding = [0] * (length - len(head) - len(tail))
        assert packed.token_ids[row].tolist() == head + tail + padding
        assert packed.segment_ids[row].tolist() == [0] * len(head) + [1] * len(tail) + padding
        start = packed.second_starts[row]
        assert packed.token_ids[row, start : start + packed.second_lengths[row]].tolist() == two


def test_the_null_document_is_an_empty_pair():
    packed = pack_documents(Ragged.of([[]]), Ragged.of([[]]), 5, VOCABULARY)
    assert packed.token_ids.tolist() == [[2, 3, 3, 0, 0]]


def test_a_long_title_leaves_room_for_the_body():
    packed = pack_documents(Ragged.of([[5] * 500]), Ragged.of([[6] * 500]), 288, VOCABULARY)
    assert (packed.token_ids == 5).sum() == MAX_TITLE_LENGTH
    assert (packed.token_ids == 6).sum() == 288 - 3 - MAX_TITLE_LENGTH


@pytest.mark.parametrize(('question_length', 'kept'), [(64, 62), (10, 8)])
def test_the_reader_sees_the_question_as_the_retriever_did(question_length, kept):
    packed = pack_reader_inputs(
        Ragged.of([[5] * 100]), Ragged.of([[6] * 400]), 320, VOCABULARY, question_length=question_length
    )
    assert (packed.token_ids == 5).sum() == kept
    assert (packed.token_ids == 6).sum() == 320 - 3 - kept
