"""The corpus artefact: blocks of documents, memory-mapped."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from etils import epath

from realm_tf.artifacts import Artifact, open_artifact
from realm_tf.corpus.arrow_shards import INT_LIST, ArrowShards, write_shard
from realm_tf.errors import RealmError
from realm_tf.text.packing import title_limit
from realm_tf.text.ragged import Ragged
from realm_tf.text.vocabulary import Vocabulary

KIND = 'corpus'
VOCABULARY = 'vocab.txt'
SHARDS = 'blocks'
_SCHEMA = pa.schema(
    [
        ('document_id', pa.string()),
        ('title', pa.string()),
        ('text', pa.string()),
        ('title_ids', INT_LIST),
        ('body_ids', INT_LIST),
        ('sentence_starts', INT_LIST),
    ]
)


class Block(NamedTuple):
    """A block of a document.

    Attributes:
      document_id: the document it is part of.
      title: the document's title.
      text: its slice of the document's text.
      title_ids: wordpieces of the title.
      body_ids: wordpieces of the text.
      sentence_starts: the first wordpiece of each sentence, as an index into `body_ids`.
    """

    document_id: str
    title: str
    text: str
    title_ids: Sequence[int]
    body_ids: Sequence[int]
    sentence_starts: Sequence[int]


def write_blocks(path: epath.PathLike, blocks: Sequence[Block], counts: Mapping[str, int] | None = None) -> None:
    """Writes one shard of a corpus; `counts` are kept in it, for `shard_counts`."""
    columns = zip(*blocks, strict=True) if blocks else [[] for _ in _SCHEMA]
    arrays = [pa.array(list(column), field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
    write_shard(path, pa.Table.from_arrays(arrays, schema=_SCHEMA), counts)


class BlockStore:
    """The blocks of a corpus; a block's id is its row.

    Nothing is read until it is asked for: thirteen million blocks open at once.

    Attributes:
      artifact: the corpus artefact.
      vocabulary: what it was tokenised with.
      block_length: the longest block packed as a document, in wordpieces.
      shard_ranges: the blocks of each shard.
    """

    def __init__(self, artifact: Artifact):
        self.artifact = artifact
        self.vocabulary = Vocabulary.read(artifact.path / VOCABULARY)
        self.block_length: int = artifact.configuration['block_length']
        names = sorted(name for name in artifact.files if name.startswith(f'{SHARDS}-'))
        self._shards = ArrowShards([artifact.path / name for name in names])
        self.shard_ranges = self._shards.ranges

    @classmethod
    def open(cls, path: epath.PathLike) -> 'BlockStore':
        """Opens a corpus artefact.

        Raises:
          RealmError: if there is none, or it is not whole.
        """
        return cls(open_artifact(path, KIND))

    def require_vocabulary(self, vocabulary: Vocabulary, source: epath.PathLike) -> None:
        """Checks that the wordpiece ids of the blocks are those an encoder was trained on.

        Args:
          vocabulary: the encoder's.
          source: the encoder, for the message.

        Raises:
          RealmError: if the vocabularies differ.
        """
        if vocabulary.digest != self.vocabulary.digest:
            raise RealmError(
                f'The corpus {self.artifact.path} has another vocabulary '
                f'({len(self.vocabulary.pieces)} pieces, {self.vocabulary.digest[:12]}) than the encoder '
                f'{source} ({len(vocabulary.pieces)} pieces, {vocabulary.digest[:12]}). '
                "Build the corpus with the encoder's vocab.txt."
            )

    def __len__(self) -> int:
        return len(self._shards)

    def title_ids(self, rows: np.ndarray) -> Ragged:
        """Wordpieces of the titles of blocks."""
        return self._shards.lists('title_ids', rows)

    def body_ids(self, rows: np.ndarray) -> Ragged:
        """Wordpieces of the texts of blocks."""
        return self._shards.lists('body_ids', rows)

    def sentence_starts(self, rows: np.ndarray) -> Ragged:
        """The first wordpiece of each sentence of blocks."""
        return self._shards.lists('sentence_starts', rows)

    def sentence_counts(self) -> np.ndarray:
        """How many sentences every block has, int64 `[blocks]`."""
        return self._shards.list_lengths('sentence_starts')

    def titles(self, rows: np.ndarray) -> list[str]:
        """The titles of blocks."""
        return self._shards.texts('title', rows)

    def texts(self, rows: np.ndarray) -> list[str]:
        """The texts of blocks."""
        return self._shards.texts('text', rows)

    def document_ids(self, rows: np.ndarray) -> list[str]:
        """The documents that blocks are part of."""
        return self._shards.texts('document_id', rows)

    def document_numbers(self) -> np.ndarray:
        """The documents counted in their order, int32 `[blocks]`: equal for blocks of one document.

        The blocks of a document lie one after the other, in one shard.
        """
        return self._shards.run_numbers('document_id')

    def lengths(self) -> np.ndarray:
        """Wordpieces of every block packed as a document, int64 `[blocks]`."""
        titles = np.minimum(self._shards.list_lengths('title_ids'), title_limit(self.block_length))
        return np.minimum(3 + titles + self._shards.list_lengths('body_ids'), self.block_length)
