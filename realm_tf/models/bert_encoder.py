"""The BERT encoder: the body of every network of REALM."""

import keras
from keras import ops

from realm_tf.models.dropout import Dropout
from realm_tf.models.token_layout import AllTokens, TokensWithoutPadding
from realm_tf.models.transformer_layer import TransformerLayer

# Added to the attention logits at padding; BERT's own value, finite so that a row of padding alone stays finite.
PADDING_BIAS = -10000.0


@keras.saving.register_keras_serializable(package='realm_tf')
class BertEncoder(keras.layers.Layer):
    """BERT without its heads (Devlin et al. 2019; sizes of BERT-base by default).

    Padding is recognised by its id, 0, and never changes the result at other positions.

    Args:
      num_layers: Transformer layers.
      hidden_size: width of the hidden states.
      num_heads: attention heads.
      intermediate_size: width of the feed-forward layers.
      vocabulary_size: wordpieces.
      max_positions: the longest input.
      num_segments: segment embeddings.
      activation: `'gelu_tanh'` (BERT) or `'gelu'` (exact).
      layer_norm_epsilon: epsilon of the LayerNorms.
      dropout: dropout rate.
      initializer_range: standard deviation of fresh weights (truncated normal).
      rematerialize: compute the inside of each layer again in the backward pass, in place of keeping it.
      skip_padding: compute what is not attention for tokens that are no padding alone. Shapes then depend on the
        tokens, which compilers for accelerators do not allow; hidden states at padding mean nothing either way.

    Call arguments:
      token_ids: int32 `[batch, length]`, padded with 0.
      segment_ids: int32 `[batch, length]`.
      training: whether dropout is applied.

    Returns:
      Hidden states, `[batch, length, hidden_size]`, in the compute dtype.

    Example:
      >>> encoder = BertEncoder(num_layers=2, hidden_size=64, num_heads=2, intermediate_size=128)
      >>> encoder(np.array([[101, 7592, 102]]), np.zeros((1, 3), 'int32')).shape
      (1, 3, 64)
    """

    def __init__(
        self,
        num_layers: int = 12,
        hidden_size: int = 768,
        num_heads: int = 12,
        intermediate_size: int = 3072,
        vocabulary_size: int = 30522,
        max_positions: int = 512,
        num_segments: int = 2,
        activation: str = 'gelu_tanh',
        layer_norm_epsilon: float = 1e-12,
        dropout: float = 0.1,
        initializer_range: float = 0.02,
        rematerialize: bool = False,
        skip_padding: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_layers = num_layers
        self.hidden_size = hidden_size
        self.num_heads = num_heads
        self.intermediate_size = intermediate_size
        self.vocabulary_size = vocabulary_size
        self.max_positions = max_positions
        self.num_segments = num_segments
        self.activation = activation
        self.layer_norm_epsilon = layer_norm_epsilon
        self.dropout = dropout
        self.initializer_range = initializer_range
        self.rematerialize = rematerialize
        self.skip_padding = skip_padding
        self.embedding_layer_norm = keras.layers.LayerNormalization(
            epsilon=layer_norm_epsilon, dtype=self.dtype_policy, name='embedding_layer_norm'
        )
        self.embedding_dropout = Dropout(dropout, dtype=self.dtype_policy)
        self.layers = [
            TransformerLayer(
                hidden_size=hidden_size,
                num_heads=num_heads,
                intermediate_size=intermediate_size,
                activation=activation,
                layer_norm_epsilon=layer_norm_epsilon,
                dropout=dropout,
                initializer_range=initializer_range,
                rematerialize=rematerialize,
                dtype=self.dtype_policy,
                name=f'layer_{index}',
            )
            for index in range(num_layers)
        ]

    def build(self, input_shape=None):
        initializer = keras.initializers.TruncatedNormal(stddev=self.initializer_range)

        def table(rows, name):
            return self.add_weight(shape=(rows, self.hidden_size), initializer=initializer.clone(), name=name)

        self.word_embeddings = table(self.vocabulary_size, 'word_embeddings')
        self.position_embeddings = table(self.max_positions, 'position_embeddings')
        self.segment_embeddings = table(self.num_segments, 'segment_embeddings')
        self.embedding_layer_norm.build((None, self.hidden_size))
        for layer in self.layers:
            layer.build()

    def call(self, token_ids, segment_ids, training=False):
        return self.layer_outputs(token_ids, segment_ids, training=training)[-1]

    def layer_outputs(self, token_ids, segment_ids, training=False):
        """The hidden states after each layer; the last are what a call returns."""
        length = ops.shape(token_ids)[1]
        layout = TokensWithoutPadding(token_ids) if self.skip_padding else AllTokens(token_ids)
        # [batch, length, hidden_size]
        embedded = (
            ops.take(self.word_embeddings, token_ids, axis=0)
            + self.position_embeddings[:length]
            + ops.take(self.segment_embeddings, segment_ids, axis=0)
        )
        # [batch, 1, 1, length]
        attention_bias = ops.cast(ops.equal(token_ids, 0), self.compute_dtype)[:, None, None, :] * PADDING_BIAS
        # [tokens, hidden_size]
        hidden = self.embedding_layer_norm(layout.flat(embedded))
        hidden = self.embedding_dropout(hidden, training=training)
        outputs = []
        for layer in self.layers:
            hidden = layer(hidden, attention_bias, layout=layout, training=training)
            outputs.append(layout.padded(hidden))
        return outputs

    def get_config(self):
        return super().get_config() | {
            'num_layers': self.num_layers,
            'hidden_size': self.hidden_size,
            'num_heads': self.num_heads,
            'intermediate_size': self.intermediate_size,
            'vocabulary_size': self.vocabulary_size,
            'max_positions': self.max_positions,
            'num_segments': self.num_segments,
            'activation': self.activation,
            'layer_norm_epsilon': self.layer_norm_epsilon,
            'dropout': self.dropout,
            'initializer_range': self.initializer_range,
            'rematerialize': self.rematerialize,
            'skip_padding': self.skip_padding,
        }
