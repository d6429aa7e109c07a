"""The spans artefact: the salient spans of every block of a corpus.

It lies beside the corpus, not in it, so that tagging again leaves the corpus, and all that was made from it, as it is.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from etils import epath

from realm_tf.artifacts import Artifact, open_artifact
from realm_tf.corpus.arrow_shards import INT_LIST, ArrowShards, write_shard
from realm_tf.corpus.block_store import BlockStore
from realm_tf.text.ragged import Ragged

KIND = 'spans'
SHARDS = 'spans'
_SCHEMA = pa.schema(
    [
        ('starts', INT_LIST),
        ('limits', INT_LIST),
        ('token_starts', INT_LIST),
        ('token_limits', INT_LIST),
        ('labels', pa.list_(pa.string())),
    ]
)


class BlockSpans(NamedTuple):
    """The salient spans of one block.

    Attributes:
      starts: first byte of each in the block's text.
      limits: the byte after its last.
      token_starts: the first wordpiece of each in the block's body.
      token_limits: the wordpiece after its last.
      labels: what each is.
    """

    starts: Sequence[int]
    limits: Sequence[int]
    token_starts: Sequence[int]
    token_limits: Sequence[int]
    labels: Sequence[str]


def write_spans(path: epath.PathLike, blocks: Sequence[BlockSpans], counts: Mapping[str, int]) -> None:
    """Writes one shard of spans; `counts` are kept in it, for `shard_counts`."""
    columns = zip(*blocks, strict=True) if blocks else [[] for _ in _SCHEMA]
    arrays = [pa.array(list(column), field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
    write_shard(path, pa.Table.from_arrays(arrays, schema=_SCHEMA), counts)


class SpanStore:
    """The salient spans of the blocks of a corpus, memory-mapped.

    Attributes:
      artifact: the spans artefact.
    """

    def __init__(self, artifact: Artifact):
        self.artifact = artifact
        self._shards = ArrowShards([artifact.path / name for name in sorted(artifact.files)])

    @classmethod
    def open(cls, path: epath.PathLike, corpus: BlockStore) -> 'SpanStore':
        """Opens the spans of a corpus.

        Raises:
          RealmError: if there are none, or they are of another corpus.
        """
        return cls(open_artifact(path, KIND).require_input('corpus', corpus.artifact))

    def counts(self) -> np.ndarray:
        """How many spans every block has, int64 `[blocks]`."""
        return self._shards.list_lengths('starts')

    def starts(self, rows: np.ndarray) -> Ragged:
        """The first byte of each span of blocks, in the block's text."""
        return self._shards.lists('starts', rows)

    def limits(self, rows: np.ndarray) -> Ragged:
        """The byte after the last of each span of blocks."""
        return self._shards.lists('limits', rows)

    def token_starts(self, rows: np.ndarray) -> Ragged:
        """The first wordpiece of each span of blocks, in the block's body."""
        return self._shards.lists('token_starts', rows)

    def token_limits(self, rows: np.ndarray) -> Ragged:
        """The wordpiece after the last of each span of blocks."""
        return self._shards.lists('token_limits', rows)
