import gzip
import itertools
import json
import os
import pathlib
import unicodedata

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from realm_tf.text.bert_characters import observe_bert_characters, read_bert_characters
from realm_tf.text.vocabulary import Vocabulary
from realm_tf.text.wordpiece import WordPieceTokenizer

CHARACTERS = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]

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
    '[CLS] [MASK] [SEP] [unused1] [UNK] ##a',
]


class Peer:
    """The fast tokenizer of Hugging Face, but for the special pieces, which it finds in text."""

    def __init__(self, vocabulary, lower_case):
        tokenizers = pytest.importorskip('tokenizers')
        ids = {piece: id for id, piece in enumerate(vocabulary.pieces)}
        self._tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(ids, unk_token='[UNK]'))
        self._tokenizer.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=lower_case)
        self._tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()

    def encode(self, texts):
        return self._tokenizer.encode_batch(texts)


class Case:
    """A tokenizer and its peer."""

    def __init__(self, vocabulary, lower_case):
        self.tokenizer = WordPieceTokenizer(vocabulary, lower_case)
        self._peer = Peer(vocabulary, lower_case)
        characters = read_bert_characters()
        self._removed = characters.removed | (characters.marks if lower_case else frozenset())
        self._lower_case = lower_case

    def compare(self, texts):
        expected = self._peer.encode(texts)
        ids = self.tokenizer.tokenize_to_ragged(texts).rows()
        for text, of_text, of_peer, places in zip(texts, ids, expected, self.tokenizer.offsets(texts), strict=True):
            assert of_text.tolist() == of_peer.ids, ascii(text)
            if not self._is_reordered(text):
                self._compare_places(text, places, of_peer.offsets)

    def _compare_places(self, text, places, offsets):
        # [characters + 1]: where each character begins, in bytes.
        begins = np.cumsum([0, *(len(character.encode()) for character in text)])
        starts, limits = places
        first, last = np.array(offsets, np.int64).reshape(-1, 2).T
        np.testing.assert_array_equal(starts, begins[first], ascii(text))
        # Where they differ, a piece takes in what is removed behind it.
        for own, limit in zip(np.searchsorted(begins, limits), last, strict=True):
            assert self._removed.issuperset(text[limit:own]) and own >= limit, ascii(text)

    def _is_reordered(self, text):
        """Whether the peer may change the order of combining marks, and with it the places of the characters."""
        return self._lower_case and any(unicodedata.combining(one) and one not in self._removed for one in text)


@pytest.fixture(scope='module', params=[True, False], ids=['uncased', 'cased'])
def case(request, vocabulary):
    return Case(vocabulary, request.param)


def test_equals_the_tokenizer_of_hugging_face_on_hard_text(case):
    case.compare(HARD)


def test_equals_the_tokenizer_of_hugging_face_on_every_character(case):
    # Alone, and within a word.
    words = [f'{character} a{character}b' for character in CHARACTERS]
    case.compare([' '.join(words[start : start + 50]) for start in range(0, len(words), 50)])


@given(
    st.lists(
        st.text(
            st.one_of(st.characters(exclude_categories=['Cs']), st.sampled_from('aEßςﬁ²İÅ각กἱ中。 .-\u0301\x00\ufffd'))
        ),
        max_size=3,
    )
)
def test_equals_the_tokenizer_of_hugging_face_on_any_text(case, texts):
    case.compare(texts)


@pytest.mark.parametrize('word', ['a', 'é', 'ｱ', '각', 'ก', 'क', 'e\u0301', 'a\u200b', '\U00010330'])
def test_a_word_is_cut_up_to_a_hundred_characters(case, word):
    texts = [
        f'The {word * count}, or {word * (count + 1)}{word}. {word}' for count in (1, 24, 32, 33, 49, 50, 98, 99, 100)
    ]
    case.compare(texts)
    # Alone among texts, first and last, and beside others of its kind.
    case.compare([f'{word * 33} a', '', f'{word * 34} {word * 100}', 'b', word * 101])


def test_a_long_word_of_few_characters_has_pieces(tokenizer, vocabulary):
    # 300 bytes.
    ids = tokenizer.tokenize_to_ragged(['क' * 100, 'क' * 101]).rows()
    assert [[vocabulary.pieces[id] for id in row] for row in ids] == [['क', *['##क'] * 99], ['[UNK]']]


def test_equals_the_tokenizer_of_hugging_face_with_pieces_of_characters_that_it_cuts_at_otherwise():
    odd = ['\u2e43', '\u166d', '\U0002b820', '\U0002b821', '\ue000', '\U000111c9', '\u2e44', 'a']
    vocabulary = Vocabulary(('[PAD]', '[UNK]', *odd, *(f'##{one}' for one in odd)))
    texts = [''.join(pair) for pair in itertools.product(odd, repeat=3)]
    for lower_case in (True, False):
        Case(vocabulary, lower_case).compare(texts)


def test_equals_the_tokenizer_of_hugging_face_on_real_text(case):
    data = pathlib.Path(os.environ.get('REALM_DATA', pathlib.Path(__file__).parents[3] / 'shared' / 'data'))
    path = data / 'simplewiki' / 'articles.jsonl.gz'
    if not path.exists():
        pytest.skip(f'{path} is not there; REALM_DATA names the folder of the real corpora')
    with gzip.open(path) as lines:
        case.compare([json.loads(line)['text'] for line in itertools.islice(lines, 0, 40_000, 20)])


def test_the_table_of_characters_is_what_the_libraries_do():
    pytest.importorskip('tokenizers')
    assert read_bert_characters() == observe_bert_characters()


def test_a_graph_does_the_same(tokenizer):
    texts = [*HARD, 'ก' * 90, '각' * 33, '']
    graph = tf.function(tokenizer.tokenize_with_offsets, input_signature=[tf.TensorSpec([None], tf.string)])
    for of_graph, of_eager in zip(graph(texts), tokenizer.tokenize_with_offsets(texts), strict=True):
        assert of_graph.to_list() == of_eager.to_list()
    assert tf.function(tokenizer.tokenize)(tf.constant(texts)).to_list() == tokenizer.tokenize(texts).to_list()


@given(
    st.lists(
        st.one_of(st.binary(), st.text().map(str.encode)).flatmap(lambda text: st.just(text + b'\xe0\xa4 ' + text)),
        max_size=3,
    )
)
def test_bytes_that_are_no_utf8_have_places_too(tokenizer, texts):
    together = tokenizer.tokenize_to_ragged(texts)
    for text, of_text, (starts, limits) in zip(texts, together.rows(), tokenizer.offsets(texts), strict=True):
        np.testing.assert_array_equal(of_text, tokenizer.tokenize_to_ragged([text]).values)
        assert len(starts) == len(limits) == len(of_text)
        assert (starts < limits).all() and (np.diff(starts) >= 0).all() and (np.diff(limits) >= 0).all()
        assert not len(starts) or (starts[0] >= 0 and limits[-1] <= len(text))
