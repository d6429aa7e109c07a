"""Scans: any run of records is read back as it was, however the records are grouped."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realm_tf.corpus import scans
from realm_tf.corpus.duplicates import hash_of, repeated
from realm_tf.corpus.readers.columns import Columns
from realm_tf.corpus.readers.parquet import ParquetReader
from realm_tf.corpus.readers.reader import Unreadable
from realm_tf.corpus.scans import read_index, read_records, write_scan


@given(st.lists(st.binary(max_size=40), max_size=30), st.data(), st.integers(1, 100))
def test_any_run_of_records_is_read(tmp_path_factory, records, data, group_bytes):
    path = tmp_path_factory.getbasetemp() / '.scan.npz'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scans, '_GROUP_BYTES', group_bytes)
        write_scan(path, ((record, record + b'!') for record in records))
    first = data.draw(st.integers(0, len(records)))
    limit = data.draw(st.integers(first, len(records)))
    assert list(read_records(path, first, limit)) == records[first:limit]
    index = read_index(path)
    assert index.sizes.tolist() == [len(record) + 1 for record in records]
    assert index.hashes.tobytes() == b''.join(hash_of(record + b'!') for record in records)
    seen = set()
    expected = [record in seen or seen.add(record) is not None for record in records]
    assert repeated([index.hashes]).tolist() == expected


def test_records_of_every_kind_come_back(tmp_path):
    table = pa.table({'id': list(map(str, range(600))), 'title': ['t'] * 600, 'text': ['Élysée'] * 600})
    pa.parquet.write_table(table, tmp_path / 'rows.parquet')
    reader = ParquetReader(Columns())
    rows = list(reader.records(tmp_path / 'rows.parquet'))
    records = [*rows, Unreadable('cut off')]
    write_scan(tmp_path / '.scan.npz', ((record, b'key') for record in records))
    *back, last = read_records(tmp_path / '.scan.npz', 250, 601)
    assert [reader.fields(row) for row in back] == [reader.fields(row) for row in rows[250:]]
    assert last == records[-1]
    # What the rows of a batch share is there once.
    assert (tmp_path / '.scan.records').stat().st_size < 100_000


def test_a_scan_is_there_if_it_is_whole(tmp_path):
    def breaking_off():
        yield b'one', b'key'
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_scan(tmp_path / '.scan.npz', breaking_off())
    assert not (tmp_path / '.scan.npz').exists()
    write_scan(tmp_path / '.scan.npz', [])
    assert list(read_records(tmp_path / '.scan.npz', 0, 0)) == []
    assert np.shape(read_index(tmp_path / '.scan.npz').hashes) == (0, 2)
