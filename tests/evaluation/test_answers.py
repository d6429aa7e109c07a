"""Which blocks hold an answer, beside what the definition says block by block."""

import json
import pathlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_jobs import build_corpus
from beam_jobs.options import parse
from realm_tf.corpus.block_store import BlockStore
from realm_tf.corpus.questions import Question, compiled, read_questions
from realm_tf.errors import RealmError
from realm_tf.evaluation.answers import blocks_with_answers, gold_spans
from realm_tf.evaluation.metrics import has_answer
from realm_tf.evaluation.pattern_literals import alternatives, folded, literal, required_literals
from realm_tf.text.wordpiece import WordPieceTokenizer

DATA = pathlib.Path(__file__).parents[2] / '../shared/data/questions'
TEXTS = [
    'The capital is Montevideo, on the river.',
    'MONTEVIDEO, in capitals.',
    'A Parisian lives in Paris\nor New  York.',
    'The U.S.A. was founded in 1776; the Kelvin (K) scale later.',
    'Zażółć gęślą jaźń: Elsö, Émile, naïve café.',
    'In new york, nothing. ſir İstanbul',
]
QUESTIONS = [
    Question('raw?', ('Montevideo',)),
    Question('within a word?', ('Paris', 'gęślą')),
    Question('across blocks?', ('river.MONTEVIDEO', 'river. MONTEVIDEO')),
    Question('any case?', (r'montevid.o',), True),
    Question('alternatives?', (r'New\s+York|(Kelvin) \(k\)',), True),
    Question('everywhere?', (r'\d+',), True),
    Question('lines?', (r'^or new\b',), True),
    Question('folded?', (r'sir istan',), True),
    Question('nowhere?', ('Lima', '2001')),
]


@pytest.fixture(scope='module')
def corpus(tmp_path_factory, vocabulary_path, tiny_config):
    directory = tmp_path_factory.mktemp('answers')
    lines = [json.dumps({'id': str(row), 'title': f'T{row}', 'text': text}) for row, text in enumerate(TEXTS)]
    (directory / 'documents.jsonl').write_text('\n'.join(lines))
    arguments = ['--input', str(directory / 'documents.jsonl'), '--vocabulary', str(vocabulary_path)]
    arguments += ['--output', str(directory / 'corpus')]
    build_corpus.run(parse(arguments, build_corpus.__name__, build_corpus.BuildCorpusOptions), tiny_config)
    return BlockStore.open(directory / 'corpus')


def test_blocks_are_those_that_the_definition_says(corpus):
    texts = corpus.texts(np.arange(len(corpus)))
    found = blocks_with_answers(corpus, QUESTIONS)
    for question, blocks in zip(QUESTIONS, found, strict=True):
        assert blocks.dtype == np.int64
        assert blocks.tolist() == [row for row, text in enumerate(texts) if has_answer(text, question)], question.text
    assert [len(blocks) > 0 for blocks in found] == [True, True, False, True, True, True, True, True, False]


def test_normalised_answers_are_whole_words(corpus):
    texts = corpus.texts(np.arange(len(corpus)))
    questions = [
        Question('case', ('the montevideo',)),
        Question('points', ('USA',)),
        Question('within a word', ('Pari',)),
        Question('across white space', ('New York',)),
        Question('nothing is left of it', ('the', '.')),
        Question('a pattern is as it was', ('new york',), True),
    ]
    found = blocks_with_answers(corpus, questions, 'normalized')
    holding = [{texts[block] for block in blocks} for blocks in found]
    assert holding == [set(TEXTS[:2]), {TEXTS[3]}, set(), {TEXTS[2], TEXTS[5]}, set(), {TEXTS[5]}]


@pytest.mark.parametrize(
    ('pattern', 'literals'),
    [
        ('Sept?(ember)?|Feb(ruary)?', {'sep', 'feb'}),
        (r'Long Island|New\s?York|Roosevelt Field', {'long island', 'york', 'roosevelt field'}),
        (r'(abc|de)+x', {'abc', 'de'}),
        (r'(?:abc)?xyz', {'xyz'}),
        (r'\d\d', None),
        ('a|bcd', None),
        (r'four|\b4\b', {'four', '4'}),
        ('é', None),
        ('caféteria', {'teria'}),
        ('[Aa]pollo 11', {'pollo 11'}),
    ],
)
def test_literals_that_every_match_holds(pattern, literals):
    assert required_literals(pattern) == (literals and frozenset(literals))


@given(st.from_regex(r'(Sept?|[a-e]{2})(ember|\s?y)|Kıſ(x|yz)*q', fullmatch=True), st.text(max_size=9))
def test_a_match_holds_one_of_them(match, around):
    pattern = r'(Sept?|[a-e]{2})(ember|\s?y)|Kıſ(x|yz)*q'
    literals = required_literals(pattern)
    for text in (match, match.upper(), around + match):
        if compiled(pattern).search(text):
            assert literals is None or any(literal in folded(text) for literal in literals)


def test_curatedtrec_needs_few_searches_everywhere():
    path = DATA / 'curatedtrec.train.jsonl'
    if not path.exists():
        pytest.skip('the benchmark questions are not beside the repository')
    patterns = [answer for question in read_questions(path, regex=True).questions for answer in question.answers]
    without = [pattern for pattern in patterns if required_literals(pattern) is None]
    assert len(without) < 0.02 * len(patterns), without[:20]


def test_gold_spans_are_occurrences_of_wordpieces_and_matches_of_patterns(corpus, vocabulary):
    tokenizer = WordPieceTokenizer(vocabulary)
    texts = [
        'Émile met Emile in 1776, not in 1777.',
        'Apollo 11 and apollo eleven; the Apollos 12, apollo 133.',
        'Apollo 11 and apollo eleven; the Apollos 12, apollo 133.',
    ]
    questions = [
        Question('who?', ('Emile', 'in 1777', 'in 1776, not in 1777.')),
        Question('which?', (r'apollo (11|eleven)|1[23]\b', r'pollo 11'), True),
        Question('empty?', (r'x*',), True),
    ]
    bodies = tokenizer.tokenize_to_ragged(texts)
    answers = [list(tokenizer.tokenize_to_ragged(question.answers).rows()) for question in questions]
    spans = gold_spans(texts, bodies, questions, answers, tokenizer, max_answer_length=4)

    def cut_out(row):
        starts, limits = tokenizer.offsets([texts[row]])[0]
        text = texts[row].encode()
        return [text[starts[first] : limits[first + more]].decode() for first, more in spans[row]]

    assert cut_out(0) == ['Émile', 'Emile', 'in 1777']
    assert cut_out(1) == ['Apollo 11', 'apollo eleven', '12']
    assert cut_out(2) == []
    # Cut where the second match would begin.
    cut = gold_spans(texts[1:2], bodies.take(np.array([1])).truncated(4), questions[1:2], answers[1:2], tokenizer, 4)
    assert cut[0].tolist() == [[0, 1]]


def test_blocks_of_the_document_that_a_question_names(corpus):
    named = [Question('?', ('x',), extra={'document': name}) for name in ('3', 'none such', 0)]
    assert [blocks.tolist() for blocks in blocks_with_answers(corpus, named, 'document')] == [[3], [], [0]]
    with pytest.raises(RealmError, match=r'Line 4, “and this\?”, does not name the document'):
        blocks_with_answers(corpus, [*named, Question('and this?', ('x',), line=4)], 'document')


@pytest.mark.parametrize(
    ('pattern', 'parts'),
    [
        ('writer|author', ['writer', 'author']),
        (r'(a|b) c|d\|e|[|(]f', ['(a|b) c', r'd\|e', '[|(]f']),
        (r'[]|]g|h', ['[]|]g', 'h']),
        (r'(x)|(y)\2', [r'(x)|(y)\2']),
        ('(?i)k|l', ['(?i)k|l']),
        ('one', ['one']),
    ],
)
def test_an_expression_is_taken_apart_where_no_group_is(pattern, parts):
    assert alternatives(pattern) == parts


@given(
    parts=st.lists(
        st.sampled_from(['ab', r'\|', '[a|b]', '(b|a)c', r'b\s+c', 'c', '(?:a|c)', r'\bb', '[]|]']), min_size=1
    ),
    text=st.text('abc| ]', max_size=8),
)
def test_an_expression_matches_where_one_of_its_parts_does(parts, text):
    pattern = '|'.join(parts)
    expected = bool(compiled(pattern).search(text))
    found = alternatives(pattern)
    assert any(compiled(part).search(text) for part in found) == expected
    for part in found:
        if (words := literal(part)) is not None:
            assert (words in folded(text)) == bool(compiled(part).search(text))


def test_only_plain_ascii_is_a_literal():
    assert literal(r'St\.\ Paul') == 'st. paul'
    assert literal('Zeman') == 'zeman'
    assert literal('Milo\\š') is literal('a+') is literal('') is literal(r'\bred') is None
