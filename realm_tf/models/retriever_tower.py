"""One tower of the retriever: text in, embedding out."""

import keras
from keras import ops

from realm_tf.models.bert_encoder import BertEncoder
from realm_tf.models.dropout import Dropout


@keras.saving.register_keras_serializable(package='realm_tf')
class RetrieverTower(keras.layers.Layer):
    """Encoder, pooling, projection, LayerNorm (REALM, section 3.1; the LayerNorm is the released code's).

    Args:
      encoder: constructor arguments of the `BertEncoder`.
      projection_size: size of an embedding.
      pooling: `'cls'`, BERT's tanh-pooled [CLS], or `'mean'`, the mean over the wordpieces.
      projection_layer_norm_epsilon: epsilon of the LayerNorm on the projection.

    Call arguments:
      token_ids: int32 `[batch, length]`.
      segment_ids: int32 `[batch, length]`.
      training: whether dropout is applied.

    Returns:
      Embeddings, float32 `[batch, projection_size]`.
    """

    def __init__(
        self,
        encoder: dict,
        projection_size: int = 128,
        pooling: str = 'cls',
        projection_layer_norm_epsilon: float = 1e-12,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if pooling not in ('cls', 'mean'):
            raise ValueError(f"pooling = {pooling!r}: it is 'cls' or 'mean'.")
        self.encoder_arguments = dict(encoder)
        self.projection_size = projection_size
        self.pooling = pooling
        self.projection_layer_norm_epsilon = projection_layer_norm_epsilon
        self.encoder = BertEncoder(**encoder, dtype=self.dtype_policy, name='encoder')

        def dense(units, name, dtype):
            initializer = keras.initializers.TruncatedNormal(stddev=self.encoder.initializer_range)
            return keras.layers.Dense(units, kernel_initializer=initializer, dtype=dtype, name=name)

        if pooling == 'cls':
            self.pooler = dense(self.encoder.hidden_size, 'pooler', self.dtype_policy)
        # The few products after pooling stay in float32: the scores are made of them.
        self.projection = dense(projection_size, 'projection', 'float32')
        self.projection_layer_norm = keras.layers.LayerNormalization(
            epsilon=projection_layer_norm_epsilon, dtype='float32', name='projection_layer_norm'
        )
        self.projection_dropout = Dropout(self.encoder.dropout, dtype='float32')

    def build(self, input_shape=None):
        self.encoder.build()
        if self.pooling == 'cls':
            self.pooler.build((None, self.encoder.hidden_size))
        self.projection.build((None, self.encoder.hidden_size))
        self.projection_layer_norm.build((None, self.projection_size))

    def call(self, token_ids, segment_ids, training=False):
        projected = self.projection(self.pool(token_ids, segment_ids, training=training))
        return self.projection_dropout(self.projection_layer_norm(projected), training=training)

    def pool(self, token_ids, segment_ids, training=False):
        """The pooled text before the projection, float32 `[batch, hidden_size]`."""
        return self.pool_hidden(self.encoder(token_ids, segment_ids, training=training), token_ids)

    def pool_hidden(self, hidden, token_ids):
        """The pooled text from the encoder's hidden states, `[batch, length, hidden_size]`."""
        if self.pooling == 'cls':
            return ops.cast(ops.tanh(self.pooler(hidden[:, 0])), 'float32')
        # [batch, length, 1]
        present = ops.cast(ops.not_equal(token_ids, 0), 'float32')[:, :, None]
        # A row of padding alone, which fills up a batch, becomes zeros.
        return ops.sum(ops.cast(hidden, 'float32') * present, axis=1) / ops.maximum(ops.sum(present, axis=1), 1.0)

    def get_config(self):
        return super().get_config() | {
            'encoder': self.encoder_arguments,
            'projection_size': self.projection_size,
            'pooling': self.pooling,
            'projection_layer_norm_epsilon': self.projection_layer_norm_epsilon,
        }
