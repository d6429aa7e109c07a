"""Weights from elsewhere, under our names: what every importer returns."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from realm_tf.config import EncoderConfig
from realm_tf.errors import RealmError
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

    def body(self, part: str) -> dict[str, np.ndarray]:
        """The encoder of a part, by the names below it."""
        return {
            name.removeprefix('encoder/'): array
            for name, array in self.parts[part].items()
            if name.startswith('encoder/')
        }


def settings_of(pretrained: Pretrained) -> dict[str, Any]:
    """The settings that weights are bound to, by dotted name: those of their shapes, and those their source states."""
    settings = {f'encoder.{name}': value for name, value in dataclasses.asdict(pretrained.encoder).items()}
    # These are of the training, and every network may have its own.
    del settings['encoder.dropout'], settings['encoder.initializer_range']
    towers = [pretrained.parts[part] for part in (QUERY_TOWER, DOCUMENT_TOWER) if part in pretrained.parts]
    for tower in towers:
        settings['retriever.projection_size'] = tower['projection/bias'].shape[0]
        settings['retriever.pooling'] = 'cls' if 'pooler/kernel' in tower else 'mean'
    if len(towers) == 2:
        settings['retriever.shared_towers'] = all(
            np.array_equal(towers[0][name], towers[1][name]) for name in towers[0]
        )
    if READER in pretrained.parts:
        settings['finetune.reader_hidden_size'] = pretrained.parts[READER]['layer_norm/gamma'].shape[0]
    return settings | dict(pretrained.settings)


def together(sources: Sequence[Pretrained]) -> Pretrained:
    """Puts several sources together as one.

    Raises:
      RealmError: if two have the same part, or they are of different networks or vocabularies.
    """
    parts: dict[str, Mapping[str, np.ndarray]] = {}
    settings: dict[str, Any] = {}
    vocabulary = block_embeddings = None
    for source in sources:
        others = ' and '.join(other.source for other in sources if other is not source)
        twice = sorted(parts.keys() & source.parts.keys())
        if block_embeddings is not None and source.block_embeddings is not None:
            twice.append('block embeddings')
        if twice:
            raise RealmError(f'Both {source.source} and {others} have {", ".join(twice)}: name one of them.')
        for name, value in settings_of(source).items():
            if settings.setdefault(name, value) != value:
                raise RealmError(
                    f'{source.source} and {others} do not fit each other: {name} is {value!r} in one and '
                    f'{settings[name]!r} in the other.'
                )
        if vocabulary and source.vocabulary and vocabulary.digest != source.vocabulary.digest:
            raise RealmError(f'{source.source} and {others} have different vocabularies.')
        parts |= source.parts
        vocabulary = vocabulary or source.vocabulary
        if source.block_embeddings is not None:
            block_embeddings = source.block_embeddings
    return Pretrained(
        source=' and '.join(source.source for source in sources),
        encoder=sources[0].encoder,
        vocabulary=vocabulary,
        parts=parts,
        block_embeddings=block_embeddings,
        settings={name: value for source in sources for name, value in source.settings.items()},
    )
