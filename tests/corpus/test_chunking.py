import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realm_tf.config import CorpusConfig
from realm_tf.corpus.chunking import Chunker, Piece, fill_blocks
from realm_tf.corpus.documents import Document
from realm_tf.corpus.sentences import split_sentences
from realm_tf.text.wordpiece import WordPieceTokenizer

TEXTS = st.text(st.sampled_from('abc .!?\n\t-éß東京😀ABC01') | st.characters(exclude_categories=('Cs',)), max_size=400)


@pytest.mark.parametrize('text', ['Vitamin C\u00a0. Next', 'He met J\u2009. Smith', 'X\u3000.'])
def test_an_initial_before_a_wide_space_is_text_as_any_other(text):
    assert ''.join(text[start:limit] for start, limit in split_sentences(text)) == text


@given(TEXTS)
def test_sentences_are_the_text_cut(text):
    sentences = split_sentences(text)
    assert ''.join(text[start:limit] for start, limit in sentences) == text
    assert all(start < limit for start, limit in sentences)


def test_a_line_end_is_an_end_and_an_abbreviation_is_none():
    text = 'Dr. Smith came on Jan. 5. He left.\nNo full stop\nEnd'
    sentences = [text[start:limit] for start, limit in split_sentences(text)]
    assert sentences == ['Dr. Smith came on Jan. 5. ', 'He left.\n', 'No full stop\n', 'End']


@given(st.lists(st.integers(0, 10), max_size=30), st.integers(10, 25))
def test_blocks_are_filled_greedily_and_nothing_is_lost(lengths, room):
    pieces = [Piece(f'{index};', [7] * length) for index, length in enumerate(lengths)]
    blocks = list(fill_blocks(pieces, room))
    if any(lengths):
        assert [piece for block in blocks for piece in block] == pieces
    else:
        assert blocks == []
    sizes = [sum(len(piece.ids) for piece in block) for block in blocks]
    assert all(0 < size <= room for size in sizes)
    for size, following in zip(sizes, blocks[1:], strict=False):
        first = next(piece for piece in following if piece.ids)
        assert size + len(first.ids) > room


@pytest.fixture(scope='module')
def chunker(vocabulary):
    return Chunker(vocabulary, CorpusConfig(block_length=24))


@settings(max_examples=60, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_no_text_is_lost_and_no_block_is_too_long(chunker, texts):
    documents = [Document(str(index), 'A title', text) for index, text in enumerate(texts)]
    for document, (blocks, _) in zip(documents, chunker.chunk(documents), strict=True):
        if blocks:
            assert ''.join(block.text for block in blocks) == document.text
        for block in blocks:
            assert 0 < len(block.body_ids) <= 24 - 3 - len(block.title_ids)
            assert block.sentence_starts[0] == 0
            assert list(block.sentence_starts) == sorted(set(block.sentence_starts))


def test_a_sentence_longer_than_a_block_is_split_and_counted(chunker):
    text = 'word ' * 50 + 'end. Short one.'
    ((blocks, num_split),) = chunker.chunk([Document('1', 'T', text)])
    assert num_split == 1
    assert ''.join(block.text for block in blocks) == text
    assert all(block.text[0] != ' ' for block in blocks)


def test_a_sentence_is_split_at_words_where_it_can_be(chunker):
    ((blocks, _),) = chunker.chunk([Document('1', 'T', 'capital ' * 30 + 'abcdefghij' * 9 + ' city')])
    assert ''.join(block.text for block in blocks) == 'capital ' * 30 + 'abcdefghij' * 9 + ' city'
    # 24 wordpieces without the three special ones and the title.
    assert blocks[0].text == 'capital ' * 20
    assert all(len(block.body_ids) == 20 for block in blocks[1:-1] if 'capital' not in block.text)


def bodies_of_texts(vocabulary, blocks):
    rows = WordPieceTokenizer(vocabulary).tokenize_to_ragged([block.text for block in blocks]).rows()
    return [row.tolist() for row in rows]


def test_a_block_is_tokenised_as_its_text_is(chunker, vocabulary):
    text = 'Montevideo was founded in 1726. ' * 3 + 'Ünïcödé ' * 30 + '. 東京都は日本の首都です。 The end.'
    ((blocks, _),) = chunker.chunk([Document('1', 'Uruguay', text)])
    assert bodies_of_texts(vocabulary, blocks) == [list(block.body_ids) for block in blocks]


@settings(max_examples=100, deadline=None)
@given(
    st.text(
        st.sampled_from('ab .!?\n\r\t\x0b\x0c\x1c\x1e\x85\xa0\u2028\u2029\u200b\ufeff-é\u0301東')
        | st.characters(exclude_categories=('Cs',)),
        max_size=150,
    )
)
def test_whatever_stands_in_it(chunker, vocabulary, text):
    ((blocks, _),) = chunker.chunk([Document('1', 'Uruguay', text)])
    assert bodies_of_texts(vocabulary, blocks) == [list(block.body_ids) for block in blocks]


@pytest.mark.parametrize('block_length', [4, 24, 64])
def test_a_title_leaves_its_body_room(vocabulary, block_length):
    chunker = Chunker(vocabulary, CorpusConfig(block_length=block_length))
    ((blocks, _),) = chunker.chunk([Document('1', 'title ' * 80, 'The capital is Montevideo. ' * 20)])
    assert max(len(block.body_ids) for block in blocks) <= block_length - 3 - (block_length - 3) // 2
    assert bodies_of_texts(vocabulary, blocks) == [list(block.body_ids) for block in blocks]
