import gzip
import itertools
import json
import os
import pathlib
import unicodedata

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


HARD = [
    'Ångström, naïve façade, São Tomé, İstanbul, ﬁne, ẞtraße, Ωμέγα, Ёлка',
    'e\u0301\u0323 a\u0308\u0304 combining, \u1ea5\u0323 stacked',
    '東京都 漢字かな交じり文 ひらがな カタカナ ﾊﾝｶｸ 中文，标点。',
    '한국어 문장입니다. 각각',
    'العربية: مَرْحَبًا بالعالم، ١٢٣',
    'हिन्दी में लिखा हुआ पाठ, ไทยภาษา, עִבְרִית',
    '😀 👩\u200d👩\u200d👧 🇺🇾 ❤\ufe0f',
    'tab\tnewline\nreturn\r nbsp\u00a0thin\u2009 zero\u200bwidth soft\u00adhyphen \ufeffbom',
    'a\x00b \x07 \x1b[0m \ufffd control',
    "don't—won't… «guillemets» “quotes” x² ½ № ™ €100 1,234.56 C++ @user #tag a_b",
    'supercalifragilisticexpialidocious' * 8,
]


@pytest.fixture(scope='module')
def peer(vocabulary_path):
    tokenizers = pytest.importorskip('tokenizers')
    return tokenizers.BertWordPieceTokenizer(str(vocabulary_path), lowercase=True)


def is_known_to_be_alike(character):
    """Whether tensorflow-text's compatible case folding leaves what BERT's lower-casing does (not for ß, ς, ﬁ, ²).

    Nor are NUL and U+FFFD alike: BERT removes them from within a word.
    """
    if character in '\x00\ufffd':
        return False

    def without_marks(text):
        return ''.join(c for c in unicodedata.normalize('NFD', text) if unicodedata.category(c) != 'Mn')

    folded = without_marks(unicodedata.normalize('NFKC', character).casefold())
    return folded == without_marks(character).lower()


def compare(tokenizer, peer, texts):
    alike = [''.join(c if is_known_to_be_alike(c) else ' ' for c in text) for text in texts]
    for text, of_text in zip(alike, tokenizer.tokenize_to_ragged(alike).rows(), strict=True):
        assert of_text.tolist() == peer.encode(text, add_special_tokens=False).ids, text


def test_equals_the_tokenizer_of_hugging_face_on_hard_text(tokenizer, peer):
    compare(tokenizer, peer, HARD)


def test_equals_the_tokenizer_of_hugging_face_on_real_text(tokenizer, peer):
    data = pathlib.Path(os.environ.get('REALM_DATA', pathlib.Path(__file__).parents[3] / 'shared' / 'data'))
    path = data / 'simplewiki' / 'articles.jsonl.gz'
    if not path.exists():
        pytest.skip(f'{path} is not there; REALM_DATA names the folder of the real corpora')
    with gzip.open(path) as lines:
        compare(tokenizer, peer, [json.loads(line)['text'] for line in itertools.islice(lines, 0, 40_000, 20)])
