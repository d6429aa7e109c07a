"""The neural retriever: queries and documents in one space."""

import keras
from keras import ops

from realm_tf.models.retriever_tower import RetrieverTower


@keras.saving.register_keras_serializable(package='realm_tf')
class DualEncoder(keras.layers.Layer):
    """The neural retriever of REALM (section 3.1): relevance is the inner product of two embeddings.

    Args:
      tower: constructor arguments of the `RetrieverTower`s.
      shared_towers: one tower for queries and documents (the released code), or one for each.

    Call arguments:
      query_token_ids: int32 `[batch, query_length]`.
      document_token_ids, document_segment_ids: int32 `[num_documents, document_length]`.
      training: whether dropout is applied.

    Returns:
      Relevance scores, float32 `[batch, num_documents]`.
    """

    def __init__(self, tower: dict, shared_towers: bool = True, **kwargs):
        super().__init__(**kwargs)
        self.tower_arguments = dict(tower)
        self.shared_towers = shared_towers
        if shared_towers:
            self.query_tower = self.document_tower = RetrieverTower(**tower, dtype=self.dtype_policy, name='tower')
        else:
            self.query_tower = RetrieverTower(**tower, dtype=self.dtype_policy, name='query_tower')
            self.document_tower = RetrieverTower(**tower, dtype=self.dtype_policy, name='document_tower')

    def build(self, input_shape=None):
        self.query_tower.build()
        if not self.shared_towers:
            self.document_tower.build()

    def embed_queries(self, token_ids, training=False):
        """Embeds `[CLS] query [SEP]`: int32 `[batch, length]` to float32 `[batch, projection_size]`."""
        return self.query_tower(token_ids, ops.zeros_like(token_ids), training=training)

    def embed_documents(self, token_ids, segment_ids, training=False):
        """Embeds `[CLS] title [SEP] body [SEP]`: int32 `[batch, length]` to float32 `[batch, projection_size]`."""
        return self.document_tower(token_ids, segment_ids, training=training)

    def call(self, query_token_ids, document_token_ids, document_segment_ids, training=False):
        # [batch, projection_size], [num_documents, projection_size]
        queries = self.embed_queries(query_token_ids, training=training)
        documents = self.embed_documents(document_token_ids, document_segment_ids, training=training)
        return ops.matmul(queries, ops.transpose(documents))

    def get_config(self):
        return super().get_config() | {'tower': self.tower_arguments, 'shared_towers': self.shared_towers}
