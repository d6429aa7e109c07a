"""Question files: one JSON object a line, `{"question": str, "answer": [str, …]}`.

With `"regex": true` in the line, its answers are regular expressions (CuratedTREC).
"""

import dataclasses
import functools
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, BinaryIO

from etils import epath

from realm_tf.artifacts import write_text_whole
from realm_tf.corpus.compression import open_decompressed
from realm_tf.errors import RealmError

_LONGEST_QUESTION = 2000  # characters
_LINES_SHOWN = 3


@dataclasses.dataclass(frozen=True)
class Question:
    """A question and what answers it.

    Attributes:
      text: the question.
      answers: texts, or regular expressions.
      is_regex: whether the answers are regular expressions (CuratedTREC).
      line: of the file it was read from, counted from 1.
      extra: whatever else the line holds, such as the `document` that the question was asked of.
    """

    text: str
    answers: tuple[str, ...]
    is_regex: bool = False
    line: int = 0
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class RejectedLine:
    """A line that holds no usable question, and why."""

    line: int
    reason: str


@dataclasses.dataclass(frozen=True)
class QuestionFile:
    """The questions of the good lines, and the other lines."""

    questions: list[Question]
    rejected: list[RejectedLine]


def read_questions(path: epath.PathLike, regex: bool = False) -> QuestionFile:
    """Reads a question file. A line that cannot be used does not stop the others; an empty one is skipped.

    Args:
      path: JSON Lines, local or `gs://`, which may be compressed.
      regex: whether the answers of lines that do not say so are regular expressions too.

    Raises:
      RealmError: if there is no such file, it cannot be decompressed, or no line of it can be used.
    """
    with open_question_file(path) as file:
        lines = file.read().removeprefix(b'\xef\xbb\xbf').split(b'\n')
    read = usable_questions(
        (
            (number, lambda line=line, number=number: [question_of(_record(line), number, regex)])
            for number, line in enumerate(lines, start=1)
            if line.strip()
        )
    )
    if not read.questions:
        shown = '; '.join(f'line {one.line}: {one.reason}' for one in read.rejected[:_LINES_SHOWN]) or 'it is empty'
        raise RealmError(
            f'{path} holds no usable question ({shown}). '
            'A line of it should be like {"question": "What is …?", "answer": ["…"]}.'
        )
    return read


def open_question_file(path: epath.PathLike) -> BinaryIO:
    """Opens a file of questions, decompressed on the fly if it is compressed.

    Raises:
      RealmError: if there is no such file; while it is read, if it is compressed and broken.
    """
    path = epath.Path(path)
    if not path.exists() or path.is_dir():
        raise RealmError(f'There is no question file {path}.')
    return open_decompressed(path)


def usable_questions(places: Iterable[tuple[int, Callable[[], Iterable[Question]]]]) -> QuestionFile:
    """Gathers the questions of every place that has some, and why the others have none.

    Args:
      places: the line or number of each place, and a function that gives its questions, or raises a `ValueError` that
        says what is wrong.
    """
    read = QuestionFile([], [])
    for number, questions in places:
        try:
            read.questions.extend(questions())
        except ValueError as error:
            read.rejected.append(RejectedLine(number, str(error)))
    return read


def say_what_was_left_out(path: epath.PathLike, read: QuestionFile) -> None:
    """Prints number and reason of every line that was left out, to standard error."""
    for one in read.rejected:
        print(f'{path}, line {one.line}: {one.reason}', file=sys.stderr)
    if read.rejected:
        print(f'{path}: {len(read.rejected)} lines are left out, {len(read.questions)} are used.', file=sys.stderr)


def write_questions(path: epath.PathLike, questions: Iterable[Question]) -> None:
    """Writes a question file."""
    lines = []
    for question in questions:
        record = {'question': question.text, 'answer': list(question.answers)}
        record |= {'regex': True} if question.is_regex else {}
        lines.append(json.dumps(record | dict(question.extra), ensure_ascii=False) + '\n')
    # A lone surrogate, which JSON can hold, is no UTF-8.
    write_text_whole(path, ''.join(lines).encode('utf-8', 'replace').decode())


def dev_split(questions: Sequence[Question]) -> tuple[list[Question], list[Question]]:
    """Splits training questions into training and development set by the rule of ORQA's code.

    A question is of the development set if FarmHash's 64-bit fingerprint of it, modulo 100,000, is a multiple of 10.

    Args:
      questions: the questions of a training file.

    Returns:
      A tuple of the training and the development questions, each in their order.
    """
    # TensorFlow takes seconds to import, and a reader of questions need not wait for it.
    import tensorflow as tf

    texts = [question.text for question in questions]
    buckets = tf.strings.to_hash_bucket_fast(tf.constant(texts, tf.string, [len(texts)]), 100_000).numpy()
    train = [question for question, bucket in zip(questions, buckets, strict=True) if bucket % 10 != 0]
    dev = [question for question, bucket in zip(questions, buckets, strict=True) if bucket % 10 == 0]
    return train, dev


@functools.lru_cache(maxsize=1 << 16)
def compiled(pattern: str) -> re.Pattern[str]:
    """The regular expression of an answer, with the flags of the evaluation of CuratedTREC."""
    return re.compile(pattern, re.IGNORECASE | re.UNICODE | re.MULTILINE)


def question_of(record: Mapping[str, Any], number: int, regex: bool = False) -> Question:
    """Makes a question of a record.

    Args:
      record: `question`, `answer`, and whatever else.
      number: its line, from 1.
      regex: whether the answers are regular expressions if the record does not say so itself.

    Raises:
      ValueError: if that cannot be done; it says why.
    """
    record = dict(record)
    text, answers, regex = record.pop('question', None), record.pop('answer', None), record.pop('regex', regex)
    if not isinstance(text, str):
        raise ValueError('"question" is missing or not a text')
    if not text.strip():
        raise ValueError('the question is empty')
    if len(text) > _LONGEST_QUESTION:
        raise ValueError(f'the question has {len(text)} characters, and at most {_LONGEST_QUESTION} are taken')
    if not isinstance(answers, Sequence) or isinstance(answers, str) or not all(isinstance(a, str) for a in answers):
        raise ValueError('"answer" is missing or not a list of texts')
    if not isinstance(regex, bool):
        raise ValueError('"regex" is neither true nor false')
    answers = tuple(answer for answer in answers if answer.strip())
    if not answers:
        raise ValueError('it has no answers')
    try:
        ''.join((text, *answers)).encode()
    except UnicodeEncodeError:
        raise ValueError('it holds half of a surrogate pair') from None
    for answer in answers if regex else ():
        try:
            compiled(answer)
        # The last two are of a repetition too large, and of too many groups in one another.
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f'the answer {answer!r} is not a regular expression ({error})') from None
    return Question(text, answers, regex, number, record)


def _record(line: bytes) -> dict[str, Any]:
    """The object of a line; a `ValueError` says why there is none."""
    try:
        record = json.loads(line.decode('utf-8'))
    except UnicodeDecodeError:
        raise ValueError('it is not UTF-8') from None
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f'it is not JSON ({error})') from None
    if not isinstance(record, dict):
        raise ValueError('it is not an object with "question" and "answer"')
    return record
