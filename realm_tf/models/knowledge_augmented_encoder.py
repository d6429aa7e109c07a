"""The knowledge-augmented encoder of pre-training."""

import keras
from keras import ops

from realm_tf.models.bert_encoder import BertEncoder
from realm_tf.models.masked_language_model_head import MaskedLanguageModelHead


@keras.saving.register_keras_serializable(package='realm_tf')
class KnowledgeAugmentedEncoder(keras.layers.Layer):
    """Reads a masked sentence together with a document and predicts the masked wordpieces (REALM, section 3.1).

    Args:
      encoder: constructor arguments of the `BertEncoder`.

    Call arguments:
      token_ids: int32 `[batch, length]`: `[CLS] sentence [SEP] document body [SEP]`.
      segment_ids: int32 `[batch, length]`.
      mask_positions: int32 `[batch, num_masks]`: the positions to predict; 0 where a row has fewer.
      training: whether dropout is applied.

    Returns:
      Logits, float32 `[batch, num_masks, vocabulary_size]`. Only the masked positions meet the vocabulary.
    """

    def __init__(self, encoder: dict, **kwargs):
        super().__init__(**kwargs)
        self.encoder_arguments = dict(encoder)
        self.encoder = BertEncoder(**encoder, dtype=self.dtype_policy, name='encoder')
        self.head = MaskedLanguageModelHead(
            hidden_size=self.encoder.hidden_size,
            vocabulary_size=self.encoder.vocabulary_size,
            activation=self.encoder.activation,
            layer_norm_epsilon=self.encoder.layer_norm_epsilon,
            initializer_range=self.encoder.initializer_range,
            dtype=self.dtype_policy,
            name='head',
        )

    def build(self, input_shape=None):
        self.encoder.build()
        self.head.build()

    def call(self, token_ids, segment_ids, mask_positions, training=False):
        # [batch, length, hidden_size]
        hidden = self.encoder(token_ids, segment_ids, training=training)
        batch, num_masks = ops.shape(mask_positions)
        # [batch, num_masks, hidden_size]
        masked = ops.take_along_axis(hidden, mask_positions[:, :, None], axis=1)
        logits = self.head(ops.reshape(masked, (-1, self.encoder.hidden_size)), self.encoder.word_embeddings)
        return ops.reshape(logits, (batch, num_masks, self.encoder.vocabulary_size))

    def get_config(self):
        return super().get_config() | {'encoder': self.encoder_arguments}
