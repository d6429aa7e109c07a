"""The embeddings artefact: shards of embeddings in block order, and beside each the contents of its blocks."""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
from etils import epath

from realm_tf.artifacts import Artifact, open_artifact
from realm_tf.errors import RealmError
from realm_tf.search.array_files import read_array

_EMBEDDINGS = 'embeddings'
_CONTENTS = 'contents'


@dataclasses.dataclass(frozen=True)
class Embeddings:
    """The embedding of every block of a corpus.

    Attributes:
      artifact: what was opened.
      shards: float32 `[blocks of the shard, dimension]` each, memory-mapped where the files are local.
    """

    artifact: Artifact
    shards: list[np.ndarray]

    @classmethod
    def open(cls, path: epath.PathLike) -> 'Embeddings':
        """Opens an embeddings artefact.

        Raises:
          RealmError: if there is none, it is not whole, or its shards do not fit together.
        """
        artifact = open_artifact(path, 'embeddings')
        shards = [read_array(file) for file in embeddings_files(artifact)]
        shapes = {shard.shape[1:] for shard in shards}
        if len(shapes) != 1 or sum(map(len, shards)) != artifact.counts['blocks']:
            raise RealmError(
                f'The shards of {path} do not fit together: {sum(map(len, shards))} embeddings of sizes '
                f'{sorted(shapes)}, where there should be {artifact.counts["blocks"]} of one size. '
                'Embed the corpus again.'
            )
        return cls(artifact, shards)

    @property
    def dimension(self) -> int:
        """Size of an embedding."""
        return self.shards[0].shape[1]

    def __len__(self) -> int:
        return sum(map(len, self.shards))

    def rows(self, ids: np.ndarray) -> np.ndarray:
        """The embeddings of blocks.

        Args:
          ids: block ids, integers `[n]`.

        Returns:
          float32 `[n, dimension]`.
        """
        return take_rows(self.shards, ids)

    def hashes(self) -> np.ndarray:
        """What tells embeddings apart, of equal ones the same: uint64 `[blocks]`."""
        rows = (hashlib.blake2b(row, digest_size=8).digest() for shard in self.shards for row in shard)
        return np.frombuffer(b''.join(rows), np.uint64)

    def as_array(self) -> np.ndarray:
        """All embeddings in one array in memory, float32 `[blocks, dimension]`."""
        return np.concatenate(self.shards)


def shard_name(shard: int, num_shards: int) -> str:
    """The file of the embeddings of one shard."""
    return _shard_name(_EMBEDDINGS, shard, num_shards)


def contents_name(shard: int, num_shards: int) -> str:
    """The file of the contents of one shard."""
    return _shard_name(_CONTENTS, shard, num_shards)


def embeddings_files(artifact: Artifact) -> list[epath.Path]:
    """The files of the embeddings, float32 `[blocks of the shard, dimension]` each."""
    return _files(artifact, _EMBEDDINGS)


def contents_files(artifact: Artifact) -> list[epath.Path]:
    """The files of the hashes of what was embedded of each block, uint64 `[blocks of the shard]` each.

    There are as many as shards; imported embeddings have none.
    """
    return _files(artifact, _CONTENTS)


def take_rows(shards: Sequence[np.ndarray], ids: np.ndarray) -> np.ndarray:
    """The rows `ids` of the shards laid end to end, float32 `[len(ids), dimension]`."""
    ids = np.asarray(ids, np.int64)
    ends = np.cumsum([len(shard) for shard in shards])
    if ids.size and not 0 <= ids.min() <= ids.max() < ends[-1]:
        raise RealmError(f'Block ids must be in 0 … {ends[-1] - 1}; {ids.min()} … {ids.max()} were asked for.')
    rows = np.empty((len(ids), shards[0].shape[1]), np.float32)
    for shard, places, of_shard in rows_by_shard(np.append(0, ends), ids):
        rows[places] = shards[shard][of_shard]
    return rows


def rows_by_shard(starts: np.ndarray, ids: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Shares rows out to the shards that they are in.

    Args:
      starts: the first row of each shard of those laid end to end, and the number of all, int64 `[shards + 1]`.
      ids: rows of these, int64 `[ids]`.

    Yields:
      Of each shard that has some: its number, their places among the ids, and which of its rows they are.
    """
    shard_of = np.searchsorted(starts, ids, side='right') - 1
    for shard in np.unique(shard_of):
        places = np.flatnonzero(shard_of == shard)
        yield shard, places, ids[places] - starts[shard]


def _shard_name(kind: str, shard: int, num_shards: int) -> str:
    return f'{kind}-{shard:05d}-of-{num_shards:05d}.npy'


def _files(artifact: Artifact, kind: str) -> list[epath.Path]:
    return [artifact.path / name for name in sorted(artifact.files) if name.startswith(f'{kind}-')]
