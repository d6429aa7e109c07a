"""Memory-mapped Arrow shards of texts and of lists of numbers, whose rows are gathered without a copy of the rest."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute
from etils import epath

from realm_tf.artifacts import open_whole
from realm_tf.errors import RealmError
from realm_tf.files import is_remote, open_binary
from realm_tf.text.ragged import Ragged

INT_LIST = pa.list_(pa.int32())
_COUNTS, _ROWS = b'counts', b'rows'


def shard_name(kind: str, shard: int, num_shards: int) -> str:
    """The file of one shard, such as `blocks-00003-of-00016.arrow`."""
    return f'{kind}-{shard:05d}-of-{num_shards:05d}.arrow'


def write_shard(path: epath.PathLike, table: pa.Table, counts: Mapping[str, int] | None = None) -> None:
    """Writes a shard whole or not at all: to a temporary name, then renamed; `counts` are kept in it.

    Raises:
      RealmError: if it has too much text for a shard.
    """
    # One record batch, so that every column is one run of memory.
    table = table.combine_chunks().replace_schema_metadata(
        {_COUNTS: json.dumps(dict(counts or {}), sort_keys=True), _ROWS: str(table.num_rows)}
    )
    require_one_batch(len(table.to_batches()), path)
    with open_whole(path) as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def require_one_batch(num_batches: int, path: epath.PathLike) -> None:
    """Refuses a shard of more than one record batch, which Arrow makes of texts that one column has no room for.

    Args:
      num_batches: how many it has.
      path: the shard, for the message.

    Raises:
      RealmError: if there are several.
    """
    if num_batches > 1:
        raise RealmError(
            f'The rows of {path} are in {num_batches} record batches, and a shard has one, of less than 2 GiB of '
            'text: build the corpus with more corpus.num_shards.'
        )


def shard_counts(path: epath.PathLike) -> dict[str, int]:
    """The counts that were written with a shard."""
    return json.loads(_metadata(epath.Path(path))[_COUNTS])


class ArrowShards:
    """The shards of an artefact, laid end to end.

    A local shard is mapped to memory; of one elsewhere only the number of rows is read until it is needed, and then all
    of it, once.

    Args:
      paths: the files, in order.

    Attributes:
      ranges: the rows of each shard, counted over all.
    """

    def __init__(self, paths: Sequence[epath.Path]):
        self._paths = paths
        self._opened: dict[int, pa.RecordBatch] = {}
        sizes = [self._num_rows(shard) for shard in range(len(paths))]
        starts = np.cumsum([0, *sizes])
        self.ranges = [range(int(a), int(b)) for a, b in itertools.pairwise(starts)]
        self._starts = starts[:-1]
        self._opened_lists: dict[tuple[str, int], tuple[np.ndarray, np.ndarray]] = {}

    def __len__(self) -> int:
        return self.ranges[-1].stop if self.ranges else 0

    def lists(self, column: str, rows: np.ndarray) -> Ragged:
        """Rows of a column of lists of numbers."""
        # One slice a row, and one copy of them all: index arrays of every number would take several times as long.
        slices = [np.zeros(0, np.int32)]
        for shard, row in self._located(rows):
            offsets, values = self._lists(column, shard)
            slices.append(values[offsets[row] : offsets[row + 1]])
        return Ragged(np.concatenate(slices), np.fromiter(map(len, slices[1:]), np.int64, len(slices) - 1))

    def list_lengths(self, column: str) -> np.ndarray:
        """The length of every row of a column of lists, int64 `[rows]`."""
        parts = [np.diff(self._lists(column, shard)[0]) for shard in range(len(self._paths))]
        return np.concatenate([np.zeros(0, np.int64), *parts]).astype(np.int64)

    def texts(self, column: str, rows: np.ndarray) -> list[str]:
        """Rows of a column of texts."""
        return [self._batch(shard).column(column)[row].as_py() for shard, row in self._located(rows)]

    def run_numbers(self, column: str) -> np.ndarray:
        """Counts the runs of equal texts in a column: int32 `[rows]`, the number of each row's run.

        A shard begins a run.
        """
        begins = np.ones(len(self), bool)
        for shard, rows in enumerate(self.ranges):
            texts = self._batch(shard).column(column)
            differs = pyarrow.compute.not_equal(texts[1:], texts[:-1])
            begins[rows.start + 1 : rows.stop] = differs.to_numpy(zero_copy_only=False)
        return np.cumsum(begins, dtype=np.int32) - 1

    def _located(self, rows: np.ndarray) -> Iterator[tuple[int, int]]:
        """The shard of each row, and its row there."""
        rows = np.asarray(rows, np.int64)
        shards = np.searchsorted(self._starts, rows, side='right') - 1
        return zip(shards.tolist(), (rows - self._starts[shards]).tolist(), strict=True)

    def _num_rows(self, shard: int) -> int:
        path = self._paths[shard]
        # What an earlier release wrote does not say it.
        if is_remote(path) and (rows := _metadata(path).get(_ROWS)):
            return int(rows)
        return self._batch(shard).num_rows

    def _batch(self, shard: int) -> pa.RecordBatch:
        if shard not in self._opened:
            self._opened[shard] = _open(self._paths[shard])
        return self._opened[shard]

    def _lists(self, column: str, shard: int) -> tuple[np.ndarray, np.ndarray]:
        """Where the lists of a column begin in a shard, and their numbers one after the other."""
        if (column, shard) not in self._opened_lists:
            lists = self._batch(shard).column(column)
            self._opened_lists[column, shard] = (
                lists.offsets.to_numpy(zero_copy_only=True),
                lists.values.to_numpy(zero_copy_only=True),
            )
        return self._opened_lists[column, shard]


def _metadata(path: epath.Path) -> Mapping[bytes, bytes]:
    with open_binary(path) as file:
        return pa.ipc.open_file(file).schema.metadata


def _open(path: epath.Path) -> pa.RecordBatch:
    source = pa.BufferReader(path.read_bytes()) if is_remote(path) else pa.memory_map(str(path))
    reader = pa.ipc.open_file(source)
    require_one_batch(reader.num_record_batches, path)
    if reader.num_record_batches == 0:
        return pa.RecordBatch.from_pylist([], schema=reader.schema)
    return reader.get_batch(0)
