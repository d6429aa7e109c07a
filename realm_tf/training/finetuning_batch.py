"""The batches of fine-tuning, made on the host: questions, their candidates with labels, and what is read."""

from collections.abc import Callable, Sequence

import numpy as np

from realm_tf.config import Config
from realm_tf.corpus.block_store import BlockStore
from realm_tf.corpus.questions import Question
from realm_tf.evaluation.answers import gold_spans
from realm_tf.evaluation.retrieval import dense
from realm_tf.search.embeddings import Embeddings
from realm_tf.search.searcher import Searcher
from realm_tf.text.packing import pack_documents, pack_queries, pack_reader_inputs
from realm_tf.text.wordpiece import WordPieceTokenizer
from realm_tf.training.train_step import Batch


class FinetuningBatches:
    """The batches of fine-tuning.

    Which blocks hold an answer is known beforehand: a step looks up what it retrieved.

    Args:
      corpus: the corpus.
      questions: the questions.
      holders: the blocks that hold an answer of each, ids in ascending order, of `blocks_with_answers`.
      config: the configuration.
    """

    def __init__(
        self, corpus: BlockStore, questions: Sequence[Question], holders: Sequence[np.ndarray], config: Config
    ):
        self._corpus = corpus
        self._questions = questions
        self._settings = config.finetune
        self._tokenizer = WordPieceTokenizer(corpus.vocabulary)
        self._question_ids = self._tokenizer.tokenize_to_ragged([question.text for question in questions])
        answers = [question.answers for question in questions]
        rows = iter(self._tokenizer.tokenize_to_ragged([answer for of_one in answers for answer in of_one]).rows())
        self._answer_ids = [[next(rows) for _ in of_one] for of_one in answers]
        self._holders = holders

    @property
    def answerable(self) -> int:
        """How many of the questions have an answer somewhere in the corpus."""
        return sum(len(holders) > 0 for holders in self._holders)

    def of_questions(
        self,
        rows: np.ndarray,
        embed_queries: Callable[[np.ndarray], np.ndarray],
        embeddings: Embeddings,
        searcher: Searcher,
    ) -> Batch:
        """Retrieves candidates, best first by the exact score, labels them, and packs what is read.

        Args:
          rows: which questions, int64 `[batch]`.
          embed_queries: computes the embeddings of packed questions by the weights in training.
          embeddings: the embeddings of the corpus.
          searcher: an index over them.

        Returns:
          `question_ids` int32 `[batch, question_length]`; `candidate_embeddings` float32
          `[batch, num_candidates, projection_size]`; `is_candidate` and `has_answer` bool `[batch, num_candidates]`.
          If the index is refreshed, of the first `num_fresh` candidates: `fresh_blocks` int32 `[batch * num_fresh]`,
          -1 where one is missing; `fresh_ids` and `fresh_segments` int32 `[batch * num_fresh, block_length]`.
          Unless the retriever is trained alone: `reader_ids` and `reader_segments` int32
          `[batch * reader_blocks, reader_length]`; `is_gold` bool
          `[batch, reader_blocks, reader_length, max_answer_length]`.
        """
        settings = self._settings
        question_ids = pack_queries(self._question_ids.take(rows), settings.question_length, self._corpus.vocabulary)
        queries = embed_queries(question_ids)
        # [batch, num_candidates]
        candidates = dense(queries, settings.num_candidates, embeddings, searcher).block_ids
        # Block 0 stands in for one that is missing; it has no weight in the losses.
        present = np.maximum(candidates, 0)
        batch = {
            'question_ids': question_ids,
            'candidate_embeddings': embeddings.rows(present.reshape(-1)).reshape(*present.shape, -1),
            'is_candidate': candidates >= 0,
            'has_answer': np.stack(
                [_is_among(of_one, self._holders[row]) for of_one, row in zip(candidates, rows, strict=True)]
            ),
        }
        if settings.num_fresh:
            batch |= self._fresh(candidates[:, : settings.num_fresh].reshape(-1))
        return batch if settings.objective == 'retriever' else batch | self._read(rows, candidates)

    def _fresh(self, candidates: np.ndarray) -> Batch:
        """The inputs of the document tower, for the candidates that the step embeds again."""
        present = np.maximum(candidates, 0)
        packed = pack_documents(
            self._corpus.title_ids(present),
            self._corpus.body_ids(present),
            self._corpus.block_length,
            self._corpus.vocabulary,
        )
        return {
            'fresh_blocks': candidates.astype(np.int32),
            'fresh_ids': packed.token_ids,
            'fresh_segments': packed.segment_ids,
        }

    def _read(self, rows: np.ndarray, candidates: np.ndarray) -> Batch:
        """The inputs of the reader, and the spans in them that are answers."""
        settings = self._settings
        # [batch, reader_blocks]
        candidates = candidates[:, : settings.reader_blocks]
        # [batch * reader_blocks]
        read = np.maximum(candidates, 0).reshape(-1)
        question_of = np.repeat(rows, settings.reader_blocks)
        bodies = self._corpus.body_ids(read)
        packed = pack_reader_inputs(
            self._question_ids.take(question_of),
            bodies,
            settings.reader_length,
            self._corpus.vocabulary,
            question_length=settings.question_length,
        )
        spans = gold_spans(
            self._corpus.texts(read),
            bodies.truncated(packed.second_lengths),
            [self._questions[row] for row in question_of],
            [self._answer_ids[row] for row in question_of],
            self._tokenizer,
            settings.max_answer_length,
        )
        is_gold = np.zeros((len(read), settings.reader_length, settings.max_answer_length), bool)
        for index, of_block in enumerate(spans):
            is_gold[index, packed.second_starts[index] + of_block[:, 0], of_block[:, 1]] = True
        is_gold[candidates.reshape(-1) < 0] = False
        return {
            'reader_ids': packed.token_ids,
            'reader_segments': packed.segment_ids,
            'is_gold': is_gold.reshape(*candidates.shape, *is_gold.shape[1:]),
        }


def _is_among(block_ids: np.ndarray, holders: np.ndarray) -> np.ndarray:
    """Whether each block is one of the holders, which ascend."""
    if not len(holders):
        return np.zeros(len(block_ids), bool)
    return holders[np.minimum(np.searchsorted(holders, block_ids), len(holders) - 1)] == block_ids
