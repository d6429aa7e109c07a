"""Cuts documents into blocks of whole sentences."""

import dataclasses
import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from realm_tf.config import CorpusConfig
from realm_tf.corpus.block_store import Block
from realm_tf.corpus.documents import Document
from realm_tf.corpus.sentences import split_sentences
from realm_tf.text.packing import NUM_SPECIAL, title_limit
from realm_tf.text.vocabulary import Vocabulary
from realm_tf.text.wordpiece import WordPieceTokenizer


@dataclasses.dataclass(frozen=True)
class Piece:
    """A sentence, or a part of one that is too long for a block.

    Attributes:
      text: its slice of the document.
      ids: its wordpieces.
      begins_sentence: whether a sentence begins here.
    """

    text: str
    ids: Sequence[int]
    begins_sentence: bool = True


class Chunker:
    """Cuts documents into blocks, greedily, of whole sentences.

    A block holds as many sentences as fit: `3 + title + body` wordpieces are at most the block length, the title
    counted up to where a document's title is cut. A longer sentence is split at words. No text is lost: the texts of a
    document's blocks, one after the other, are its text (with `corpus.overlap`, and then some of it twice).

    Args:
      vocabulary: what is tokenised with.
      config: block length and language.
      are_blocks: whether the documents are blocks already, and are left whole.
    """

    def __init__(self, vocabulary: Vocabulary, config: CorpusConfig, are_blocks: bool = False):
        self._are_blocks = are_blocks
        self._vocabulary = vocabulary
        self._config = config
        self._tokenizer = WordPieceTokenizer(vocabulary)

    def chunk(self, documents: Sequence[Document]) -> Iterator[tuple[list[Block], int]]:
        """Cuts documents, tokenising all of them at once.

        Args:
          documents: the documents.

        Yields:
          For each document, its blocks (none if it has no wordpieces), and how many sentences had to be split.
        """
        spans = [split_sentences(document.text, self._config.language) for document in documents]
        sentences = [
            document.text[start:limit]
            for document, of_document in zip(documents, spans, strict=True)
            for start, limit in of_document
        ]
        ids = self._tokenizer.tokenize_to_ragged(sentences).rows()
        titles = self._tokenizer.tokenize_to_ragged([document.title for document in documents]).rows()
        rooms = [self._room_beside(title) for title in titles]
        room_of_sentence = [room for room, of_document in zip(rooms, spans, strict=True) for _ in of_document]
        too_long = [i for i, (of_one, room) in enumerate(zip(ids, room_of_sentence, strict=True)) if len(of_one) > room]
        offsets = dict(zip(too_long, self._tokenizer.offsets([sentences[i] for i in too_long]), strict=True))
        first = 0
        for document, title_ids, of_document, room in zip(documents, titles, spans, rooms, strict=True):
            pieces: list[Piece] = []
            numbers = range(first, first + len(of_document))
            for number in numbers:
                sentence = Piece(sentences[number], ids[number].tolist())
                if number in offsets:
                    pieces.extend(self._split(sentence, offsets[number][0], room))
                else:
                    pieces.append(sentence)
            filled = fill_blocks(pieces, room, self._config.overlap)
            blocks = [_block(document, title_ids.tolist(), of_block) for of_block in filled]
            yield blocks, sum(number in offsets for number in numbers)
            first = numbers.stop

    def _room_beside(self, title: np.ndarray) -> int:
        if self._are_blocks:
            return sys.maxsize
        length = self._config.block_length
        return length - NUM_SPECIAL - min(len(title), title_limit(length))

    def _split(self, sentence: Piece, starts: np.ndarray, room: int) -> Iterator[Piece]:
        """Splits a sentence that is too long, at words; `starts` says where its wordpieces do, in bytes."""
        words = (part for word in self._words(sentence, starts) for part in self._parts(word, room))
        for number, of_piece in enumerate(fill_blocks(words, room)):
            text = ''.join(word.text for word in of_piece)
            yield Piece(text, [id for word in of_piece for id in word.ids], begins_sentence=number == 0)

    def _words(self, sentence: Piece, starts: np.ndarray) -> Iterator[Piece]:
        """The words of a sentence; white space belongs to the word before it, or to the first one."""
        encoded = sentence.text.encode()
        firsts = [index for index, id in enumerate(sentence.ids) if not self._vocabulary.pieces[id].startswith('##')]
        places = [0, *map(int, starts[firsts[1:]]), len(encoded)]
        for (first, limit), (start, end) in zip(
            itertools.pairwise([*firsts, len(sentence.ids)]), itertools.pairwise(places), strict=True
        ):
            yield Piece(encoded[start:end].decode(), sentence.ids[first:limit])

    def _parts(self, word: Piece, room: int) -> Iterator[Piece]:
        """Cuts a word with more wordpieces than there is room for; what is left has those of a word of its own."""
        while len(word.ids) > room:
            encoded, (starts, _) = word.text.encode(), self._tokenizer.offsets([word.text])[0]
            cut = int(starts[room])
            yield Piece(encoded[:cut].decode(), word.ids[:room])
            rest = encoded[cut:].decode()
            word = Piece(rest, self._tokenizer.tokenize_to_ragged([rest]).values.tolist())
        yield word


def fill_blocks(pieces: Iterable[Piece], room: int, overlap: int = 0) -> Iterator[list[Piece]]:
    """Puts pieces into blocks, in order, as many as have room; pieces without wordpieces go with those before them.

    Args:
      pieces: of one document.
      room: the most wordpieces of a block; no piece has more.
      overlap: how many pieces a block repeats from the end of the one before, as far as its first new one leaves room.

    Yields:
      The pieces of each block. Without overlap, every piece is in one block. A block without wordpieces comes only
      from a document without any, and then there is none.
    """
    block: list[Piece] = []
    used = 0
    for piece in pieces:
        if used and piece.ids and used + len(piece.ids) > room:
            yield block
            block = block[len(block) - overlap :] if overlap < len(block) else block[1:]
            used = sum(len(of_block.ids) for of_block in block)
            while used + len(piece.ids) > room:
                used -= len(block.pop(0).ids)
        block.append(piece)
        used += len(piece.ids)
    if used:
        yield block


def _block(document: Document, title_ids: Sequence[int], pieces: Sequence[Piece]) -> Block:
    body_ids: list[int] = []
    sentence_starts: list[int] = []
    for piece in pieces:
        # A part of a sentence that goes on from the block before is this block's first sentence.
        if piece.ids and (piece.begins_sentence or not sentence_starts):
            sentence_starts.append(len(body_ids))
        body_ids.extend(piece.ids)
    text = ''.join(piece.text for piece in pieces)
    return Block(document.id, document.title, text, title_ids, body_ids, sentence_starts)
