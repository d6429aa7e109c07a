"""Parquet: what is written is read back, and a broken row costs nothing but itself."""

import pyarrow as pa
import pytest
from pyarrow import parquet

from realm_tf.corpus.documents import Document, Rejected
from realm_tf.corpus.readers.columns import Columns
from realm_tf.corpus.readers.parquet import ParquetReader
from realm_tf.errors import RealmError

COLUMNS = Columns()
DOCUMENTS = [Document(str(number), f'Títle {number}', f'text {number}\n東京 😀') for number in range(1000)]


def read(path, columns=COLUMNS):
    reader = ParquetReader(columns, path.parent)
    return [reader.document(record, str(path), number) for number, record in enumerate(reader.records(path), start=1)]


def written(tmp_path, table, **options):
    path = tmp_path / 'table.parquet'
    parquet.write_table(pa.table(table), path, **options)
    return path


@pytest.mark.parametrize('compression', ['none', 'snappy', 'gzip', 'zstd'])
def test_what_is_written_is_read_back(tmp_path, compression):
    columns = dict(zip(Document._fields, zip(*DOCUMENTS, strict=True), strict=True))
    table = {'url': ['https://…'] * len(DOCUMENTS), **columns}
    path = written(tmp_path, table, row_group_size=300, compression=compression)
    assert read(path) == DOCUMENTS


@pytest.mark.parametrize(
    'text_type', [pa.string(), pa.large_string(), pa.binary(), pa.dictionary(pa.int32(), pa.string())]
)
def test_columns_may_have_other_types_and_names(tmp_path, text_type):
    table = {
        'number': pa.array([7, 8], pa.int64()),
        'name': pa.array(['é', None]).cast(text_type),
        'body': pa.array(['one', 'two']).cast(text_type),
    }
    path = written(tmp_path, table)
    assert read(path, Columns('number', 'name', 'body')) == [Document('7', 'é', 'one'), Document('8', '', 'two')]
    assert read(path, Columns(None, None, 'body'))[1] == Document('table.parquet:2', '', 'two')


def test_a_broken_row_costs_nothing_but_itself(tmp_path):
    table = {
        'id': ['1', '2', '3', '4', None, '6'],
        'title': ['good', 'null', 'bytes', 'empty', 'no id', 'good'],
        'text': pa.array([b'first', None, b'ab\xff', b'\n', b't', b'last']).view(pa.string()),
    }
    path = written(tmp_path, table)
    records = read(path)
    assert (records[0], records[-1]) == (Document('1', 'good', 'first'), Document('6', 'good', 'last'))
    assert records[1:-1] == [
        Rejected(str(path), 2, "'title' and 'text' must be strings", '2\tnull\tNone'),
        Rejected(str(path), 3, "'text' is not UTF-8 at byte 2", '3\tbytes\tab\ufffd'),
        Rejected(str(path), 4, 'empty text', '4\tempty\t\n'),
        Rejected(str(path), 5, "'id' must be a string or a number", 'None\tno id\tt'),
    ]


def test_rows_of_a_table_without_a_column_are_rejected(tmp_path):
    path = written(tmp_path, {'id': ['1'], 'title': ['t'], 'body': ['x']})
    assert ParquetReader(COLUMNS).columns(path) == ['id', 'title', 'body']
    assert read(path) == [Rejected(str(path), 1, "no 'text'", '1\tt')]
    # Of no column of this table anything is read.
    assert read(path, Columns(None, None, 'words')) == [Rejected(str(path), 1, "no 'words'", '')]


@pytest.mark.parametrize('damage', [lambda data: data[:-40], lambda data: data[:200] + bytes(200) + data[400:]])
def test_a_broken_file_is_told(tmp_path, damage):
    path = written(tmp_path, {'id': ['1'] * 999, 'title': ['t'] * 999, 'text': [f'{n**9}' for n in range(999)]})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(RealmError, match=r'table\.parquet cannot be read as Parquet: '):
        read(path)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(RealmError, match=r'cannot be read as Parquet: .*No such file'):
        read(tmp_path / 'nothing.parquet')


def test_a_long_text_is_a_document(tmp_path):
    text = 'word ' * 2_000_000
    assert read(written(tmp_path, {'id': ['1'], 'title': ['long'], 'text': [text]})) == [Document('1', 'long', text)]


def test_duplicates_have_a_key_in_common_whatever_their_ids(tmp_path):
    path = written(tmp_path, {'id': [1, 2, 3, 4], 'title': ['t', 't', 'x', None], 'text': ['x', 'x', 't', 'tx']})
    reader = ParquetReader(COLUMNS)
    keys = [reader.key(record) for record in reader.records(path)]
    assert keys[0] == keys[1] and len(set(keys)) == 3
