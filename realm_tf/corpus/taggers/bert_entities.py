"""Named entities by a BERT that labels wordpieces."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from etils import epath

from realm_tf.corpus.spans import QUANTITIES, Span, Tagger, without_overlaps
from realm_tf.corpus.taggers.dates import find_dates
from realm_tf.errors import RealmError
from realm_tf.text.packing import pack_queries
from realm_tf.text.ragged import Ragged
from realm_tf.weights import hugging_face
from realm_tf.weights.sources import digest_of_files

CONFIG, VOCABULARY, WEIGHTS = 'config.json', 'vocab.txt', 'model.safetensors'
# Wordpieces of a batch, padding counted: bounds memory.
_BATCH = 4096


class BertTagger(Tagger):
    """Finds named entities with a BERT that labels wordpieces by BIO, and dates by their form.

    The paper's tagger is such a BERT, trained on CoNLL-2003 (persons, organisations, locations, miscellaneous). A word
    has the label of its first wordpiece. Texts longer than the BERT's input are read in overlapping windows.

    Args:
      directory: a Hugging Face directory of a `BertForTokenClassification`.

    Raises:
      RealmError: if a file of it is missing or damaged, or its labels are not BIO.
    """

    def __init__(self, directory: epath.PathLike):
        require_token_classifier(directory)
        # Here, and not at the top: checking that the directory is whole needs no TensorFlow.
        import tensorflow as tf

        from realm_tf.text.wordpiece import WordPieceTokenizer
        from realm_tf.weights.token_classifier import read_token_classifier

        model = read_token_classifier(directory)
        _require_bio(model.labels, directory)
        self._labels = model.labels
        self._vocabulary = model.vocabulary
        self._continues_word = np.array([piece.startswith('##') for piece in model.vocabulary.pieces])
        self._tokenizer = WordPieceTokenizer(model.vocabulary, model.lower_case)
        self._room = model.encoder.max_positions - 2

        @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)])
        def predict(token_ids):
            return tf.argmax(model.logits(token_ids), axis=-1, output_type=tf.int32)

        self._predict = predict

    @classmethod
    def inputs(cls, directory):
        require_token_classifier(directory)
        return {'tagger': digest_of_files(hugging_face.files(directory))}

    def tag(self, texts):
        ids, starts, limits = self._tokenize(texts)
        for text, entities in zip(texts, map(self._entities, ids, starts, limits, self._label(ids)), strict=True):
            yield without_overlaps([*find_dates(text), *entities])

    def _tokenize(self, texts: Sequence[str]) -> list[list[np.ndarray]]:
        """The wordpieces of texts, and where they start and end in bytes: for each of the three, an array a text."""
        if not texts:
            return [[], [], []]
        import tensorflow as tf

        found = self._tokenizer.tokenize_with_offsets(tf.constant(list(texts), tf.string))
        return [Ragged(rows.flat_values.numpy(), rows.row_lengths().numpy()).rows() for rows in found]

    def _label(self, ids: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The labels' numbers of the wordpieces of texts."""
        windows = [
            (text, window) for text, of_text in enumerate(ids) for window in windows_of(len(of_text), self._room)
        ]
        windows.sort(key=lambda one: one[1].limit - one[1].start)
        labels = [np.zeros_like(of_text) for of_text in ids]
        for batch in _batches(windows):
            rows = Ragged.of([ids[text][window.start : window.limit] for text, window in batch])
            packed = pack_queries(rows, int(rows.lengths.max()) + 2, self._vocabulary)
            # Without the label of [CLS].
            predicted = np.asarray(self._predict(packed))[:, 1:]
            for (text, window), of_window in zip(batch, predicted, strict=True):
                kept = slice(window.first - window.start, window.last - window.start)
                labels[text][window.first : window.last] = of_window[kept]
        return labels

    def _entities(self, ids: np.ndarray, starts: np.ndarray, limits: np.ndarray, labels: np.ndarray) -> list[Span]:
        words = np.flatnonzero(~self._continues_word[ids])
        word_limits = np.append(words[1:], len(ids))
        of_words = [self._labels[label] for label in labels[words]]
        return [
            Span(int(starts[words[first]]), int(limits[word_limits[limit - 1] - 1]), kind)
            for first, limit, kind in decode_bio(of_words)
            if kind not in QUANTITIES
        ]


class Window(NamedTuple):
    """A part of a text that is read at once.

    Attributes:
      start: its first wordpiece.
      limit: the wordpiece after its last.
      first: the first wordpiece that gets its label from this window.
      last: the wordpiece after the last that does.
    """

    start: int
    limit: int
    first: int
    last: int


def windows_of(num_pieces: int, length: int) -> list[Window]:
    """Covers a text with windows that overlap by a quarter; a wordpiece belongs to the one in which it stands deeper.

    Args:
      num_pieces: wordpieces of the text.
      length: the longest window.
    """
    overlap = length // 4
    windows = []
    start = first = 0
    while first < num_pieces:
        limit = min(start + length, num_pieces)
        last = limit if limit == num_pieces else limit - overlap // 2
        windows.append(Window(start, limit, first, last))
        start, first = limit - overlap, last
    return windows


def decode_bio(labels: Sequence[str]) -> list[tuple[int, int, str]]:
    """Reads entities off the labels of words.

    `B-` begins an entity, and so does an `I-` that cannot go on the one before, as in CoNLL's own evaluation.

    Args:
      labels: `O`, `B-KIND` or `I-KIND` for each word.

    Returns:
      First word, the word after the last, and kind of each entity, in order.
    """
    entities: list[tuple[int, int, str]] = []
    for word, label in enumerate(labels):
        prefix, _, kind = label.partition('-')
        if prefix == 'I' and entities and entities[-1][1:] == (word, kind):
            entities[-1] = (entities[-1][0], word + 1, kind)
        elif prefix != 'O':
            entities.append((word, word + 1, kind))
    return entities


def require_token_classifier(directory: epath.PathLike | None) -> None:
    """Checks that a Hugging Face directory is there and whole, without reading it.

    Raises:
      RealmError: if it is not.
    """
    if directory is None:
        raise RealmError('spans.tagger=hf needs spans.hf_directory: a Hugging Face BERT that labels wordpieces.')
    directory = epath.Path(directory)
    if not directory.is_dir():
        raise RealmError(f'There is no directory {directory}, which spans.hf_directory names.')
    missing = [name for name in (CONFIG, VOCABULARY, WEIGHTS) if not (directory / name).exists()]
    if missing == [WEIGHTS] and (directory / 'pytorch_model.bin').exists():
        raise RealmError(
            f'{directory / "pytorch_model.bin"} is not read: such files can hold programs. Write {WEIGHTS} beside it '
            'with save_pretrained(…, safe_serialization=True) of transformers.'
        )
    if missing:
        raise RealmError(
            f'{directory} has no {", ".join(missing)}: a Hugging Face BERT that labels wordpieces is needed.'
        )


def _require_bio(labels: Sequence[str], directory: epath.PathLike) -> None:
    strange = [label for label in labels if label != 'O' and label[:2] not in ('B-', 'I-')]
    if strange:
        raise RealmError(
            f'{epath.Path(directory) / CONFIG} has the label {strange[0]!r} in id2label; labels by BIO are needed: '
            'O, B-KIND, I-KIND.'
        )


def _batches(windows: Sequence[tuple[int, Window]]) -> Iterator[list[tuple[int, Window]]]:
    """Puts windows, the shortest first, into batches of at most `_BATCH` wordpieces with their padding."""
    batch: list[tuple[int, Window]] = []
    for text, window in windows:
        if batch and (len(batch) + 1) * (window.limit - window.start + 2) > _BATCH:
            yield batch
            batch = []
        batch.append((text, window))
    if batch:
        yield batch
