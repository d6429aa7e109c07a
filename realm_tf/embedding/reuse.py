"""Embeddings of an earlier corpus, taken over for the blocks that did not change."""

import numpy as np
from etils import epath

from realm_tf.artifacts import Artifact
from realm_tf.errors import RealmError
from realm_tf.search.embeddings import Embeddings


class ReusableEmbeddings:
    """Finds embeddings by the content of their block, wherever in the corpus it stood."""

    def __init__(self, embeddings: Embeddings):
        """Sorts the contents.

        Args:
          embeddings: those of the earlier corpus; see `require_reusable`.
        """
        self._embeddings = embeddings
        contents = np.concatenate(embeddings.contents())
        # [blocks]: the block of each hash, and the hashes in their order
        self._blocks = np.argsort(contents, kind='stable')
        self._contents = contents[self._blocks]

    @classmethod
    def open(cls, path: epath.PathLike) -> 'ReusableEmbeddings':
        """Opens an embeddings artefact."""
        return cls(Embeddings.open(path))

    def copy_into(self, embeddings: np.ndarray, contents: np.ndarray) -> np.ndarray:
        """Copies what is there.

        Args:
          embeddings: where it goes, float32 `[blocks, dimension]`.
          contents: hashes of the contents of those blocks, uint64 `[blocks]`.

        Returns:
          Which rows were copied, bool `[blocks]`.
        """
        places = np.minimum(np.searchsorted(self._contents, contents), len(self._contents) - 1)
        is_there = self._contents[places] == contents
        embeddings[is_there] = self._embeddings.rows(self._blocks[places[is_there]])
        return is_there


def require_reusable(embeddings: Embeddings, encoder: Artifact) -> None:
    """Checks that embeddings can be taken over.

    Args:
      embeddings: those of the earlier corpus.
      encoder: the encoder that embeds the blocks that changed.

    Raises:
      RealmError: if another encoder made them, or they do not say what they were made of.
    """
    embeddings.artifact.require_input('encoder', encoder)
    if not embeddings.has_contents:
        raise RealmError(
            f'{embeddings.artifact.path} does not say which contents its blocks had: it was imported, or made by an '
            'earlier release. Embed the corpus without --reuse.'
        )
