"""The trained system as one graph: question text in, answer and evidence out."""

import tensorflow as tf

from export.packing import pack_queries, pack_reader_inputs
from export.search import GraphSearcher
from realm_tf.corpus.block_store import BlockStore
from realm_tf.text.wordpiece import WordPieceTokenizer
from realm_tf.weights.model_artifact import Model

# A longer question is cut before it is tokenised; no question that fits a network is.
MAX_QUESTION_BYTES = 4096
_QUESTIONS = tf.TensorSpec([None], tf.string, name='question')


class QuestionAnswerer(tf.Module):
    """Tokenizer, query tower, search, block fetch, reader and answer text in one module.

    It tracks raw variables, not Keras layers: a SavedModel that tracks a Keras layer does not open in TensorFlow
    Serving's loader. Texts lie in variables, as a constant above 2 GB cannot be saved.

    Args:
      model: the QA model.
      corpus: its corpus.
      searcher: over its embeddings of the corpus.
    """

    def __init__(self, model: Model, corpus: BlockStore, searcher: GraphSearcher):
        super().__init__()
        rows = list(range(len(corpus)))
        retriever, reader = model.retriever(), model.reader()
        self._settings = model.config.finetune
        self._vocabulary = model.vocabulary
        self._tokenizer = WordPieceTokenizer(model.vocabulary)
        self._searcher = searcher
        self._weights = [variable.value for layer in (retriever, reader) for variable in layer.variables]
        self._embed_queries = retriever.embed_queries
        # The bound methods alone: a layer as an attribute would be tracked, and its weights saved twice.
        self._read = reader.__call__
        self._titles = tf.Variable(tf.constant(corpus.titles(rows)), trainable=False, name='titles')
        self._texts = tf.Variable(tf.constant(corpus.texts(rows)), trainable=False, name='texts')

    @tf.function(input_signature=[_QUESTIONS])
    def retrieve(self, question):
        """The blocks that are read: `block_id`, `score`, `title`, `text`, each `[batch, reader_blocks]`, best first."""
        _, block_ids, scores = self._retrieve(question)
        return {
            'block_id': block_ids,
            'score': scores,
            'title': tf.gather(self._titles, block_ids),
            'text': tf.gather(self._texts, block_ids),
        }

    @tf.function(input_signature=[_QUESTIONS])
    def answer(self, question):
        """Answers questions.

        Returns:
          The best answer of each, `[batch]`: `answer`, `score` (logit of the span with the retriever's score in it),
          `probability` among the spans of all blocks read, `block_id`, `title`, `text` of its block, and where it
          stands there, `start` and `limit`, in bytes. With `top_` before the name, `[batch, reader_blocks]`: the best
          answer in each block that was read, best first.
        """
        question_ids, block_ids, scores = self._retrieve(question)
        blocks = self._settings.reader_blocks
        # [batch * blocks]
        texts = tf.reshape(tf.gather(self._texts, block_ids), [-1])
        bodies, byte_starts, byte_limits = self._tokenizer.tokenize_with_offsets(texts)
        token_ids, segment_ids, body_starts = pack_reader_inputs(
            tf.gather(question_ids, tf.repeat(tf.range(question_ids.nrows()), blocks)),
            bodies,
            self._settings.reader_length,
            self._vocabulary,
            question_length=self._settings.question_length,
        )
        # [batch * blocks, length, max_answer_length]
        span_logits, is_span = self._read(token_ids, segment_ids)
        joint = tf.where(is_span, span_logits + tf.reshape(scores, [-1, 1, 1]), float('-inf'))
        # [batch * blocks, spans]
        joint = tf.reshape(joint, [-1, span_logits.shape[1] * span_logits.shape[2]])
        best = tf.argmax(joint, axis=1, output_type=tf.int32)
        width = span_logits.shape[2]
        first = best // width - body_starts
        start = tf.cast(_at(byte_starts, first), tf.int32)
        limit = tf.cast(_at(byte_limits, first + best % width), tf.int32)
        # [batch, blocks]
        best_scores = tf.reshape(tf.reduce_max(joint, axis=1), [-1, blocks])
        totals = tf.reduce_logsumexp(tf.reshape(joint, [-1, blocks * joint.shape[1]]), axis=1)
        order = tf.argsort(best_scores, axis=1, direction='DESCENDING', stable=True)

        def ranked(values):
            return tf.gather(tf.reshape(values, [-1, blocks]), order, batch_dims=1)

        top = {
            'answer': ranked(tf.strings.substr(texts, start, limit - start)),
            'score': ranked(best_scores),
            'probability': ranked(tf.exp(best_scores - totals[:, tf.newaxis])),
            'block_id': ranked(block_ids),
            'title': ranked(tf.gather(self._titles, block_ids)),
            'text': ranked(texts),
            'start': ranked(start),
            'limit': ranked(limit),
        }
        return {name: values[:, 0] for name, values in top.items()} | {
            f'top_{name}': values for name, values in top.items()
        }

    def _retrieve(self, question):
        """Wordpieces of the questions; ids and exact scores of the best blocks, `[batch, reader_blocks]`."""
        cut = tf.strings.substr(question, 0, MAX_QUESTION_BYTES)
        # Whatever the bytes are, they are UTF-8 from here on.
        cut = tf.strings.unicode_transcode(cut, 'UTF-8', 'UTF-8', errors='replace')
        question_ids = self._tokenizer.tokenize(cut)
        packed = pack_queries(question_ids, self._settings.question_length, self._vocabulary)
        # [batch, dimension]
        queries = self._embed_queries(packed)
        block_ids, scores = self._searcher.search(queries, self._settings.reader_blocks)
        return question_ids, block_ids, scores


def save(answerer: QuestionAnswerer, path: str) -> None:
    """Writes the SavedModel with the signatures `serving_default` and `retrieve`."""
    signatures = {'serving_default': answerer.answer, 'retrieve': answerer.retrieve}
    tf.saved_model.save(answerer, path, signatures=signatures)


def _at(rows: tf.RaggedTensor, positions: tf.Tensor) -> tf.Tensor:
    """The value of each row at its position."""
    return tf.gather(rows.flat_values, tf.cast(rows.row_starts(), tf.int32) + positions)
