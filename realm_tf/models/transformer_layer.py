"""One layer of BERT."""

import math

import keras
from keras import ops

from realm_tf.models.dropout import Dropout
from realm_tf.models.recomputation import recomputed
from realm_tf.models.token_layout import AllTokens


@keras.saving.register_keras_serializable(package='realm_tf')
class TransformerLayer(keras.layers.Layer):
    """Self-attention and feed-forward, each with dropout, residual and LayerNorm after it (Devlin et al. 2019).

    Tokens are kept in one flat dimension, so that every dense layer is one plain matrix product, which need not have
    padding in it; query, key and value are one product.

    Args:
      hidden_size: width of the hidden states.
      num_heads: attention heads; divides `hidden_size`.
      intermediate_size: width of the feed-forward layer.
      activation: `'gelu_tanh'` (BERT) or `'gelu'` (exact).
      layer_norm_epsilon: epsilon of both LayerNorms.
      dropout: rate for attention probabilities and for what is added to the residuals.
      initializer_range: standard deviation of fresh kernels (truncated normal).
      rematerialize: keep only the input of the layer for the backward pass, and compute the rest again there: less
        memory, about a third more time.

    Call arguments:
      hidden: `[tokens, hidden_size]`.
      attention_bias: `[batch, 1, 1, length]`, added to the attention logits: 0, or very negative at padding.
      layout: where these tokens are in the batch; without it they are all that there are.
      training: whether dropout is applied.

    Returns:
      `[tokens, hidden_size]`.
    """

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        intermediate_size: int,
        activation: str = 'gelu_tanh',
        layer_norm_epsilon: float = 1e-12,
        dropout: float = 0.1,
        initializer_range: float = 0.02,
        rematerialize: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if hidden_size % num_heads:
            raise ValueError(f'hidden_size = {hidden_size} is not a multiple of num_heads = {num_heads}.')
        self.hidden_size = hidden_size
        self.num_heads = num_heads
        self.intermediate_size = intermediate_size
        self.activation = activation
        self.layer_norm_epsilon = layer_norm_epsilon
        self.dropout = dropout
        self.initializer_range = initializer_range
        self.rematerialize = rematerialize

        def dense(units, name):
            initializer = keras.initializers.TruncatedNormal(stddev=initializer_range)
            return keras.layers.Dense(units, kernel_initializer=initializer, dtype=self.dtype_policy, name=name)

        def layer_norm(name):
            return keras.layers.LayerNormalization(epsilon=layer_norm_epsilon, dtype=self.dtype_policy, name=name)

        self.query_key_value = dense(3 * hidden_size, 'query_key_value')
        self.attention_output = dense(hidden_size, 'attention_output')
        self.attention_layer_norm = layer_norm('attention_layer_norm')
        self.intermediate = dense(intermediate_size, 'intermediate')
        self.output_dense = dense(hidden_size, 'output')
        self.output_layer_norm = layer_norm('output_layer_norm')
        self.dropout_layer = Dropout(dropout, dtype=self.dtype_policy)

    def build(self, input_shape=None):
        hidden = (None, self.hidden_size)
        for layer in (
            self.query_key_value,
            self.attention_output,
            self.attention_layer_norm,
            self.intermediate,
            self.output_layer_norm,
        ):
            layer.build(hidden)
        self.output_dense.build((None, self.intermediate_size))

    def call(self, hidden, attention_bias, layout: AllTokens | None = None, training=False):
        # Of the bias, only its shape, [batch, length], says anything here.
        layout = layout or AllTokens(attention_bias[:, 0, 0])
        # For the probabilities and for both residuals, drawn once: what is computed again drops the same.
        dropouts = [self.dropout_layer.drawn(training) for _ in range(3)]

        def compute(hidden):
            return self._compute(hidden, attention_bias, layout, *dropouts)

        return recomputed(compute, hidden) if self.rematerialize and training else compute(hidden)

    def _compute(self, hidden, attention_bias, layout, drop_probabilities, drop_attended, drop_output):
        attended = self.attention_output(self._attend(hidden, attention_bias, layout, drop_probabilities))
        hidden = self.attention_layer_norm(hidden + drop_attended(attended))
        intermediate = self.intermediate(hidden)
        # TensorFlow's optimizer makes one kernel of a product and the tanh GELU after it, if the names of the GELU sort
        # after that of the product.
        with keras.name_scope('intermediate_activation'):
            intermediate = ops.gelu(intermediate, approximate=self.activation == 'gelu_tanh')
        return self.output_layer_norm(hidden + drop_output(self.output_dense(intermediate)))

    def _attend(self, hidden, attention_bias, layout, drop_probabilities):
        length = ops.shape(attention_bias)[3]
        head_size = self.hidden_size // self.num_heads
        # [3, batch, num_heads, length, head_size]
        parts = ops.reshape(layout.padded(self.query_key_value(hidden)), (-1, length, 3, self.num_heads, head_size))
        query, key, value = ops.unstack(ops.transpose(parts, (2, 0, 3, 1, 4)), axis=0)
        # [batch, num_heads, length, length]
        logits = ops.matmul(query * (1.0 / math.sqrt(head_size)), ops.swapaxes(key, 2, 3)) + attention_bias
        probabilities = drop_probabilities(ops.softmax(logits))
        # [batch, num_heads, length, head_size]
        attended = ops.matmul(probabilities, value)
        # [tokens, hidden_size]
        return layout.flat(ops.reshape(ops.transpose(attended, (0, 2, 1, 3)), (-1, length, self.hidden_size)))

    def get_config(self):
        return super().get_config() | {
            'hidden_size': self.hidden_size,
            'num_heads': self.num_heads,
            'intermediate_size': self.intermediate_size,
            'activation': self.activation,
            'layer_norm_epsilon': self.layer_norm_epsilon,
            'dropout': self.dropout,
            'initializer_range': self.initializer_range,
            'rematerialize': self.rematerialize,
        }
