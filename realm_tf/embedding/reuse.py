"""Embeddings of an earlier corpus, taken over for the blocks that did not change."""

import numpy as np

from realm_tf.artifacts import Artifact
from realm_tf.errors import RealmError
from realm_tf.search.array_files import read_array
from realm_tf.search.embeddings import contents_files, embeddings_files, rows_by_shard


class ReusableEmbeddings:
    """Finds embeddings by the content of their block, wherever in the corpus it stood.

    Only the contents stay in memory. A shard is opened when a row of it is wanted; on an object store, read whole.
    """

    def __init__(self, artifact: Artifact):
        """Sorts the contents.

        Args:
          artifact: the embeddings of the earlier corpus; see `require_reusable`.
        """
        self._shards = embeddings_files(artifact)
        contents = [read_array(file) for file in contents_files(artifact)]
        # [shards + 1]: the first block of each, and the number of all
        self._starts = np.cumsum([0, *map(len, contents)])
        contents = np.concatenate(contents)
        # [blocks]: the block of each hash, and the hashes in their order
        self._blocks = np.argsort(contents, kind='stable')
        self._contents = contents[self._blocks]

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
        rows = np.flatnonzero(is_there)
        old_blocks = self._blocks[places[rows]]
        for shard, places, of_shard in rows_by_shard(self._starts, old_blocks):
            embeddings[rows[places]] = read_array(self._shards[shard])[of_shard]
        return is_there


def require_reusable(artifact: Artifact, encoder: Artifact) -> None:
    """Checks that embeddings can be taken over.

    Args:
      artifact: the embeddings of the earlier corpus.
      encoder: the encoder that embeds the blocks that changed.

    Raises:
      RealmError: if another encoder made them, or they do not say what they were made of.
    """
    artifact.require_input('encoder', encoder)
    if len(contents_files(artifact)) != len(embeddings_files(artifact)):
        raise RealmError(
            f'{artifact.path} does not say which contents its blocks had: it was imported, or made by an earlier '
            'release. Embed the corpus without --reuse.'
        )
