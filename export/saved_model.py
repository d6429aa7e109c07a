"""The trained system as one graph: question text in, answer and evidence out."""

import tensorflow as tf

from export.distinct_answers import most_probable
from export.packing import pack_documents, pack_queries, pack_reader_inputs
from export.parts import in_parts
from export.search import GraphSearcher
from realm_tf.corpus.block_store import BlockStore
from realm_tf.models.dual_encoder import DualEncoder
from realm_tf.text.wordpiece import WordPieceTokenizer
from realm_tf.weights.model_artifact import Model
from realm_tf.weights.networks import for_inference

# Of a longer text what is beyond is not looked at; nothing that fits a network is longer.
MAX_QUESTION_BYTES = 4096
MAX_TEXT_BYTES = 1 << 16
# The best spans of a block that are kept; what lies beyond them has next to no probability.
_SPANS_KEPT = 32


class QuestionAnswerer(tf.Module):
    """Tokenizer, query tower, search, block fetch, reader and answer text in one module.

    It tracks raw variables, not Keras layers: a SavedModel that tracks a Keras layer does not open in TensorFlow
    Serving's loader. Texts lie in variables, as a constant above 2 GB cannot be saved.

    No text, and no number of them, makes it fail: what is not UTF-8 is replaced, what is too long is cut, and batches
    are computed in parts. A question without a word has no answer.

    Args:
      model: the QA model.
      corpus: its corpus.
      searcher: over its embeddings of the corpus.
      min_probability: an answer that is less probable is not given.
      encoder: the dual encoder that made these embeddings; None: documents are embedded by the model's own document
        tower, or not at all where fine-tuning left that behind.
    """

    def __init__(
        self,
        model: Model,
        corpus: BlockStore,
        searcher: GraphSearcher,
        min_probability: float = 0.0,
        encoder: DualEncoder | None = None,
    ):
        super().__init__()
        rows = list(range(len(corpus)))
        retriever, reader = for_inference(model.retriever()), for_inference(model.reader())
        if encoder is not None:
            encoder = for_inference(encoder)
        elif model.has_document_tower:
            encoder = retriever
        self._settings = model.config.finetune
        self._document_length = corpus.block_length
        self._min_probability = min_probability
        self._vocabulary = model.vocabulary
        self._tokenizer = WordPieceTokenizer(model.vocabulary)
        self._searcher = searcher
        layers = filter(None, (retriever.query_tower, reader, encoder and encoder.document_tower))
        self._weights = [variable.value for layer in layers for variable in layer.variables]
        # The bound methods alone: a layer as an attribute would be tracked, and its weights saved twice.
        self._embed_queries = retriever.embed_queries
        self._read_spans = reader.__call__
        self._titles = tf.Variable(tf.constant(corpus.titles(rows)), trainable=False, name='titles')
        self._texts = tf.Variable(tf.constant(corpus.texts(rows)), trainable=False, name='texts')

        def signature(compute, *inputs):
            specs = {name: tf.TensorSpec([None], tf.string, name=name) for name in inputs}
            return in_parts(compute, specs, compute.__name__.strip('_'))

        self.functions = {
            'serving_default': signature(self._answer, 'question'),
            'retrieve': signature(self._retrieve, 'question'),
            'embed_query': signature(self._embed_query, 'question'),
            'read': signature(self._read, 'question', 'text'),
        }
        if encoder is not None:
            self._embed_documents = encoder.embed_documents
            self.functions['embed_document'] = signature(self._embed_document, 'title', 'text')

    def _answer(self, question):
        """Answers questions.

        Returns:
          The answer to each, `[batch]`: `answer`, its `probability` (of all spans of the blocks read that are the same
          after the normalisation of exact match), `score` (the logit of the best of these spans, with the retriever's
          score in it), `block_id`, `title` and `text` of the block of that span, and where it stands there, `start`
          and `limit`, in bytes. With `top_` before the name, `[batch, reader_blocks]`: the most probable distinct
          answers. Where there are fewer, texts are empty, numbers 0, and block ids -1.
        """
        question_ids = self._tokenize(question, MAX_QUESTION_BYTES)
        block_ids, scores = self._search(question_ids)
        # [batch, blocks]
        texts = tf.gather(self._texts, tf.maximum(block_ids, 0))
        answers, block_ranks, fields = self._best_spans(question_ids, texts, scores)

        def of_blocks(values):
            return tf.gather(values, tf.maximum(tf.gather(block_ids, block_ranks, batch_dims=1), 0))

        has_words = tf.cast(question_ids.row_lengths() > 0, tf.float32)
        probability = fields['probability'] * has_words[:, tf.newaxis]
        is_given = (probability > 0) & (probability >= self._min_probability)
        top = {
            'answer': answers,
            **fields,
            'probability': probability,
            'block_id': tf.gather(block_ids, block_ranks, batch_dims=1),
            'title': of_blocks(self._titles),
            'text': of_blocks(self._texts),
        }
        nothing = {'block_id': tf.constant(-1, tf.int64)}
        top = {
            name: tf.where(is_given, values, nothing.get(name, tf.zeros([], values.dtype)))
            for name, values in top.items()
        }
        return {name: values[:, 0] for name, values in top.items()} | {
            f'top_{name}': values for name, values in top.items()
        }

    def _retrieve(self, question):
        """The blocks that are read: `block_id`, `score`, `title`, `text`, each `[batch, reader_blocks]`, best first."""
        block_ids, scores = self._search(self._tokenize(question, MAX_QUESTION_BYTES))
        is_there = block_ids >= 0
        present = tf.maximum(block_ids, 0)
        return {
            'block_id': block_ids,
            'score': scores,
            'title': tf.where(is_there, tf.gather(self._titles, present), ''),
            'text': tf.where(is_there, tf.gather(self._texts, present), ''),
        }

    def _embed_query(self, question):
        """The questions in the space of the blocks: `embedding`, float32 `[batch, dimension]`."""
        question_ids = self._tokenize(question, MAX_QUESTION_BYTES)
        packed = pack_queries(question_ids, self._settings.question_length, self._vocabulary)
        return {'embedding': self._embed_queries(packed)}

    def _embed_document(self, title, text):
        """Documents that need not be in the corpus: `embedding`, float32 `[batch, dimension]`."""
        titles, bodies = self._tokenize(title, MAX_QUESTION_BYTES), self._tokenize(text, MAX_TEXT_BYTES)
        packed = pack_documents(titles, bodies, self._document_length, self._vocabulary)
        return {'embedding': self._embed_documents(*packed)}

    def _read(self, question, text):
        """Answers each question from a text of its own: `answer`, `probability`, `score`, `start`, `limit`, `[batch]`.

        Offsets are into the first 65,536 bytes of the text, what is not UTF-8 replaced.
        """
        question_ids, texts = self._tokenize(question, MAX_QUESTION_BYTES), _utf8(text, MAX_TEXT_BYTES)
        no_scores = tf.zeros([tf.shape(texts)[0], 1])
        answers, _, fields = self._best_spans(question_ids, texts[:, tf.newaxis], no_scores)
        return {name: values[:, 0] for name, values in ({'answer': answers} | fields).items()}

    def _tokenize(self, texts, max_bytes):
        return self._tokenizer.tokenize(_utf8(texts, max_bytes))

    def _search(self, question_ids):
        """Ids, -1 where there are fewer, and exact scores of the best blocks, `[batch, reader_blocks]`."""
        packed = pack_queries(question_ids, self._settings.question_length, self._vocabulary)
        return self._searcher.search(self._embed_queries(packed), self._settings.reader_blocks)

    def _best_spans(self, question_ids, texts, block_scores):
        """The most probable distinct answers in texts.

        Args:
          question_ids: wordpieces of the questions, `[batch, (pieces)]`.
          texts: string `[batch, blocks]`.
          block_scores: what is added to the logits of a text's spans, `[batch, blocks]`; -inf leaves it out.

        Returns:
          Words of the best span of each answer, in which of the texts it stands, and its `score`, `probability`,
          `start` and `limit`; each `[batch, reader_blocks]`.
        """
        blocks = tf.shape(texts)[1]
        # [batch * blocks]
        texts = tf.reshape(texts, [-1])
        bodies, byte_starts, byte_limits = self._tokenizer.tokenize_with_offsets(texts)
        token_ids, segment_ids, body_starts = pack_reader_inputs(
            tf.gather(question_ids, tf.repeat(tf.range(question_ids.nrows()), blocks)),
            bodies,
            self._settings.reader_length,
            self._vocabulary,
            question_length=self._settings.question_length,
        )
        # [batch * blocks, length, max_answer_length]
        span_logits, is_span = self._read_spans(token_ids, segment_ids)
        joint = tf.where(is_span, span_logits + tf.reshape(block_scores, [-1, 1, 1]), float('-inf'))
        # [batch * blocks, kept]
        joint = tf.reshape(joint, [-1, tf.shape(joint)[1] * self._settings.max_answer_length])
        scores, spans = tf.math.top_k(joint, tf.minimum(_SPANS_KEPT, tf.shape(joint)[1]))
        first = spans // self._settings.max_answer_length - body_starts[:, tf.newaxis]
        start = _at(byte_starts, first)
        limit = _at(byte_limits, first + spans % self._settings.max_answer_length)
        is_there = tf.math.is_finite(scores)
        start, limit = tf.where(is_there, start, 0), tf.where(is_there, limit, 0)
        words = tf.strings.substr(tf.repeat(texts[:, tf.newaxis], tf.shape(spans)[1], axis=1), start, limit - start)
        ranks = tf.repeat(tf.range(blocks)[tf.newaxis], question_ids.nrows(), axis=0)
        ranks = tf.repeat(tf.reshape(ranks, [-1, 1]), tf.shape(spans)[1], axis=1)

        def of_question(values):
            return tf.reshape(values, [question_ids.nrows(), blocks * tf.shape(values)[1]])

        # [batch, blocks * kept], best first
        order = tf.argsort(of_question(scores), axis=1, direction='DESCENDING', stable=True)
        words, ranks, scores, start, limit = (
            tf.gather(of_question(values), order, batch_dims=1) for values in (words, ranks, scores, start, limit)
        )
        # [batch]
        totals = tf.reduce_logsumexp(of_question(joint), axis=1)
        # [batch, reader_blocks]
        places, probability = most_probable(words, scores, totals, self._settings.reader_blocks)
        words, ranks, scores, start, limit = (
            tf.gather(values, places, batch_dims=1) for values in (words, ranks, scores, start, limit)
        )
        scores = tf.where(tf.math.is_finite(scores), scores, 0.0)
        return words, ranks, {'score': scores, 'probability': probability, 'start': start, 'limit': limit}


def save(answerer: QuestionAnswerer, path: str) -> None:
    """Writes the SavedModel, with the functions of the answerer as its signatures."""
    tf.saved_model.save(answerer, path, signatures=answerer.functions)


def _utf8(texts: tf.Tensor, max_bytes: int) -> tf.Tensor:
    """The texts cut to so many bytes, as UTF-8, whatever their bytes are."""
    return tf.strings.unicode_transcode(tf.strings.substr(texts, 0, max_bytes), 'UTF-8', 'UTF-8', errors='replace')


def _at(rows: tf.RaggedTensor, positions: tf.Tensor) -> tf.Tensor:
    """The values of each row at its positions, int32 `[rows, positions]`; any value where there is no such position."""
    places = tf.cast(rows.row_starts(), tf.int32)[:, tf.newaxis] + positions
    # One more, as there may be none.
    values = tf.concat([tf.cast(rows.flat_values, tf.int32), [0]], axis=0)
    return tf.gather(values, tf.clip_by_value(places, 0, tf.size(values) - 1))
