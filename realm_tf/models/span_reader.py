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
        # [batch, length, max_answer_length, span_size]
        spans = ops.relu(starts[:, :, None, :] + self._following(limits))
        # [batch * length * max_answer_length, 1]
        logits = self.score(self.layer_norm(ops.reshape(spans, (-1, self.span_size))))
        logits = ops.reshape(ops.cast(logits, 'float32'), (-1, length, self.max_answer_length))
        return logits, self._inside_block(segment_ids)

    def _following(self, values):
        """`[batch, length, …]` to `[batch, length, max_answer_length, …]`: entry (s, w) is position s + w, 0 beyond."""
        length = ops.shape(values)[1]
        padding = [[0, 0], [0, self.max_answer_length - 1]] + [[0, 0]] * (len(values.shape) - 2)
        padded = ops.pad(values, padding)
        return ops.stack([padded[:, width : width + length] for width in range(self.max_answer_length)], axis=2)

    def _inside_block(self, segment_ids):
        # A position is a wordpiece of the block if the block's segment goes on after it: the last one is its [SEP].
        # [batch, length]
        in_block = segment_ids * ops.pad(segment_ids[:, 1:], [[0, 0], [0, 1]])
        # [batch, length, max_answer_length]
        return ops.logical_and(ops.equal(in_block, 1)[:, :, None], ops.equal(self._following(in_block), 1))

    def get_config(self):
        return super().get_config() | {
            'encoder': self.encoder_arguments,
            'max_answer_length': self.max_answer_length,
            'span_size': self.span_size,
            'layer_norm_epsilon': self.layer_norm_epsilon,
        }
