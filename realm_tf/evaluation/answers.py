"""Which blocks hold an answer, and where."""

import array
import collections
import re
from collections.abc import Iterator, Sequence
from typing import Literal

import ahocorasick
import numpy as np

from realm_tf.corpus.block_store import BlockStore
from realm_tf.corpus.questions import Question, compiled
from realm_tf.errors import RealmError
from realm_tf.evaluation.metrics import normalize_answer
from realm_tf.evaluation.pattern_literals import alternatives, folded, literal, required_literals
from realm_tf.text.ragged import Ragged
from realm_tf.text.wordpiece import WordPieceTokenizer

AnswerMatch = Literal['raw', 'normalized', 'document']
# Texts that are in memory at once.
_BLOCKS_AT_ONCE = 8192


def blocks_with_answers(
    corpus: BlockStore, questions: Sequence[Question], match: AnswerMatch = 'raw'
) -> list[np.ndarray]:
    """The blocks whose text holds an answer of each question.

    The corpus is read once, whatever the number of questions: an automaton finds all answers at a time. Of regular
    expressions it finds texts that a match must hold, and the expression decides.

    Args:
      corpus: the corpus.
      questions: the questions.
      match: how answers that are no regular expressions are looked for: `'raw'`, as they stand, case and all, even
        within a word (the paper's rule); `'normalized'`, as whole words after the normalisation of exact match. With
        `'document'` nothing is looked for: they are the blocks of the `document` that the question names.

    Returns:
      For each question, ascending block ids, int64.

    Raises:
      RealmError: with `'document'`, if a question names none.
    """
    if match == 'document':
        return blocks_of_documents(corpus, questions)
    plain, patterns = _Answers(match), _Patterns()
    for row, question in enumerate(questions):
        for answer in question.answers:
            (patterns if question.is_regex else plain).add(answer, row)
    # Of a short answer they are many: numbers, not objects.
    found = [array.array('q') for _ in questions]
    for block, text in _texts(corpus):
        for row in plain.rows_in(text) | patterns.rows_in(text):
            found[row].append(block)
    return [np.array(blocks, np.int64) for blocks in found]


def blocks_of_documents(corpus: BlockStore, questions: Sequence[Question]) -> list[np.ndarray]:
    """The blocks of the document that each question names, ascending, int64; of one that is not there, none."""
    without = next((question for question in questions if 'document' not in question.extra), None)
    if without is not None:
        raise RealmError(f'Line {without.line}, “{without.text[:80]}”, does not name the document it was asked of.')
    blocks: dict[str, list[int]] = {str(question.extra['document']): [] for question in questions}
    for block, document in enumerate(corpus.document_ids(np.arange(len(corpus)))):
        if document in blocks:
            blocks[document].append(block)
    return [np.array(blocks[str(question.extra['document'])], np.int64) for question in questions]


def gold_spans(
    texts: Sequence[str],
    bodies: Ragged,
    questions: Sequence[Question],
    answer_ids: Sequence[Sequence[np.ndarray]],
    tokenizer: WordPieceTokenizer,
    max_answer_length: int,
) -> list[np.ndarray]:
    """Every occurrence of any answer in each body: of its wordpieces, or a match of its regular expression.

    Args:
      texts: the texts of the blocks.
      bodies: their wordpieces, which may be cut at the end.
      questions: for each block, the question.
      answer_ids: for each block, the wordpieces of the answers; of regular expressions they are not looked at.
      tokenizer: what made the wordpieces.
      max_answer_length: longer answers are left out.

    Returns:
      For each block, int64 `[spans, 2]`: the first wordpiece, and how many more the answer has.
    """
    with_patterns = [row for row, question in enumerate(questions) if question.is_regex]
    offsets = dict(zip(with_patterns, tokenizer.offsets([texts[row] for row in with_patterns]), strict=True))
    found = []
    for row, (body, question) in enumerate(zip(bodies.rows(), questions, strict=True)):
        if question.is_regex:
            starts, limits = (places[: len(body)] for places in offsets[row])
            spans = _spans_of_matches(texts[row], question.answers, starts, limits, max_answer_length)
        else:
            spans = _spans_of_pieces(body, answer_ids[row], max_answer_length)
        found.append(np.array(sorted(set(spans)), np.int64).reshape(-1, 2))
    return found


def _spans_of_pieces(
    body: np.ndarray, answers: Sequence[np.ndarray], max_answer_length: int
) -> Iterator[tuple[int, int]]:
    for answer in answers:
        if 0 < len(answer) <= min(max_answer_length, len(body)):
            windows = np.lib.stride_tricks.sliding_window_view(body, len(answer))
            for start in np.flatnonzero((windows == answer).all(axis=1)):
                yield int(start), len(answer) - 1


def _spans_of_matches(
    text: str, patterns: Sequence[str], starts: np.ndarray, limits: np.ndarray, max_answer_length: int
) -> Iterator[tuple[int, int]]:
    """The wordpieces that hold a match; one that begins within a wordpiece would not be an answer as it is cut out."""
    for pattern in patterns:
        for match in compiled(pattern).finditer(text):
            # Offsets are in bytes.
            begin = len(text[: match.start()].encode())
            end = begin + len(match[0].encode())
            first, last = np.searchsorted(starts, begin), np.searchsorted(limits, end)
            is_whole = first < len(starts) and starts[first] == begin and last < len(limits)
            if begin < end and is_whole and last - first < max_answer_length:
                yield int(first), int(last - first)


def _texts(corpus: BlockStore) -> Iterator[tuple[int, str]]:
    for start in range(0, len(corpus), _BLOCKS_AT_ONCE):
        rows = np.arange(start, min(start + _BLOCKS_AT_ONCE, len(corpus)))
        yield from zip(rows.tolist(), corpus.texts(rows), strict=True)


class _Finder:
    """Finds many texts in one at a time; each stands for some rows."""

    def __init__(self):
        self._rows: dict[str, set] = collections.defaultdict(set)
        self._automaton: ahocorasick.Automaton | None = None

    def add(self, text: str, row) -> None:
        self._rows[text].add(row)

    def rows_in(self, text: str) -> set:
        if not self._rows:
            return set()
        if self._automaton is None:
            self._automaton = ahocorasick.Automaton()
            for key, rows in self._rows.items():
                self._automaton.add_word(key, rows)
            self._automaton.make_automaton()
        return set().union(*(rows for _, rows in self._automaton.iter(text)))


class _Answers:
    """Answers that are texts."""

    def __init__(self, match: AnswerMatch):
        self._finder = _Finder()
        self._normalizes = match == 'normalized'

    def add(self, answer: str, row: int) -> None:
        text = self._form(answer)
        if text.strip():
            self._finder.add(text, row)

    def rows_in(self, text: str) -> set[int]:
        return self._finder.rows_in(self._form(text))

    def _form(self, text: str) -> str:
        # Spaces at both ends, so that only whole words match.
        return f' {normalize_answer(text)} ' if self._normalizes else text


class _Patterns:
    """Answers that are regular expressions, each taken apart into its alternatives."""

    def __init__(self):
        # Texts that match by themselves, and texts that every match of an expression holds.
        self._literals, self._required = _Finder(), _Finder()
        self._looked_for_everywhere: list[tuple[re.Pattern[str], int]] = []

    def add(self, pattern: str, row: int) -> None:
        for alternative in alternatives(pattern):
            text = literal(alternative)
            if text is not None:
                self._literals.add(text, row)
                continue
            expression, required = (compiled(alternative), row), required_literals(alternative)
            if required is None:
                self._looked_for_everywhere.append(expression)
            for text in required or ():
                self._required.add(text, expression)

    def rows_in(self, text: str) -> set[int]:
        in_lower_case = folded(text)
        found = self._literals.rows_in(in_lower_case)
        likely = (*self._required.rows_in(in_lower_case), *self._looked_for_everywhere)
        return found | {row for pattern, row in likely if row not in found and pattern.search(text)}
