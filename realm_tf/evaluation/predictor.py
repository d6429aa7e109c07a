"""Answers questions with a QA model on the host: retrieve, read, and cut the answer out of the block's text."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from realm_tf.corpus.block_store import BlockStore
from realm_tf.search.embeddings import Embeddings, sorted_by_score
from realm_tf.search.searcher import Searcher
from realm_tf.text.packing import Packed, pack_queries, pack_reader_inputs
from realm_tf.text.wordpiece import WordPieceTokenizer
from realm_tf.weights.model_artifact import Model


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The best answer to a question.

    Attributes:
      answer: the words of the block.
      score: logit of the span, the retriever's score in it.
      probability: of this span among all spans of the blocks read.
      block_id: the block it stands in.
      start, limit: where it stands in the block's text, in bytes.
      read: the blocks that were read, best first.
    """

    answer: str
    score: float
    probability: float
    block_id: int
    start: int
    limit: int
    read: tuple[int, ...]


class Predictor:
    """Answers questions in batches of one shape.

    Args:
      model: the QA model.
      corpus: its corpus.
      embeddings: its embeddings of the corpus.
      searcher: an index over them.
    """

    def __init__(self, model: Model, corpus: BlockStore, embeddings: Embeddings, searcher: Searcher):
        self._settings = model.config.finetune
        self._corpus = corpus
        self._embeddings = embeddings
        self._searcher = searcher
        self._tokenizer = WordPieceTokenizer(model.vocabulary)
        self._embed = tf.function(model.retriever().embed_queries, reduce_retracing=True)
        self._read = tf.function(model.reader(), reduce_retracing=True)

    def predict(self, questions: Sequence[str]) -> list[Prediction]:
        """Answers a batch of questions."""
        settings = self._settings
        question_ids = self._tokenizer.tokenize_to_ragged(questions)
        packed = pack_queries(question_ids, settings.question_length, self._corpus.vocabulary)
        queries = self._embed(tf.constant(packed)).numpy()
        found = self._searcher.search(queries, settings.num_candidates).block_ids
        # [batch, reader_blocks]
        read = sorted_by_score(found, self._embeddings, queries)[:, : settings.reader_blocks]
        # Block 0 stands in for one that is missing; its spans have no probability.
        present = np.maximum(read, 0).reshape(-1)
        inputs = pack_reader_inputs(
            question_ids.take(np.repeat(np.arange(len(questions)), read.shape[1])),
            self._corpus.body_ids(present),
            settings.reader_length,
            self._corpus.vocabulary,
            question_length=settings.question_length,
        )
        # [batch * reader_blocks, length, max_answer_length]
        span_logits, is_span = self._read(tf.constant(inputs.token_ids), tf.constant(inputs.segment_ids))
        # [batch, reader_blocks]
        scores = np.einsum('bd,bkd->bk', queries, self._embeddings.rows(present).reshape(*read.shape, -1))
        scores = np.where(read < 0, -np.inf, scores)
        joint = np.where(is_span.numpy(), span_logits.numpy() + scores.reshape(-1, 1, 1), -np.inf)
        return self._best_spans(joint.reshape(*read.shape, *joint.shape[1:]), read, inputs)

    def _best_spans(self, joint: np.ndarray, read: np.ndarray, inputs: Packed) -> list[Prediction]:
        # [batch, spans]
        flat = joint.reshape(len(joint), -1)
        best = flat.argmax(axis=1)
        scores = flat.max(axis=1)
        probabilities = 1.0 / np.exp(flat - scores[:, None]).sum(axis=1)
        ranks, starts, widths = np.unravel_index(best, joint.shape[1:])
        batch = np.arange(len(read))
        block_ids = read[batch, ranks]
        first = starts - inputs.second_starts.reshape(read.shape)[batch, ranks]
        texts = [text.encode() for text in self._corpus.texts(block_ids)]
        _, byte_starts, byte_limits = self._tokenizer.tokenize_with_offsets(tf.constant(texts))
        predictions = []
        for index, text in enumerate(texts):
            start = int(byte_starts[index][first[index]])
            limit = int(byte_limits[index][first[index] + widths[index]])
            predictions.append(
                Prediction(
                    answer=text[start:limit].decode(),
                    score=float(scores[index]),
                    probability=float(probabilities[index]),
                    block_id=int(block_ids[index]),
                    start=start,
                    limit=limit,
                    read=tuple(read[index][read[index] >= 0].tolist()),
                )
            )
        return predictions
