"""Scans: the records of a file of documents, set aside, so that any run of them is read without what lies before it."""

import array
import io
import itertools
import pickle
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from backports import zstd
from etils import epath

from realm_tf.artifacts import open_whole
from realm_tf.corpus.duplicates import hash_of
from realm_tf.files import open_binary

# Records are compressed in groups of this many bytes, the last of which are in memory.
_GROUP_BYTES = 4 * 1024 * 1024
_FASTEST = 1


class ScanIndex(NamedTuple):
    """What is known of the records of a scan without reading them.

    Attributes:
      hashes: tell which are duplicates, uint64 `[records, 2]`.
      sizes: of their texts, in bytes, int64 `[records]`.
    """

    hashes: np.ndarray
    sizes: np.ndarray


def write_scan(path: epath.PathLike, records: Iterable[tuple[Any, bytes]]) -> None:
    """Writes a scan: a file of the records, and then their index, without which there is no scan.

    Args:
      path: of the index.
      records: each with its title and text, which exact duplicates have in common.
    """
    # A dump has tens of millions of records: a list of objects would take gigabytes.
    hashes, sizes = bytearray(), array.array('q')

    def noted() -> Iterator[Any]:
        for record, key in records:
            hashes.extend(hash_of(key))
            sizes.append(len(key))
            yield record

    # Of each group, its first record and its first byte; then where the last one ends.
    groups = [(0, 0)]
    with open_whole(_records_path(path)) as file:
        for group in _groups(noted()):
            compressed = zstd.compress(group, _FASTEST)
            file.write(compressed)
            groups.append((len(sizes), groups[-1][1] + len(compressed)))
    index = io.BytesIO()
    np.savez(
        index,
        hashes=np.frombuffer(hashes, np.uint64).reshape(-1, 2),
        sizes=np.array(sizes, np.int64),
        groups=np.array(groups, np.int64),
    )
    with open_whole(path) as file:
        file.write(index.getvalue())


def read_index(path: epath.PathLike) -> ScanIndex:
    """Reads the index of a scan.

    Args:
      path: of the index.
    """
    with np.load(io.BytesIO(epath.Path(path).read_bytes())) as arrays:
        return ScanIndex(arrays['hashes'], arrays['sizes'])


def read_records(path: epath.PathLike, first: int, limit: int) -> Iterator[Any]:
    """Reads records of a scan, from the first to before the limit.

    Args:
      path: of the index.
      first: the first record, counted from 0.
      limit: the one after the last.
    """
    with np.load(io.BytesIO(epath.Path(path).read_bytes())) as arrays:
        # [groups + 1, 2]
        groups = arrays['groups'].tolist()
    with open_binary(_records_path(path)) as file:
        for (start, offset), (end, offset_after) in itertools.pairwise(groups):
            if start < limit and end > first:
                file.seek(offset)
                pickled = zstd.decompress(file.read(offset_after - offset))
                yield from _unpickled(pickled, end - start)[max(0, first - start) : limit - start]


def _records_path(path: epath.PathLike) -> epath.Path:
    return epath.Path(path).with_suffix('.records')


def _groups(records: Iterable[Any]) -> Iterator[bytes]:
    """Pickles records in groups; what the records of a group share is in it once."""
    group = io.BytesIO()
    pickler = pickle.Pickler(group)
    for record in records:
        pickler.dump(record)
        if group.tell() >= _GROUP_BYTES:
            yield group.getvalue()
            group = io.BytesIO()
            pickler = pickle.Pickler(group)
    if group.tell():
        yield group.getvalue()


def _unpickled(group: bytes, num_records: int) -> list[Any]:
    unpickler = pickle.Unpickler(io.BytesIO(group))
    return [unpickler.load() for _ in range(num_records)]
