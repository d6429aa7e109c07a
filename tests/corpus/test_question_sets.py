"""Published question sets become question files."""

import gzip
import json
import pathlib
import subprocess
import sys

import pytest

from realm_tf.corpus.question_sets import read_natural_questions, read_squad, write_question_set
from realm_tf.corpus.questions import read_questions
from realm_tf.errors import RealmError

DATA = pathlib.Path(__file__).parents[2] / '../shared/data'


def simplified(question, text, spans):
    answers = [{'start_token': start, 'end_token': end} for start, end in spans]
    return {'question_text': question, 'document_text': text, 'annotations': [{'short_answers': answers}]}


def test_natural_questions_in_both_forms(tmp_path):
    source = '<P>Linda <B>Davis</B> sings — with Reba &amp; co.</P>'
    begin, end = source.index('Linda'), source.index(' sings')
    second = len(source[: source.index('with')].encode())
    original = {
        'question_text': 'who sings',
        'document_html': source,
        'annotations': [
            {'short_answers': [{'start_token': 1, 'end_token': 5, 'start_byte': begin, 'end_byte': end}]},
            {
                'short_answers': [
                    {'start_token': 9, 'end_token': 13, 'start_byte': second, 'end_byte': len(source.encode()) - 4}
                ]
            },
        ],
    }
    examples = [
        simplified('how many', 'a b c d e f g h', [(1, 6), (0, 6), (1, 6), (7, 8)]),
        simplified('extracts only', 'a b c d e f g h', [(0, 6)]),
        original,
    ]
    lines = [json.dumps(example, ensure_ascii=False).encode() for example in examples]
    lines[1:1] = [
        b'{"question_text": 1',
        b'{"question_text": "no document", "annotations": [{"short_answers": [{}]}]}',
        b'[]',
        b'{"question_text": "no text", "document_text": null, "annotations": []}',
        b'{"question_text": "half of a pair", "document_html": "\\ud800", "annotations": []}',
    ]
    path = tmp_path / 'nq.jsonl.gz'
    path.write_bytes(gzip.compress(b'\n'.join(lines)))
    read = read_natural_questions(path)
    assert [(question.text, question.answers, question.line) for question in read.questions] == [
        ('how many', ('b c d e f', 'h'), 1),
        ('who sings', ('Linda Davis', 'with Reba & co.'), 8),
    ]
    assert [one.line for one in read.rejected] == [2, 3, 4, 5, 6]


def test_squad_pools_its_paragraphs(tmp_path):
    def paragraph(text, *questions):
        asked = [
            {'question': q, 'answers': [{'text': a, 'answer_start': 0} for a in answers]} for q, answers in questions
        ]
        return {'context': text, 'qas': asked}

    articles = [
        {'title': 'Some_Town', 'paragraphs': [paragraph('It is old.', ('How?', ['old', 'old', 'It is old']))]},
        {
            'paragraphs': [
                paragraph('It is old.', ('What?', ['It'])),
                paragraph('It is new.', ('Now?', []), ('?', ['new'])),
            ]
        },
    ]
    path = tmp_path / 'squad.json'
    path.write_text(json.dumps({'data': articles}))
    read, documents = read_squad(path)
    assert documents == [
        {'id': '0', 'title': 'Some Town', 'text': 'It is old.'},
        {'id': '1', 'title': '', 'text': 'It is new.'},
    ]
    assert [(q.text, q.answers, q.extra) for q in read.questions] == [
        ('How?', ('old', 'It is old'), {'document': '0'}),
        ('What?', ('It',), {'document': '0'}),
        ('?', ('new',), {'document': '1'}),
    ]
    assert [(one.line, one.reason) for one in read.rejected] == [(3, 'it has no answers')]
    path.write_text('{"data": [{"paragraphs": 3}]}')
    with pytest.raises(RealmError, match=r'is not SQuAD v1.1'):
        read_squad(path)


def test_expressions_stay_expressions_when_they_are_split(tmp_path):
    path = tmp_path / 'trec.jsonl'
    lines = [json.dumps({'question': f'question {number}?', 'answer': [r'\d+']}) for number in range(50)]
    path.write_text('\n'.join(lines))
    artifact, read = write_question_set(path, tmp_path / 'set', 'regex', dev=True, overwrite=False)
    parts = {name: read_questions(tmp_path / 'set' / f'{name}.jsonl') for name in ('train', 'dev')}
    assert artifact.counts == {
        'train': len(parts['train'].questions),
        'dev': len(parts['dev'].questions),
        'left_out': 0,
    }
    assert all(question.is_regex for part in parts.values() for question in part.questions)
    texts = {question.text for part in parts.values() for question in part.questions}
    assert texts == {question.text for question in read.questions} and len(parts['dev'].questions) > 0


def test_the_status_says_that_a_line_was_left_out(tmp_path):
    path = tmp_path / 'questions.jsonl'
    lines = [json.dumps({'question': f'question {number}?', 'answer': ['yes']}) for number in range(50)]
    command = [sys.executable, '-m', 'realm_tf.cli', 'questions', '--from', path, '--output', tmp_path / 'set']
    for more, status in ((['{"question": "Wh'], 3), ([], 0)):
        path.write_text('\n'.join([*lines, *more]))
        ended = subprocess.run([*command, '--overwrite'], capture_output=True, text=True)
        assert ended.returncode == status and ('line 51' in ended.stderr) == bool(more), ended.stderr
        made = [read_questions(tmp_path / 'set' / name).questions for name in ('train.jsonl', 'dev.jsonl')]
        assert sum(map(len, made)) == 50


def test_webquestions_is_split_as_in_the_paper(tmp_path):
    path = DATA / 'questions' / 'webquestions.train.jsonl'
    if not path.exists():
        pytest.skip('the benchmark questions are not beside the repository')
    artifact, _ = write_question_set(path, tmp_path / 'set', 'jsonl', dev=True, overwrite=False)
    assert artifact.counts == {'train': 3417, 'dev': 361, 'left_out': 0}


def test_squad_as_published():
    path = DATA / 'squad' / 'new_wiki_v1.0.json'
    if not path.exists():
        pytest.skip('SQuAD is not beside the repository')
    read, documents = read_squad(path)
    assert (len(read.questions) + len(read.rejected), len(documents)) == (7938, 1581)
