"""Question files: good and bad lines, and the development split."""

import gzip
import json
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realm_tf.corpus.questions import Question, dev_split, read_questions
from realm_tf.errors import RealmError

DATA = pathlib.Path(__file__).parents[2] / '../shared/data/questions'


def test_reads_questions_with_all_that_a_line_holds(tmp_path):
    path = tmp_path / 'questions.jsonl'
    path.write_text(
        '\ufeff{"question": "capital of Uruguay?", "answer": ["Montevideo"], "relation": "capital"}\r\n'
        '\n'
        '{"question": "Wo?", "answer": ["hier", " ", "da"]}',
        encoding='utf-8',
    )
    read = read_questions(path)
    assert read.rejected == []
    assert read.questions == [
        Question('capital of Uruguay?', ('Montevideo',), False, 1, {'relation': 'capital'}),
        Question('Wo?', ('hier', 'da'), False, 3, {}),
    ]


def test_bad_lines_are_told_with_number_and_reason(tmp_path):
    good = json.dumps({'question': 'good?', 'answer': [r'\d+']}).encode()
    bad = {
        2: (b'{"question": "cut of', 'not JSON'),
        3: (b'{"question": "none?", "answer": []}', 'no answers'),
        4: (b'{"question": "  ", "answer": ["x"]}', 'the question is empty'),
        5: (b'{"question": "regex?", "answer": ["(open"]}', 'not a regular expression'),
        6: (b'["question"]', 'not an object'),
        7: (b'{"question": "text?", "answer": "x"}', 'not a list of texts'),
        8: (b'{"answer": ["x"]}', '"question" is missing'),
        9: (b'{"question": "\xff", "answer": ["x"]}', 'not UTF-8'),
        10: (json.dumps({'question': 'long ' * 2000, 'answer': ['x']}).encode(), '10000 characters'),
        11: (b'{"question": "blank?", "answer": ["", " "]}', 'no answers'),
        12: (b'[' * 100_000, 'not JSON'),
    }
    path = tmp_path / 'questions.jsonl'
    path.write_bytes(b'\n'.join([good, *(line for line, _ in bad.values()), good]))
    read = read_questions(path, regex=True)
    assert [question.line for question in read.questions] == [1, 13]
    assert all(question.is_regex for question in read.questions)
    assert [one.line for one in read.rejected] == list(bad)
    for one in read.rejected:
        assert bad[one.line][1] in one.reason


def test_a_pattern_that_is_no_expression_is_a_plain_answer(tmp_path):
    path = tmp_path / 'questions.jsonl'
    path.write_text('{"question": "regex?", "answer": ["(open"]}')
    assert read_questions(path).questions[0].answers == ('(open',)


@pytest.mark.parametrize('text', ['', '\n\n', 'no json\n{"question": 1}'])
def test_a_file_without_a_usable_question_is_refused(tmp_path, text):
    path = tmp_path / 'questions.jsonl'
    path.write_text(text)
    with pytest.raises(RealmError, match='holds no usable question'):
        read_questions(path)


@pytest.mark.parametrize(
    ('record', 'reason'),
    [
        ({'question': 'a?', 'answer': ['a{99999999999}'], 'regex': True}, 'not a regular expression'),
        ({'question': 'a?', 'answer': ['(' * 3000 + ')' * 3000], 'regex': True}, 'not a regular expression'),
        ({'question': 'a \ud83d?', 'answer': ['b']}, 'it holds half of a surrogate pair'),
        ({'question': 'a?', 'answer': ['b \ud83d']}, 'it holds half of a surrogate pair'),
    ],
)
def test_one_bad_line_does_not_stop_the_others(tmp_path, record, reason):
    path = tmp_path / 'questions.jsonl'
    path.write_text(json.dumps(record) + '\n{"question": "good?", "answer": ["yes"]}\n')
    read = read_questions(path)
    assert [question.text for question in read.questions] == ['good?']
    assert [one.line for one in read.rejected] == [1] and reason in read.rejected[0].reason


def test_a_compressed_file_is_read_and_a_broken_one_refused(tmp_path):
    path = tmp_path / 'questions.jsonl.gz'
    compressed = gzip.compress(b'{"question": "good?", "answer": ["yes"]}\n' * 1000)
    path.write_bytes(compressed)
    assert len(read_questions(path).questions) == 1000
    path.write_bytes(compressed[:-20])
    with pytest.raises(RealmError, match='it is cut off at byte'):
        read_questions(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(RealmError, match='no question file'):
        read_questions(tmp_path / 'questions.jsonl')
    with pytest.raises(RealmError, match='no question file'):
        read_questions(tmp_path)


@given(
    st.lists(
        st.tuples(
            st.text(min_size=1, max_size=40).filter(str.strip),
            st.lists(st.text(min_size=1, max_size=20).filter(str.strip), min_size=1),
        ),
        min_size=1,
    )
)
def test_any_text_is_read_back(tmp_path_factory, records):
    path = tmp_path_factory.mktemp('any') / 'questions.jsonl'
    lines = [json.dumps({'question': text, 'answer': answers}, ensure_ascii=False) for text, answers in records]
    path.write_bytes('\n'.join(lines).encode('utf-8', 'surrogatepass'))
    read = read_questions(path)
    assert read.rejected == []
    assert [(question.text, list(question.answers)) for question in read.questions] == records


def test_dev_split_has_the_sizes_of_the_paper():
    path = DATA / 'webquestions.train.jsonl'
    if not path.exists():
        pytest.skip('the benchmark questions are not beside the repository')
    train, dev = dev_split(read_questions(path).questions)
    assert (len(train), len(dev)) == (3417, 361)
    assert not {question.line for question in train} & {question.line for question in dev}


def test_all_patterns_of_curatedtrec_are_expressions():
    path = DATA / 'curatedtrec.train.jsonl'
    if not path.exists():
        pytest.skip('the benchmark questions are not beside the repository')
    read = read_questions(path, regex=True)
    assert (len(read.questions), read.rejected) == (1758, [])


def test_dev_split_of_nothing():
    assert dev_split([]) == ([], [])
