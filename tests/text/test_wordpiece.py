import numpy as np
import pytest

from realm_tf.text.wordpiece import WordPieceTokenizer

TEXTS = [
    'The capital of Côte d’Ivoire is Yamoussoukro.',
    'e\u0301te\u0301 in São Tomé',
    '東京 is 日本',
    'smile 😀 now',
    '',
    '   ',
]


@pytest.fixture(scope='module')
def tokenizer(vocabulary):
    return WordPieceTokenizer(vocabulary)


def test_accents_are_stripped_and_words_cut(tokenizer, vocabulary):
    pieces = [vocabulary.pieces[id] for id in tokenizer.tokenize_to_ragged([TEXTS[0]]).values]
    assert pieces == [
        'the',
        'capital',
        'of',
        'cote',
        'd',
        '’',
        'ivo',
        '##ire',
        'is',
        'ya',
        '##mous',
        '##so',
        '##uk',
        '##ro',
        '.',
    ]


def test_offsets_are_bytes_of_the_original_text(tokenizer, vocabulary):
    ids = tokenizer.tokenize_to_ragged(TEXTS).rows()
    for text, of_text, (starts, limits) in zip(TEXTS, ids, tokenizer.offsets(TEXTS), strict=True):
        words = [text.encode()[start:limit].decode() for start, limit in zip(starts, limits, strict=True)]
        assert len(words) == len(of_text)
        assert ''.join(words) == ''.join(text.split())
    assert tokenizer.offsets([]) == []


def test_a_batch_is_tokenised_as_its_texts_are(tokenizer):
    together = tokenizer.tokenize_to_ragged(TEXTS)
    for row, text in zip(together.rows(), TEXTS, strict=True):
        np.testing.assert_array_equal(row, tokenizer.tokenize_to_ragged([text]).values)
