"""Question sets as they are published become question files, split as the paper splits them."""

import html.parser
import json
from collections.abc import Callable, Iterator
from typing import Any

from etils import epath

from realm_tf.artifacts import Artifact, file_checksum, make_artifact, open_artifact
from realm_tf.corpus.questions import (
    Question,
    QuestionFile,
    dev_split,
    open_question_file,
    question_of,
    read_questions,
    usable_questions,
    write_questions,
)
from realm_tf.errors import RealmError

KIND = 'questions'
FORMATS = ('jsonl', 'regex', 'natural-questions', 'squad')
# A longer answer is an extract rather than an answer (ORQA, section 5).
MAX_ANSWER_TOKENS = 5


def write_question_set(
    path: epath.PathLike, output: epath.PathLike, form: str, *, dev: bool, overwrite: bool
) -> tuple[Artifact, QuestionFile]:
    """Writes `train.jsonl` and, by the rule of ORQA's code, `dev.jsonl`.

    The paragraphs of SQuAD go into `documents.jsonl`, and its questions name the one that they were asked of as their
    `document`.

    Args:
      path: what was published, which may be compressed.
      output: the artefact.
      form: one of `FORMATS`: JSON Lines; with answers that are regular expressions; Natural Questions; SQuAD v1.1.
      dev: whether a development set is split off.
      overwrite: whether another artefact there is replaced.

    Returns:
      A tuple of the artefact, and what was read, with what is left out of it.

    Raises:
      RealmError: if there is no such file, or nothing to use in it.
    """
    path = epath.Path(path)
    documents = None
    if form == 'natural-questions':
        read = read_natural_questions(path)
    elif form == 'squad':
        read, documents = read_squad(path)
    else:
        read = read_questions(path, regex=form == 'regex')
    if not read.questions:
        raise RealmError(f'{path} holds no usable question in the format {form}.')
    parts = dict(zip(('train', 'dev'), dev_split(read.questions), strict=True)) if dev else {'train': read.questions}
    configuration, inputs = {'format': form, 'dev': dev}, {'questions': file_checksum(path)}
    with make_artifact(output, KIND, configuration=configuration, inputs=inputs, overwrite=overwrite) as draft:
        for name, questions in parts.items():
            write_questions(draft.path / f'{name}.jsonl', questions)
            draft.counts[name] = len(questions)
        if documents is not None:
            lines = [json.dumps(document, ensure_ascii=False) + '\n' for document in documents]
            (draft.path / 'documents.jsonl').write_text(''.join(lines))
        draft.counts['left_out'] = len(read.rejected)
    return open_artifact(output, KIND), read


def read_natural_questions(path: epath.Path) -> QuestionFile:
    """Reads Natural Questions as published, original or simplified, into its open form.

    The answers are the short answers of at most `MAX_ANSWER_TOKENS` tokens of all annotators, without markup. Questions
    that have none are no questions of the open form, and are not told of.
    """

    def questions(line: bytes, number: int) -> list[Question]:
        try:
            example = json.loads(line)
            answers = _short_answers(example)
            return [question_of({'question': example['question_text'], 'answer': answers}, number)] if answers else []
        except (LookupError, TypeError, AttributeError, RecursionError, json.JSONDecodeError, UnicodeError) as error:
            raise ValueError(f'it is no example of Natural Questions ({type(error).__name__}: {error})') from None

    lines = enumerate(_lines(path), start=1)
    return usable_questions(
        (number, lambda line=line, number=number: questions(line, number)) for number, line in lines if line.strip()
    )


def read_squad(path: epath.Path) -> tuple[QuestionFile, list[dict[str, str]]]:
    """Reads SQuAD v1.1.

    Returns:
      A tuple of the questions, numbered from 1, whose `document` is their paragraph; and the paragraphs as documents.

    Raises:
      RealmError: if it is not of that form.
    """
    try:
        with open_question_file(path) as file:
            articles = json.loads(file.read())['data']
        paragraphs = [
            (article.get('title', ''), paragraph) for article in articles for paragraph in article['paragraphs']
        ]
        numbers: dict[str, int] = {}
        documents = []
        asked: list[tuple[str, dict]] = []
        for title, paragraph in paragraphs:
            # A paragraph that comes again is one document.
            number = numbers.setdefault(paragraph['context'], len(numbers))
            if number == len(documents):
                title = title.replace('_', ' ')
                documents.append({'id': f'{number}', 'title': title, 'text': paragraph['context']})
            asked += [(f'{number}', question) for question in paragraph['qas']]
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RealmError(f'{path} is not SQuAD v1.1 ({type(error).__name__}: {error}).') from error

    def made(document: str, question: Any, number: int) -> list[Question]:
        try:
            answers = list(dict.fromkeys(answer['text'] for answer in question['answers']))
            record = {'question': question['question'], 'answer': answers, 'document': document}
        except (KeyError, TypeError) as error:
            raise ValueError(f'it is no question of SQuAD v1.1 ({type(error).__name__}: {error})') from None
        return [question_of(record, number)]

    read = usable_questions(
        (number, lambda document=document, question=question, number=number: made(document, question, number))
        for number, (document, question) in enumerate(asked, start=1)
    )
    return read, documents


def _short_answers(example: dict) -> list[str]:
    text_of = _simplified_text(example) if 'document_text' in example else _original_text(example)
    answers = [
        text_of(answer)
        for annotation in example['annotations']
        for answer in annotation['short_answers']
        if answer['end_token'] - answer['start_token'] <= MAX_ANSWER_TOKENS
    ]
    return [answer for answer in dict.fromkeys(answers) if answer]


def _simplified_text(example: dict) -> Callable[[dict], str]:
    tokens = example['document_text'].split(' ')
    return lambda answer: ' '.join(tokens[answer['start_token'] : answer['end_token']])


def _original_text(example: dict) -> Callable[[dict], str]:
    source = example['document_html'].encode()
    return lambda answer: _without_markup(source[answer['start_byte'] : answer['end_byte']].decode())


class _Text(html.parser.HTMLParser):
    """Keeps the text of a piece of HTML."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []

    def handle_data(self, data):
        self.parts.append(data)


def _without_markup(source: str) -> str:
    parser = _Text()
    parser.feed(source)
    parser.close()
    return ''.join(parser.parts)


def _lines(path: epath.PathLike) -> Iterator[bytes]:
    with open_question_file(path) as lines:
        yield from lines
