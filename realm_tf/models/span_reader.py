"""The reader of fine-tuning: scores every short span of a block as the answer."""

import keras
from keras import ops

from realm_tf.models.bert_encoder import BertEncoder


@keras.saving.register_keras_serializable(package='realm_tf')
class SpanReader(keras.layers.Layer):
    """Scores answer spans from the hidden states of their ends (ORQA, section 4; REALM fine-tuning).

    Args:
      encoder: constructor arguments of the `BertEncoder`.
      max_answer_length: the longest answer, in wordpieces.
      span_size: width of the span representation.
      layer_norm_epsilon: epsilon of the LayerNorm on span representations.

    Call arguments:
      token_ids: int32 `[batch, length]`: `[CLS] question [SEP] block [SEP]`.
      segment_ids: int32 `[batch, length]`: 1 on the block and its [SEP].
      training: whether dropout is applied.

    Returns:
      A tuple of
      span logits, float32 `[batch, length, max_answer_length]`: entry (s, w) is the span from position s to s + w;
      whether it is a span of the block, bool of the same shape.
    """

    def __init__(
        self,
        encoder: dict,
        max_answer_length: int = 10,
        span_size: int = 256,
        layer_norm_epsilon: float = 1e-3,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.encoder_arguments = dict(encoder)
        self.max_answer_length = max_answer_length
        self.span_size = span_size
        self.layer_norm_epsilon = layer_norm_epsilon
        self.encoder = BertEncoder(**encoder, dtype=self.dtype_policy, name='encoder')

        def dense(units, name):
            initializer = keras.initializers.TruncatedNormal(stddev=self.encoder.initializer_range)
            return keras.layers.Dense(units, kernel_initializer=initializer, dtype=self.dtype_policy, name=name)

        self.ends = dense(2 * span_size, 'ends')
        self.layer_norm = keras.layers.LayerNormalization(
            epsilon=layer_norm_epsilon, dtype=self.dtype_policy, name='layer_norm'
        )
        self.score = dense(1, 'score')

    def build(self, input_shape=None):
        self.encoder.build()
        self.ends.build((None, self.encoder.hidden_size))
        self.layer_norm.build((None, self.span_size))
        self.score.build((None, self.span_size))

    def call(self, token_ids, segment_ids, training=False):
        # [batch, length, hidden_size]
        hidden = self.encoder(token_ids, segment_ids, training=training)
        length = ops.shape(hidden)[1]
        ends = self.ends(ops.reshape(hidden, (-1, self.encoder.hidden_size)))
        # [batch, length, span_size] each
        starts, limits = ops.split(ops.reshape(ends, (-1, length, 2 * self.span_size)), 2, axis=2)
        # One width after another: tensors of all widths at once are too large for the caches of a processor.
        logits = [self._score(starts + of_width) for of_width in self._following(limits)]
        # [batch, length, max_answer_length]
        return ops.cast(ops.stack(logits, axis=2), 'float32'), self._inside_block(segment_ids)

    def _score(self, spans):
        """`[batch, length, span_size]` to `[batch, length]`."""
        flat = ops.reshape(ops.relu(spans), (-1, self.span_size))
        return ops.reshape(self.score(self.layer_norm(flat)), (-1, ops.shape(spans)[1]))

    def _following(self, values):
        """For each width w of a span, `[batch, length, …]` like the values: position s + w at position s, 0 beyond."""
        beyond = [[0, 0] for _ in values.shape]
        beyond[1][1] = self.max_answer_length - 1
        padded = ops.pad(values, beyond)
        # The gradient of a slice is a padding; that of an index would be several times slower.
        starts = ((0, width, *[0] * (len(values.shape) - 2)) for width in range(self.max_answer_length))
        return [ops.slice(padded, start, ops.shape(values)) for start in starts]

    def _inside_block(self, segment_ids):
        # A position is a wordpiece of the block if the block's segment goes on after it: the last one is its [SEP].
        # [batch, length]
        in_block = ops.equal(segment_ids * ops.pad(segment_ids[:, 1:], [[0, 0], [0, 1]]), 1)
        ends_in_block = ops.stack(self._following(ops.cast(in_block, 'int32')), axis=2)
        # [batch, length, max_answer_length]
        return ops.logical_and(in_block[:, :, None], ops.equal(ends_in_block, 1))

    def get_config(self):
        return super().get_config() | {
            'encoder': self.encoder_arguments,
            'max_answer_length': self.max_answer_length,
            'span_size': self.span_size,
            'layer_norm_epsilon': self.layer_norm_epsilon,
        }
