"""BERT's tokenizer in the graph, with offsets into the text as it was."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tensorflow_text

from realm_tf.text.ragged import Ragged
from realm_tf.text.vocabulary import Vocabulary


class WordPieceTokenizer(tf.Module):
    """WordPiece as BERT has it, as TensorFlow operations: it goes into a SavedModel.

    It differs from BERT's own in a few characters: tensorflow-text lower-cases by compatible case folding, so that ß
    becomes ss, ς becomes σ, ﬁ becomes fi and ² becomes 2, and it does not remove NUL and U+FFFD. One word in
    some 6,000 of Simple English Wikipedia has such a character.

    Args:
      vocabulary: the wordpieces.
      lower_case: lower-case and strip accents first (uncased BERT).
    """

    def __init__(self, vocabulary: Vocabulary, lower_case: bool = True):
        super().__init__()
        self._tokenizer = tensorflow_text.FastBertTokenizer(
            vocab=list(vocabulary.pieces), lower_case_nfd_strip_accents=lower_case
        )

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Tokenises UTF-8 texts, string `[batch]`, into ids, int32 `[batch, (pieces)]`."""
        return tf.cast(self._tokenizer.tokenize(texts), tf.int32)

    def tokenize_with_offsets(self, texts: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
        """Tokenises UTF-8 texts and says where each piece stands.

        Args:
          texts: string `[batch]`.

        Returns:
          A tuple of ids int32, and where each piece starts and ends in its text, in bytes, int64;
          each `[batch, (pieces)]`.
        """
        ids, starts, limits = self._tokenizer.tokenize_with_offsets(texts)
        return tf.cast(ids, tf.int32), starts, limits

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
