"""Memory-mapped Arrow shards of texts and of lists of numbers, whose rows are gathered without a copy of the rest."""

import bisect
import itertools
import json
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from etils import epath

from realm_tf.artifacts import open_whole
from realm_tf.text.ragged import Ragged

INT_LIST = pa.list_(pa.int32())
_COUNTS = b'counts'


def shard_name(kind: str, shard: int, num_shards: int) -> str:
    """The file of one shard, such as `blocks-00003-of-00016.arrow`."""
    return f'{kind}-{shard:05d}-of-{num_shards:05d}.arrow'


def write_shard(path: epath.PathLike, table: pa.Table, counts: Mapping[str, int] | None = None) -> None:
    """Writes a shard whole or not at all: to a temporary name, then renamed; `counts` are kept in it."""
    table = table.replace_schema_metadata({_COUNTS: json.dumps(dict(counts or {}), sort_keys=True)})
    with open_whole(path) as file, pa.ipc.new_file(file, table.schema) as writer:
        # One record batch, so that every column is one run of memory.
        writer.write_table(table.combine_chunks())


def shard_counts(path: epath.PathLike) -> dict[str, int]:
    """The counts that were written with a shard."""
    with epath.Path(path).open('rb') as file:
        return json.loads(pa.ipc.open_file(file).schema.metadata[_COUNTS])


class ArrowShards:
    """The shards of an artefact, laid end to end.

    Args:
      paths: the files, in order.

    Attributes:
      ranges: the rows of each shard, counted over all.
    """

    def __init__(self, paths: Sequence[epath.Path]):
        self._batches = [_open(path) for path in paths]
        sizes = [batch.num_rows for batch in self._batches]
        starts = np.cumsum([0, *sizes])
        self.ranges = [range(int(a), int(b)) for a, b in itertools.pairwise(starts)]
        self._starts = starts[:-1].tolist()

    def __len__(self) -> int:
        return self.ranges[-1].stop if self.ranges else 0

    def lists(self, column: str, rows: np.ndarray) -> Ragged:
        """Rows of a column of lists of numbers."""
        parts = [
            _gather(*_list_buffers(self._batches[shard].column(column)), local) for shard, local in self._by_shard(rows)
        ]
        return self._in_order(rows, parts, np.int32)

    def list_lengths(self, column: str) -> np.ndarray:
        """The length of every row of a column of lists, int64 `[rows]`."""
        parts = [np.diff(_list_buffers(batch.column(column))[0]) for batch in self._batches]
        return np.concatenate([np.zeros(0, np.int64), *parts]).astype(np.int64)

    def texts(self, column: str, rows: np.ndarray) -> list[str]:
        """Rows of a column of texts."""
        rows = np.asarray(rows, np.int64)
        texts: list[str] = [''] * len(rows)
        for position, row in enumerate(rows.tolist()):
            shard = bisect.bisect_right(self._starts, row) - 1
            texts[position] = self._batches[shard].column(column)[row - self._starts[shard]].as_py()
        return texts

    def _by_shard(self, rows: np.ndarray) -> list[tuple[int, np.ndarray]]:
        shards = np.searchsorted(self._starts, rows, side='right') - 1
        return [(int(shard), rows[shards == shard] - self._starts[shard]) for shard in np.unique(shards)]

    def _in_order(self, rows: np.ndarray, parts: list[Ragged], dtype) -> Ragged:
        if not parts:
            return Ragged(np.zeros(0, dtype), np.zeros(0, np.int64))
        together = Ragged(
            np.concatenate([part.values for part in parts]), np.concatenate([part.lengths for part in parts])
        )
        if len(parts) == 1:
            return together
        shards = np.searchsorted(self._starts, rows, side='right') - 1
        position = np.empty(len(rows), np.int64)
        position[np.argsort(shards, kind='stable')] = np.arange(len(rows))
        return together.take(position)


def _open(path: epath.Path) -> pa.RecordBatch:
    source = pa.BufferReader(path.read_bytes()) if '://' in str(path) else pa.memory_map(str(path))
    reader = pa.ipc.open_file(source)
    if reader.num_record_batches == 0:
        return pa.RecordBatch.from_pylist([], schema=reader.schema)
    return reader.get_batch(0)


def _list_buffers(column: pa.ListArray) -> tuple[np.ndarray, np.ndarray]:
    return column.offsets.to_numpy(zero_copy_only=True), column.values.to_numpy(zero_copy_only=True)


def _gather(offsets: np.ndarray, values: np.ndarray, rows: np.ndarray) -> Ragged:
    starts = offsets[rows].astype(np.int64)
    lengths = offsets[rows + 1] - starts
    return Ragged(values, lengths).at(starts)
