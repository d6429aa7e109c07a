"""Weights from elsewhere, under our names: what every importer returns."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from realm_tf.config import EncoderConfig
from realm_tf.text.vocabulary import Vocabulary

# What a source may have, by the names below it; `named_parameters` of our networks gives the same names.
BERT = 'bert'  # encoder/…; where there, pooler/{kernel,bias} and head/{transform/…,layer_norm/…,bias}
QUERY_TOWER = 'query_tower'  # encoder/…, pooler/… (not with mean pooling), projection/…, projection_layer_norm/…
DOCUMENT_TOWER = 'document_tower'  # the same; a source with one tower for both gives the same arrays twice
KNOWLEDGE_AUGMENTED_ENCODER = 'knowledge_augmented_encoder'  # encoder/…, head/…
READER = 'reader'  # encoder/…, ends/…, layer_norm/…, score/…


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """Weights from elsewhere.

    Attributes:
      source: where they come from, for messages.
      encoder: the BERT they are of. Dropout and the initializer's range are settings of training and may be anything.
      vocabulary: its wordpieces; None where the source has none.
      parts: for each part, its parameters by their names below it, float32.
      block_embeddings: embeddings of the blocks of a corpus, in order, float32 `[blocks, dimension]`: any array that
        can be sliced by rows, memory-mapped where possible; None where the source has none.
      settings: further settings that the weights were trained with, by dotted name, where the source states them and
        no shape tells them: `retriever.projection_layer_norm_epsilon`, `finetune.reader_layer_norm_epsilon`.
    """

    source: str
    encoder: EncoderConfig
    vocabulary: Vocabulary | None
    parts: Mapping[str, Mapping[str, np.ndarray]]
    block_embeddings: np.ndarray | None = None
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
