"""BERT's masked-language-model head."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package='realm_tf')
class MaskedLanguageModelHead(keras.layers.Layer):
    """Predicts wordpieces from hidden states: dense, GELU, LayerNorm, then the tied word embeddings and a bias.

    Args:
      hidden_size: width of the hidden states.
      vocabulary_size: wordpieces.
      activation: `'gelu_tanh'` or `'gelu'`, as the encoder's.
      layer_norm_epsilon: epsilon of the LayerNorm.
      initializer_range: standard deviation of the fresh kernel.

    Call arguments:
      hidden: `[positions, hidden_size]`.
      word_embeddings: `[vocabulary_size, hidden_size]`.

    Returns:
      Logits, float32 `[positions, vocabulary_size]`.
    """

    def __init__(
        self,
        hidden_size: int,
        vocabulary_size: int,
        activation: str = 'gelu_tanh',
        layer_norm_epsilon: float = 1e-12,
        initializer_range: float = 0.02,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.hidden_size = hidden_size
        self.vocabulary_size = vocabulary_size
        self.activation = activation
        self.layer_norm_epsilon = layer_norm_epsilon
        self.initializer_range = initializer_range
        self.transform = keras.layers.Dense(
            hidden_size,
            kernel_initializer=keras.initializers.TruncatedNormal(stddev=initializer_range),
            dtype=self.dtype_policy,
            name='transform',
        )
        self.layer_norm = keras.layers.LayerNormalization(
            epsilon=layer_norm_epsilon, dtype=self.dtype_policy, name='layer_norm'
        )

    def build(self, input_shape=None):
        self.transform.build((None, self.hidden_size))
        self.layer_norm.build((None, self.hidden_size))
        self.bias = self.add_weight(shape=(self.vocabulary_size,), initializer='zeros', name='bias')

    def call(self, hidden, word_embeddings):
        transformed = ops.gelu(self.transform(hidden), approximate=self.activation == 'gelu_tanh')
        transformed = self.layer_norm(transformed)
        # [positions, vocabulary_size]
        logits = ops.matmul(transformed, ops.transpose(ops.cast(word_embeddings, transformed.dtype)))
        return ops.cast(logits, 'float32') + ops.cast(self.bias, 'float32')

    def get_config(self):
        return super().get_config() | {
            'hidden_size': self.hidden_size,
            'vocabulary_size': self.vocabulary_size,
            'activation': self.activation,
            'layer_norm_epsilon': self.layer_norm_epsilon,
            'initializer_range': self.initializer_range,
        }
