"""safetensors files against the library of that name."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.numpy import load, load_file, save, save_file

from realm_tf.errors import RealmError
from realm_tf.weights.tensor_files import read_tensors, write_tensors

DTYPES = st.sampled_from([np.float32, np.float64, np.float16, np.int64, np.int32, np.uint8, np.bool_])
TENSORS = st.dictionaries(
    st.text(st.characters(codec='utf-8'), max_size=5),
    DTYPES.flatmap(lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0, max_dims=3, min_side=0))),
    max_size=4,
)


@given(TENSORS)
def test_files_of_either_are_read_by_the_other(tmp_path_factory, tensors):
    path = tmp_path_factory.mktemp('tensors') / 'x.safetensors'
    write_tensors(tensors, path)
    theirs = load(path.read_bytes())
    path.write_bytes(save(tensors))
    for found in (theirs, read_tensors(path)):
        assert found.keys() == tensors.keys()
        for name, tensor in tensors.items():
            assert found[name].dtype == tensor.dtype
            np.testing.assert_array_equal(found[name], tensor)


def test_bfloat16_is_read(tmp_path):
    # The numpy flavour of the library cannot make such a file: 1.5 and -2 are these bits.
    header = b'{"x":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'
    bits = np.array([0x3FC0, 0xC000], np.uint16).tobytes()
    (tmp_path / 'x').write_bytes(len(header).to_bytes(8, 'little') + header + bits)
    found = read_tensors(tmp_path / 'x')['x']
    assert found.dtype == ml_dtypes.bfloat16 and found.tolist() == [1.5, -2.0]


def test_what_is_sliced_by_rows_is_written_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr('realm_tf.weights.tensor_files._BYTES_AT_ONCE', 40)
    table = np.arange(35, dtype=np.float32).reshape(7, 5)
    write_tensors({'table': table}, tmp_path / 'x')
    np.testing.assert_array_equal(load_file(tmp_path / 'x')['table'], table)


def test_a_file_cut_anywhere_is_refused(tmp_path):
    save_file({'x': np.arange(6, dtype=np.float32), 'y': np.zeros((2, 2), np.float16)}, tmp_path / 'x')
    whole = (tmp_path / 'x').read_bytes()
    for size in range(len(whole)):
        (tmp_path / 'cut').write_bytes(whole[:size])
        with pytest.raises(RealmError, match='cannot be read as safetensors'):
            read_tensors(tmp_path / 'cut')


@pytest.mark.parametrize(
    'entry',
    ['{"dtype":"F32","shape":[3],"data_offsets":[0,8]}', '{"dtype":"F99","shape":[2],"data_offsets":[0,8]}', '3'],
)
def test_a_wrong_header_is_refused(tmp_path, entry):
    header = f'{{"x":{entry}}}'.encode()
    (tmp_path / 'x').write_bytes(len(header).to_bytes(8, 'little') + header + bytes(8))
    with pytest.raises(RealmError, match='cannot be read as safetensors'):
        read_tensors(tmp_path / 'x')
