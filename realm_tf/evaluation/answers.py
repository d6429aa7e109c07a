"""Which blocks hold an answer, and where."""

import bisect
from collections.abc import Iterable, Sequence

import numpy as np

from realm_tf.corpus.block_store import BlockStore
from realm_tf.corpus.questions import Question
from realm_tf.evaluation.metrics import has_answer
from realm_tf.text.ragged import Ragged

# No answer holds it, so that no match runs from one block into the next.
_SEPARATOR = '\x00'


def blocks_with_answers(corpus: BlockStore, questions: Sequence[Question]) -> list[np.ndarray]:
    """The blocks whose text holds an answer of each question: a case-sensitive substring, or a regular expression.

    Args:
      corpus: the corpus.
      questions: the questions.

    Returns:
      For each question, ascending block ids, int64.
    """
    texts = corpus.texts(np.arange(len(corpus)))
    joined = _SEPARATOR.join(texts)
    starts = np.cumsum([0] + [len(text) + 1 for text in texts[:-1]]).tolist() if texts else []
    plain = {answer for question in questions if not question.is_regex for answer in question.answers}
    holders = {answer: set(_blocks_of_matches(joined, starts, answer)) for answer in plain}

    def holders_of(question: Question) -> Iterable[int]:
        if question.is_regex:
            return (block for block, text in enumerate(texts) if has_answer(text, question))
        return set().union(*(holders[answer] for answer in question.answers))

    return [np.array(sorted(holders_of(question)), np.int64) for question in questions]


def gold_spans(bodies: Ragged, answers: Sequence[Sequence[np.ndarray]], max_answer_length: int) -> list[np.ndarray]:
    """Every occurrence of any answer's wordpieces in each body.

    Args:
      bodies: wordpieces of blocks.
      answers: for each block, the wordpieces of the answers.
      max_answer_length: longer answers are left out.

    Returns:
      For each block, int64 `[spans, 2]`: the first wordpiece, and how many more the answer has.
    """
    found = []
    for body, of_block in zip(bodies.rows(), answers, strict=True):
        spans = [
            (start, len(answer) - 1)
            for answer in of_block
            if 0 < len(answer) <= min(max_answer_length, len(body))
            for start in np.flatnonzero(
                (np.lib.stride_tricks.sliding_window_view(body, len(answer)) == answer).all(axis=1)
            )
        ]
        found.append(np.array(spans, np.int64).reshape(-1, 2))
    return found


def _blocks_of_matches(joined: str, starts: list[int], answer: str) -> Iterable[int]:
    position = joined.find(answer) if answer else -1
    while position >= 0:
        block = bisect.bisect_right(starts, position) - 1
        yield block
        if block + 1 == len(starts):
            return
        position = joined.find(answer, starts[block + 1])
