"""PyTorch's files, written here as `torch.save` lays them out."""

import os
import pickle
import subprocess
import zipfile
from typing import NamedTuple

import ml_dtypes
import numpy as np
import pytest

from realm_tf.errors import RealmError
from realm_tf.weights.pytorch_file import read_pytorch_tensors
from realm_tf.weights.tensor_files import read_tensors

PYTHON = os.environ.get('REALM_ORACLE_PYTHON')
STORAGES = {
    np.dtype(np.float32): 'FloatStorage',
    np.dtype(np.float16): 'HalfStorage',
    np.dtype(ml_dtypes.bfloat16): 'BFloat16Storage',
    np.dtype(np.int64): 'LongStorage',
}


class Tensor(NamedTuple):
    """A view of numbers that are kept outside the pickle."""

    key: str
    storage: np.ndarray
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def opcodes(value) -> bytes:
    """What puts a plain value on the stack."""
    return pickle.dumps(value, protocol=2)[2:-1]


def named(module, name) -> bytes:
    return pickle.GLOBAL + f'{module}\n{name}\n'.encode()


def pickled_tensor(tensor: Tensor) -> bytes:
    """The call of `torch._utils._rebuild_tensor_v2` that a pickle of PyTorch has for a tensor."""
    size = opcodes(len(tensor.storage))
    storage = opcodes('storage') + named('torch', STORAGES[tensor.storage.dtype]) + opcodes(tensor.key) + opcodes('cpu')
    arguments = pickle.MARK + storage + size + pickle.TUPLE + pickle.BINPERSID
    arguments += opcodes(tensor.offset) + opcodes(tensor.size) + opcodes(tensor.stride) + pickle.NEWFALSE
    arguments += named('collections', 'OrderedDict') + pickle.EMPTY_TUPLE + pickle.REDUCE
    return named('torch._utils', '_rebuild_tensor_v2') + pickle.MARK + arguments + pickle.TUPLE + pickle.REDUCE


def pickled_dictionary(items) -> bytes:
    pairs = [
        opcodes(name) + (pickled_tensor(item) if isinstance(item, Tensor) else opcodes(item))
        for name, item in items.items()
    ]
    return pickle.PROTO + b'\x02' + pickle.EMPTY_DICT + pickle.MARK + b''.join(pairs) + pickle.SETITEMS + pickle.STOP


def write_file(path, items, *, pickled=None):
    """Writes tensors, or other things, by name."""
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('archive/data.pkl', pickled or pickled_dictionary(items))
        archive.writestr('archive/byteorder', 'little')
        for item in items.values():
            if isinstance(item, Tensor):
                archive.writestr(f'archive/data/{item.key}', item.storage.tobytes())
        archive.writestr('archive/version', '3\n')


def matrix(dtype=np.float32, **changed):
    numbers = np.arange(12).astype(dtype)
    return Tensor(**{'key': '0', 'storage': numbers, 'offset': 2, 'size': (2, 3), 'stride': (3, 1)} | changed)


@pytest.mark.parametrize('dtype', STORAGES)
def test_views_of_storages_are_read(tmp_path, dtype):
    write_file(tmp_path / 'x.bin', {'a': matrix(dtype), 'turned': matrix(dtype, key='1', size=(3, 2), stride=(1, 3))})
    found = read_pytorch_tensors(tmp_path / 'x.bin', allow_pickle=True)
    expected = np.arange(2, 8).astype(dtype).reshape(2, 3)
    assert found['a'].dtype == dtype
    np.testing.assert_array_equal(found['a'], expected)
    np.testing.assert_array_equal(found['turned'], expected.T)


def test_a_pickle_is_opened_only_where_that_is_allowed(tmp_path):
    write_file(tmp_path / 'x.bin', {'a': matrix()})
    with pytest.raises(RealmError, match=r'can run code .*--allow-pickle .*safetensors needs no such trust'):
        read_pytorch_tensors(tmp_path / 'x.bin', allow_pickle=False)


def test_code_in_a_pickle_is_not_run(tmp_path):
    class Harm:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / 'harm'),)

    write_file(tmp_path / 'x.bin', {}, pickled=pickle.dumps({'a': Harm()}))
    with pytest.raises(RealmError, match=r'asks for posix\.mkdir'):
        read_pytorch_tensors(tmp_path / 'x.bin', allow_pickle=True)
    assert not (tmp_path / 'harm').exists()


@pytest.mark.parametrize(
    'changed',
    [{'offset': 7}, {'offset': -1}, {'size': (2, 1 << 40)}, {'stride': (-3, 1)}, {'stride': (1 << 40, 1)}],
    ids=str,
)
def test_nothing_beside_a_storage_is_read(tmp_path, changed):
    write_file(tmp_path / 'x.bin', {'a': matrix(**changed)})
    with pytest.raises(RealmError, match='does not fit in 12 numbers'):
        read_pytorch_tensors(tmp_path / 'x.bin', allow_pickle=True)


def test_other_things_than_tensors_are_refused(tmp_path):
    write_file(tmp_path / 'x.bin', {'a': matrix(), 'epoch': 3})
    with pytest.raises(RealmError, match='something else than tensors'):
        read_pytorch_tensors(tmp_path / 'x.bin', allow_pickle=True)


def test_a_file_cut_anywhere_is_refused(tmp_path):
    write_file(tmp_path / 'x.bin', {'a': matrix()})
    whole = (tmp_path / 'x.bin').read_bytes()
    for size in range(0, len(whole), 7):
        (tmp_path / 'cut.bin').write_bytes(whole[:size])
        with pytest.raises(RealmError, match='cannot be read as a file of PyTorch'):
            read_pytorch_tensors(tmp_path / 'cut.bin', allow_pickle=True)


@pytest.mark.slow
@pytest.mark.skipif(not PYTHON, reason='needs REALM_ORACLE_PYTHON, a Python with torch and transformers 4.40.2')
def test_files_of_pytorch_are_read(tmp_path):
    program = (
        'import sys, torch, safetensors.torch\n'
        'torch.manual_seed(0)\n'
        'table = torch.randn(5, 4)\n'
        'tensors = {"table": table, "turned": table.T, "rows": table[1:3], "half": table.half(),\n'
        '  "bfloat": table.bfloat16(), "ids": torch.arange(7), "scalar": torch.tensor(2.5)}\n'
        'torch.save(tensors, sys.argv[1] + "/x.bin")\n'
        'torch.save(torch.nn.Linear(3, 2).state_dict(), sys.argv[1] + "/linear.bin")\n'
        'torch.save({"p": torch.nn.Parameter(table)}, sys.argv[1] + "/parameter.bin")\n'
        'whole = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}\n'
        'safetensors.torch.save_file(whole, sys.argv[1] + "/x.safetensors")\n'
    )
    subprocess.run([PYTHON, '-c', program, str(tmp_path)], check=True)
    found = read_pytorch_tensors(tmp_path / 'x.bin', allow_pickle=True)
    expected = read_tensors(tmp_path / 'x.safetensors')
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype and found[name].shape == tensor.shape
        np.testing.assert_array_equal(found[name], tensor)
    linear = read_pytorch_tensors(tmp_path / 'linear.bin', allow_pickle=True)
    assert {name: tensor.shape for name, tensor in linear.items()} == {'weight': (2, 3), 'bias': (2,)}
    parameter = read_pytorch_tensors(tmp_path / 'parameter.bin', allow_pickle=True)['p']
    np.testing.assert_array_equal(parameter, found['table'])
