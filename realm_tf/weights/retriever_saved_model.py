"""A SavedModel of the retriever."""

import tensorflow as tf
from etils import epath

from realm_tf.models.dual_encoder import DualEncoder

_IDS = tf.TensorSpec([None, None], tf.int32)


class RetrieverModule(tf.Module):
    """The retriever as TensorFlow functions.

    It tracks the raw variables, not the Keras layer: a SavedModel that tracks the layer does not open in TensorFlow
    Serving's loader.
    """

    def __init__(self, retriever: DualEncoder):
        super().__init__()
        self._variables = [variable.value for variable in retriever.variables]

        @tf.function(input_signature=[_IDS])
        def embed_query(token_ids):
            return {'embedding': retriever.embed_queries(token_ids)}

        @tf.function(input_signature=[_IDS, _IDS])
        def embed_document(token_ids, segment_ids):
            return {'embedding': retriever.embed_documents(token_ids, segment_ids)}

        self.embed_query = embed_query
        self.embed_document = embed_document


def save_retriever(retriever: DualEncoder, path: epath.PathLike) -> None:
    """Writes a SavedModel that `tf.saved_model.load` and `hub.load` open.

    Its signatures are `embed_query(token_ids)` and `embed_document(token_ids, segment_ids)`, int32 `[batch, length]`
    padded with 0, and give `embedding`, float32 `[batch, dimension]`.
    """
    module = RetrieverModule(retriever)
    signatures = {'embed_query': module.embed_query, 'embed_document': module.embed_document}
    tf.saved_model.save(module, str(path), signatures=signatures)
