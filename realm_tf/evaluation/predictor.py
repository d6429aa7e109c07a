"""Answers questions with a QA model on the host: retrieve, read, and cut the answer out of the block's text."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from realm_tf.config import Config, FinetuneConfig
from realm_tf.corpus.block_store import BlockStore
from realm_tf.evaluation.metrics import normalize_answer
from realm_tf.evaluation.retrieval import Retrieved, dense, scores_of
from realm_tf.search.embeddings import Embeddings
from realm_tf.search.searcher import Searcher
from realm_tf.text.packing import Packed, pack_queries, pack_reader_inputs
from realm_tf.text.wordpiece import WordPieceTokenizer
from realm_tf.weights.model_artifact import Model
from realm_tf.weights.networks import for_inference

# The best spans of a block that are kept; what lies beyond them has next to no probability.
_SPANS_KEPT = 32
# Inputs are padded to a multiple of this: attention has few different shapes, and little padding.
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

    def among(self, block_ids: Iterable[int]) -> 'Prediction':
        """What had been read if there had been these blocks alone, in this order; all of them are among those read."""
        kept = [self.read.index(block) for block in block_ids]
        read, scores, totals = (
            tuple(values[place] for place in kept) for values in (self.read, self.block_scores, self.block_totals)
        )
        ranks = {block: rank for rank, block in enumerate(read)}
        spans = (span for span in self.spans if span.block_id in ranks)
        return Prediction(read, scores, totals, _best_first(spans, ranks))

    def without(self, block_id: int) -> 'Prediction':
        """What remains if one of the blocks had not been read, and none in its place."""
        return self.among(block for block in self.read if block != block_id)


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
    def of_model(
        cls,
        model: Model,
        corpus: BlockStore,
        embeddings: Embeddings,
        searcher: Searcher,
        config: Config | None = None,
    ) -> 'Predictor':
        """Answers with a QA model, on one device, with its own settings or with others."""
        config = config or model.config
        embed = tf.function(for_inference(model.retriever(config)).embed_queries, reduce_retracing=True)
        read = tf.function(for_inference(model.reader(config)), reduce_retracing=True)

        def read_on_device(token_ids: np.ndarray, segment_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            span_logits, is_span = read(tf.constant(token_ids), tf.constant(segment_ids))
            return span_logits.numpy(), is_span.numpy()

        return cls(
            lambda ids: embed(tf.constant(ids)).numpy(),
            read_on_device,
            config.finetune,
            corpus,
            embeddings,
            searcher,
        )

    def predict(self, questions: Sequence[str]) -> list[Prediction]:
        """Answers a batch of questions from the blocks that the retriever finds."""
        queries = self.embed(questions)
        retrieved = self.retrieve(queries, self._settings.num_candidates)
        return self.read(questions, queries, retrieved.block_ids[:, : self._settings.reader_blocks])

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
        """Reads blocks for each question, however they were found.

        Whoever found a block, the retriever's score of it is in the scores of its spans.

        Args:
          questions: a batch of questions.
          queries: their embeddings, float32 `[batch, dimension]`.
          block_ids: blocks for each, best first, int64 `[batch, blocks]`; -1 where there are fewer.
        """
        is_block = block_ids >= 0
        # [pairs]: a question and a block, question after question
        rows, present = np.nonzero(is_block)[0], block_ids[is_block]
        if not len(present):
            return [Prediction((), (), (), ()) for _ in questions]
        inputs = _trimmed(
            pack_reader_inputs(
                self._tokenizer.tokenize_to_ragged(questions).take(rows),
                self._corpus.body_ids(present),
                self._settings.reader_length,
                self._corpus.vocabulary,
                question_length=self._settings.question_length,
            )
        )
        # [pairs, length, max_answer_length]
        span_logits, is_span = self._read(inputs.token_ids, inputs.segment_ids)
        # [pairs]
        scores = scores_of(queries, block_ids, self._embeddings)[is_block]
        joint = np.where(is_span, span_logits + scores[:, None, None], -np.inf)
        offsets = self._tokenizer.offsets(self._corpus.texts(present))
        texts = [text.encode() for text in self._corpus.texts(present)]
        predictions = []
        for row in range(len(questions)):
            pairs = np.flatnonzero(rows == row)
            read = tuple(map(int, present[pairs]))
            spans = (
                Span(texts[pair][start:limit].decode(), score, int(present[pair]), start, limit)
                for pair in pairs
                for score, start, limit in _best_spans(joint[pair], inputs.second_starts[pair], *offsets[pair])
            )
            predictions.append(
                Prediction(
                    read=read,
                    block_scores=tuple(map(float, scores[pairs])),
                    block_totals=tuple(_logsumexp(joint[pair].reshape(-1)) for pair in pairs),
                    spans=_best_first(spans, {block: rank for rank, block in enumerate(read)}),
                )
            )
        return predictions


def _best_first(spans: Iterable[Span], ranks: Mapping[int, int]) -> tuple[Span, ...]:
    """Of equally good spans the one of the better block comes first, and in a block the one that came first."""
    return tuple(sorted(spans, key=lambda span: (-span.score, ranks[span.block_id])))


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
