"""Answers questions with a QA model on the host: retrieve, read, and cut the answer out of the block's text."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from realm_tf.config import FinetuneConfig
from realm_tf.corpus.block_store import BlockStore
from realm_tf.evaluation.metrics import normalize_answer
from realm_tf.evaluation.retrieval import Retrieved, dense, scores_of
from realm_tf.search.embeddings import Embeddings
from realm_tf.search.searcher import Searcher
from realm_tf.text.packing import Packed, pack_queries, pack_reader_inputs
from realm_tf.text.wordpiece import WordPieceTokenizer
from realm_tf.weights.model_artifact import Model

# The best spans of a block that are kept; what lies beyond them has next to no probability.
_SPANS_KEPT = 32
# Inputs are padded to a multiple of this: few different shapes, and little padding.
_LENGTH_STEP = 64
_QUESTIONS_EMBEDDED = 64


@dataclasses.dataclass(frozen=True)
class Span:
    """A place in a block that was read.

    Attributes:
      answer: the words of the block.
      score: logit of the span, the retriever's score in it.
      block_id: the block.
      start, limit: where it stands in the block's text, in bytes.
    """

    answer: str
    score: float
    block_id: int
    start: int
    limit: int


@dataclasses.dataclass(frozen=True)
class Answer:
    """An answer, wherever it stands.

    Attributes:
      probability: of all the spans that are the same after the normalisation of exact match.
      best: the best of them.
    """

    probability: float
    best: Span


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What was read for a question.

    Attributes:
      read: the blocks that were read, best first.
      block_scores: the retriever's score of each.
      block_totals: the log of the sum of exp(score) over all spans of each.
      spans: the best spans of each block, best first over all.
    """

    read: tuple[int, ...]
    block_scores: tuple[float, ...]
    block_totals: tuple[float, ...]
    spans: tuple[Span, ...]

    @property
    def answer(self) -> str:
        """The answer as the paper has it, the words of the best span; empty where there was nothing to read."""
        return self.spans[0].answer if self.spans else ''

    @property
    def score(self) -> float:
        """The logit of the best span."""
        return self.spans[0].score if self.spans else -np.inf

    @property
    def probability(self) -> float:
        """Of the best span among all spans of the blocks read."""
        return float(np.exp(self.score - _logsumexp(self.block_totals))) if self.spans else 0.0

    def answers(self, number: int) -> list[Answer]:
        """The most probable distinct answers, best first; equals in the order of their best spans."""
        total = _logsumexp(self.block_totals)
        same: dict[str, list[Span]] = {}
        for span in self.spans:
            same.setdefault(normalize_answer(span.answer) or span.answer, []).append(span)
        answers = [
            Answer(float(sum(np.exp(span.score - total) for span in spans)), spans[0]) for spans in same.values()
        ]
        return sorted(answers, key=lambda answer: -answer.probability)[:number]

    def without(self, block_id: int) -> 'Prediction':
        """What remains if one of the blocks had not been read, and none in its place."""
        kept = [rank for rank, block in enumerate(self.read) if block != block_id]
        read, scores, totals = (
            tuple(values[rank] for rank in kept) for values in (self.read, self.block_scores, self.block_totals)
        )
        return Prediction(read, scores, totals, tuple(span for span in self.spans if span.block_id != block_id))


class Predictor:
    """Answers questions in batches.

    Args:
      embed_queries: computes the embeddings, `[batch, dimension]`, of packed questions.
      read: computes the span logits of inputs of the reader, and which are spans; see `SpanReader`.
      settings: of the fine-tuning.
      corpus: the corpus.
      embeddings: the embeddings of the corpus that the model answers with.
      searcher: an index over them.
    """

    def __init__(
        self,
        embed_queries: Callable[[np.ndarray], np.ndarray],
        read: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
        settings: FinetuneConfig,
        corpus: BlockStore,
        embeddings: Embeddings,
        searcher: Searcher,
    ):
        self._embed_queries = embed_queries
        self._read = read
        self._settings = settings
        self._corpus = corpus
        self._embeddings = embeddings
        self._searcher = searcher
        self._tokenizer = WordPieceTokenizer(corpus.vocabulary)

    @classmethod
    def of_model(cls, model: Model, corpus: BlockStore, embeddings: Embeddings, searcher: Searcher) -> 'Predictor':
        """Answers with a QA model, on one device."""
        embed = tf.function(model.retriever().embed_queries, reduce_retracing=True)
        read = tf.function(model.reader(), reduce_retracing=True)

        def read_on_device(token_ids: np.ndarray, segment_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            span_logits, is_span = read(tf.constant(token_ids), tf.constant(segment_ids))
            return span_logits.numpy(), is_span.numpy()

        return cls(
            lambda ids: embed(tf.constant(ids)).numpy(),
            read_on_device,
            model.config.finetune,
            corpus,
            embeddings,
            searcher,
        )

    def predict(self, questions: Sequence[str]) -> list[Prediction]:
        """Answers a batch of questions from the blocks that the retriever finds."""
        queries = self.embed(questions)
        return self.read(questions, queries, self.retrieve(queries, self._settings.num_candidates).block_ids)

    def embed(self, questions: Sequence[str]) -> np.ndarray:
        """The questions in the space of the blocks, float32 `[questions, dimension]`."""
        ids = self._tokenizer.tokenize_to_ragged(questions)
        packed = pack_queries(ids, self._settings.question_length, self._corpus.vocabulary)
        starts = range(0, len(packed), _QUESTIONS_EMBEDDED)
        return np.concatenate([self._embed_queries(packed[start : start + _QUESTIONS_EMBEDDED]) for start in starts])

    def retrieve(self, queries: np.ndarray, k: int) -> Retrieved:
        """The best blocks of each question, in the order of their exact scores.

        Args:
          queries: embeddings of questions, float32 `[questions, dimension]`.
          k: how many blocks.
        """
        return dense(queries, k, self._embeddings, self._searcher)

    def read(self, questions: Sequence[str], queries: np.ndarray, block_ids: np.ndarray) -> list[Prediction]:
        """Reads the first blocks for each question, however they were found.

        Whoever found a block, the retriever's score of it is in the scores of its spans.

        Args:
          questions: a batch of questions.
          queries: their embeddings, float32 `[batch, dimension]`.
          block_ids: blocks for each, best first, int64 `[batch, k]`; -1 where there are fewer.
        """
        # [batch, reader_blocks]
        block_ids = block_ids[:, : self._settings.reader_blocks]
        # Block 0 stands in for one that is missing; its spans have no probability.
        present = np.maximum(block_ids, 0).reshape(-1)
        inputs = _trimmed(
            pack_reader_inputs(
                self._tokenizer.tokenize_to_ragged(questions).take(
                    np.repeat(np.arange(len(questions)), block_ids.shape[1])
                ),
                self._corpus.body_ids(present),
                self._settings.reader_length,
                self._corpus.vocabulary,
                question_length=self._settings.question_length,
            )
        )
        # [batch * reader_blocks, length, max_answer_length]
        span_logits, is_span = self._read(inputs.token_ids, inputs.segment_ids)
        # [batch, reader_blocks]
        scores = scores_of(queries, block_ids, self._embeddings)
        joint = np.where(is_span, span_logits + scores.reshape(-1, 1, 1), -np.inf)
        offsets = self._tokenizer.offsets(self._corpus.texts(present))
        texts = [text.encode() for text in self._corpus.texts(present)]
        predictions = []
        for row, blocks in enumerate(block_ids):
            here = range(row * len(blocks), (row + 1) * len(blocks))
            read = [place for place in here if block_ids.flat[place] >= 0]
            spans = [
                Span(texts[place][start:limit].decode(), score, int(block_ids.flat[place]), start, limit)
                for place in read
                for score, start, limit in _best_spans(joint[place], inputs.second_starts[place], *offsets[place])
            ]
            predictions.append(
                Prediction(
                    read=tuple(int(block_ids.flat[place]) for place in read),
                    block_scores=tuple(float(scores.flat[place]) for place in read),
                    block_totals=tuple(_logsumexp(joint[place].reshape(-1)) for place in read),
                    # Stable: of equals the one of the better block comes first.
                    spans=tuple(sorted(spans, key=lambda span: -span.score)),
                )
            )
        return predictions


def _best_spans(joint: np.ndarray, body_start: int, byte_starts: np.ndarray, byte_limits: np.ndarray):
    """Scores of the best spans of a block, best first, and where they stand in its text."""
    flat = joint.reshape(-1)
    kept = np.argpartition(-flat, min(_SPANS_KEPT, len(flat) - 1))[:_SPANS_KEPT]
    kept = kept[np.isfinite(flat[kept])]
    for place in kept[np.lexsort((kept, -flat[kept]))]:
        first, more = divmod(int(place), joint.shape[1])
        first -= int(body_start)
        yield float(flat[place]), int(byte_starts[first]), int(byte_limits[first + more])


def _trimmed(inputs: Packed) -> Packed:
    """The inputs without the columns that are padding in all of them, as far as shapes stay few."""
    used = int((inputs.second_starts + inputs.second_lengths).max()) + 1
    length = min(-(-used // _LENGTH_STEP) * _LENGTH_STEP, inputs.token_ids.shape[1])
    return inputs._replace(token_ids=inputs.token_ids[:, :length], segment_ids=inputs.segment_ids[:, :length])


def _logsumexp(values) -> float:
    values = np.asarray(values, np.float64)
    if not values.size or not np.isfinite(values.max()):
        return -np.inf
    return float(values.max() + np.log(np.exp(values - values.max()).sum()))
