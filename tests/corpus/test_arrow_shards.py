import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realm_tf.corpus.arrow_shards import INT_LIST, ArrowShards, require_one_batch, shard_name, write_shard
from realm_tf.errors import RealmError

SHARDS = st.lists(st.lists(st.tuples(st.lists(st.integers(0, 30_000), max_size=6), st.text(max_size=4)), max_size=5))
SCHEMA = pa.schema([('ids', INT_LIST), ('text', pa.string())])


@given(shards=SHARDS, data=st.data())
def test_rows_come_in_the_order_they_are_asked_for(tmp_path_factory, shards, data):
    directory = tmp_path_factory.mktemp('shards')
    paths = [directory / shard_name('blocks', number, len(shards)) for number in range(len(shards))]
    for path, shard in zip(paths, shards, strict=True):
        rows = [{'ids': ids, 'text': text} for ids, text in shard]
        write_shard(path, pa.Table.from_pylist(rows, schema=SCHEMA))
    opened = ArrowShards(paths)
    written = [row for shard in shards for row in shard]
    assert len(opened) == len(written)
    assert [len(rows) for rows in opened.ranges] == [len(shard) for shard in shards]
    assert opened.list_lengths('ids').tolist() == [len(ids) for ids, _ in written]
    rows = data.draw(st.lists(st.integers(0, len(written) - 1))) if written else []
    lists = opened.lists('ids', np.array(rows, np.int64))
    assert [row.tolist() for row in lists.rows()] == [written[row][0] for row in rows]
    assert lists.values.dtype == np.int32 and lists.lengths.dtype == np.int64
    assert opened.texts('text', np.array(rows, np.int64)) == [written[row][1] for row in rows]


def test_rows_in_two_batches_are_refused_and_not_lost(tmp_path):
    halves = [pa.Table.from_pylist([{'ids': [number], 'text': 'x'}], schema=SCHEMA) for number in range(2)]
    table, path = pa.concat_tables(halves), tmp_path / 'blocks-00000-of-00001.arrow'
    # As in what Arrow makes of more text than one column can have.
    with pa.ipc.new_file(path, SCHEMA) as writer:
        writer.write_table(table)
    for refused in (lambda: ArrowShards([path]), lambda: require_one_batch(len(table.to_batches()), path)):
        with pytest.raises(RealmError, match=r'00000-of-00001\.arrow .* 2 GiB .* with more corpus\.num_shards'):
            refused()
    write_shard(path, table)
    assert ArrowShards([path]).lists('ids', np.arange(2)).values.tolist() == [0, 1]
