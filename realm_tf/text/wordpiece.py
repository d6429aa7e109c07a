"""BERT's tokenizer in the graph, with offsets into the text as it was."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tensorflow_text

from realm_tf.text.bert_characters import read_bert_characters
from realm_tf.text.character_map import normalizer_model
from realm_tf.text.ragged import Ragged
from realm_tf.text.vocabulary import Vocabulary

# A longer word is [UNK] to BERT.
_MAX_CHARACTERS = 100
_MAX_CHARACTER_BYTES = 4


class WordPieceTokenizer(tf.Module):
    """WordPiece as BERT has it, as TensorFlow operations: it goes into a SavedModel.

    The ids are those of Hugging Face's fast tokenizer (`tokenizers` 0.23) for any text. Text is text: a `[SEP]` that
    someone wrote is the pieces `[`, `sep` and `]`, and never the special one.

    A piece starts where its first character does and ends where what follows begins, so that it takes in what BERT
    removes behind it, as the accents of a decomposed letter; pieces of the same character, as of a Hangul syllable,
    have the same place. Bytes that are no UTF-8 are characters that no piece has.

    Combining marks that BERT keeps are not put in canonical order: that would make a difference only to a vocabulary
    that has pieces with several of them.

    Args:
      vocabulary: the wordpieces.
      lower_case: lower-case and strip accents first (uncased BERT).
    """

    def __init__(self, vocabulary: Vocabulary, lower_case: bool = True):
        super().__init__()
        characters = read_bert_characters()
        changed = characters.changed(lower_case)
        stand_ins = characters.stand_ins()
        pieces = [piece.translate(stand_ins) for piece in vocabulary.pieces]
        self._unknown_id = vocabulary.unknown_id
        self._max_text_bytes = max(len(text.encode()) for text in changed.values())
        self._normalizer = tensorflow_text.FastBertNormalizer(model_buffer=normalizer_model(changed))
        # tensorflow-text counts the bytes of a word where BERT counts its characters.
        self._wordpiece, self._long_wordpiece = (
            tensorflow_text.FastWordpieceTokenizer(pieces, max_bytes_per_word=limit, token_out_type=tf.int32)
            for limit in (_MAX_CHARACTERS, _MAX_CHARACTERS * _MAX_CHARACTER_BYTES)
        )

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Tokenises UTF-8 texts, string `[batch]`, into ids, int32 `[batch, (pieces)]`."""
        return self._pieces(self._normalizer.normalize(texts))[0]

    def tokenize_with_offsets(self, texts: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
        """Tokenises UTF-8 texts and says where each piece stands.

        Args:
          texts: string `[batch]`.

        Returns:
          A tuple of ids int32, and where each piece starts and ends in its text, in bytes, int64;
          each `[batch, (pieces)]`.
        """
        # origins: [batch, (bytes + 1)], where each byte of the normalised text comes from
        normalized, origins = self._normalizer.normalize_with_offsets(texts)
        ids, starts, limits = self._pieces(normalized)
        # All from here on: [pieces of all texts]
        of_text = tf.repeat(origins.row_starts(), ids.row_lengths())
        starts, limits = starts.flat_values + of_text, limits.flat_values + of_text
        origins = origins.flat_values
        ends = tf.gather(origins, limits)
        # What follows a piece may come from the character that it ends in: then it ends where that character does.
        inside = tf.where(ends == tf.gather(origins, limits - 1))[:, 0]
        # [pieces inside, bytes of a character]
        following = tf.gather(limits, inside)[:, tf.newaxis] + tf.range(self._max_text_bytes, dtype=tf.int64)
        following = tf.gather(origins, tf.minimum(following, tf.size(origins, tf.int64) - 1))
        next_character = tf.argmax(following > tf.gather(ends, inside)[:, tf.newaxis], axis=1)
        ends = tf.tensor_scatter_nd_update(
            ends, inside[:, tf.newaxis], tf.gather(following, next_character, batch_dims=1)
        )
        return ids, ids.with_flat_values(tf.gather(origins, starts)), ids.with_flat_values(ends)

    def tokenize_to_ragged(self, texts: Sequence[str | bytes]) -> Ragged:
        """Tokenises texts on the host."""
        ids = self.tokenize(tf.constant(list(texts), tf.string))
        return Ragged(ids.flat_values.numpy(), np.asarray(ids.row_lengths(), np.int64))

    def offsets(self, texts: Sequence[str | bytes]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Where the pieces of texts start and end, in bytes, on the host: two arrays `[pieces]` a text."""
        _, starts, limits = self.tokenize_with_offsets(tf.constant(list(texts), tf.string))
        ends = starts.row_splits.numpy()[1:-1]
        flat = starts.flat_values.numpy(), limits.flat_values.numpy()
        return list(zip(*(np.split(values, ends) for values in flat), strict=True)) if len(texts) else []

    def _pieces(self, normalized: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
        """Cuts normalised texts: ids, starts and limits, in bytes of the normalised texts."""
        pieces = self._wordpiece.tokenize_with_offsets(normalized)
        ids, starts, limits = (rows.flat_values for rows in pieces)
        is_long = (ids == self._unknown_id) & (limits - starts > _MAX_CHARACTERS)
        return tf.cond(
            tf.reduce_any(is_long), lambda: self._with_long_words(normalized, is_long, *pieces), lambda: pieces
        )

    def _with_long_words(self, normalized, is_long, ids, starts, limits):
        """Cuts the words of more bytes than BERT allows characters, but not of more characters."""
        # [long words]
        places = tf.where(is_long)[:, 0]
        firsts = tf.gather(starts.flat_values, places)
        lengths = tf.gather(limits.flat_values, places) - firsts
        words = tf.strings.substr(tf.gather(normalized, tf.gather(ids.value_rowids(), places)), firsts, lengths)
        is_cut = tf.strings.length(words, 'UTF8_CHAR') <= _MAX_CHARACTERS
        kept = tf.where(~tf.tensor_scatter_nd_update(is_long, places[:, tf.newaxis], is_cut))[:, 0]
        places, firsts, words = (tf.boolean_mask(values, is_cut) for values in (places, firsts, words))
        new_ids, new_starts, new_limits = self._long_wordpiece.tokenize_with_offsets(words)
        firsts = tf.repeat(firsts, new_ids.row_lengths())
        # [pieces]: those of a word take the place of its [UNK].
        places = tf.concat([kept, tf.repeat(places, new_ids.row_lengths())], axis=0)
        order = tf.argsort(places, stable=True)
        of_text = tf.gather(ids.value_rowids(), tf.gather(places, order))

        def merged(old: tf.RaggedTensor, new: tf.Tensor) -> tf.RaggedTensor:
            values = tf.concat([tf.gather(old.flat_values, kept), new], axis=0)
            return tf.RaggedTensor.from_value_rowids(tf.gather(values, order), of_text, ids.nrows(), validate=False)

        return (
            merged(ids, new_ids.flat_values),
            merged(starts, new_starts.flat_values + firsts),
            merged(limits, new_limits.flat_values + firsts),
        )
