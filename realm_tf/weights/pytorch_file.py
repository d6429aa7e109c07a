"""Arrays by name in a PyTorch file (`pytorch_model.bin`), read without PyTorch.

`torch.save` writes a zip archive: `NAME/data.pkl`, a pickle of the dictionary, and `NAME/data/0`, …, the numbers of its
storages as they lie in memory. A tensor is a storage, an offset, a size and strides.
https://pytorch.org/docs/stable/notes/serialization.html
"""

import collections
import struct
import zipfile

import ml_dtypes
import numpy as np
from etils import epath

from realm_tf.errors import RealmError
from realm_tf.files import open_binary
from realm_tf.weights import restricted_pickle
from realm_tf.weights.tensor_files import map_file

_DTYPES = {
    'DoubleStorage': np.float64,
    'FloatStorage': np.float32,
    'HalfStorage': np.float16,
    'BFloat16Storage': ml_dtypes.bfloat16,
    'LongStorage': np.int64,
    'IntStorage': np.int32,
    'ShortStorage': np.int16,
    'CharStorage': np.int8,
    'ByteStorage': np.uint8,
    'BoolStorage': np.bool_,
}
# The header of an archive's member: the lengths of its name and of what follows it are the last two numbers.
_MEMBER_HEADER = struct.Struct('<26xHH')
_INSTEAD = 'model.safetensors needs no such trust, and is read first where it is there.'


def read_pytorch_tensors(path: epath.PathLike, *, allow_pickle: bool) -> dict[str, np.ndarray]:
    """Reads a PyTorch file of tensors by name.

    Args:
      path: the file.
      allow_pickle: whether the pickle in it may be opened.

    Returns:
      The arrays by name, read-only; those of a local file are mapped to memory.

    Raises:
      RealmError: if pickles are not allowed, or the file is missing, truncated, of PyTorch before 1.6, or holds
        anything else than tensors.
    """
    path = epath.Path(path)
    data = map_file(path)
    restricted_pickle.require_allowed(path, allow_pickle, _INSTEAD)
    try:
        return _read(path, data)
    except zipfile.BadZipFile as error:
        raise RealmError(
            f'{path} cannot be read as a file of PyTorch ({error}). Is it whole? If it is, it is of PyTorch before '
            '1.6: load it there and save it again.'
        ) from error
    except RealmError as error:
        raise RealmError(f'{path} cannot be read as a file of PyTorch: {error}') from error


def _read(path: epath.Path, data: np.ndarray) -> dict[str, np.ndarray]:
    with open_binary(path) as file, zipfile.ZipFile(file) as archive:
        root = next((name[: -len('data.pkl')] for name in archive.namelist() if name.endswith('/data.pkl')), None)
        if root is None:
            raise RealmError('it has no data.pkl.')
        if f'{root}byteorder' in archive.namelist() and archive.read(f'{root}byteorder') != b'little':
            raise RealmError('its numbers are big-endian, which no machine that it runs on has.')

        def storage(persistent_id) -> np.ndarray:
            _, dtype, key, _, _ = persistent_id
            return _member(data, archive.getinfo(f'{root}data/{key}')).view(dtype)

        allowed = {
            ('collections', 'OrderedDict'): collections.OrderedDict,
            ('torch._utils', '_rebuild_tensor_v2'): _tensor,
            ('torch._utils', '_rebuild_parameter'): lambda tensor, *_: tensor,
            **{('torch', name): np.dtype(dtype) for name, dtype in _DTYPES.items()},
        }
        with archive.open(f'{root}data.pkl') as pickled:
            tensors = restricted_pickle.load(pickled, allowed, storage)
    if not isinstance(tensors, dict) or not all(isinstance(tensor, np.ndarray) for tensor in tensors.values()):
        raise RealmError('it holds something else than tensors by name. Save the state_dict alone.')
    return dict(tensors)


def _member(data: np.ndarray, info: zipfile.ZipInfo) -> np.ndarray:
    """The bytes of a member that is not compressed, where they lie in the archive."""
    if info.compress_type != zipfile.ZIP_STORED:
        raise RealmError(f'{info.filename} is compressed, which PyTorch does not do.')
    name_length, extra_length = _MEMBER_HEADER.unpack_from(data, info.header_offset)
    start = info.header_offset + _MEMBER_HEADER.size + name_length + extra_length
    if start + info.file_size > len(data):
        raise RealmError(f'{info.filename} ends after the file does.')
    return data[start : start + info.file_size]


def _tensor(storage: np.ndarray, offset: int, size: tuple, stride: tuple, *_) -> np.ndarray:
    """`torch._utils._rebuild_tensor_v2`; the numbers come from the file, so that nothing beside the storage is read."""
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if min((offset, *size, *stride)) < 0 or (0 not in size and last >= len(storage)):
        raise RealmError(f'a tensor of size {size} and strides {stride} does not fit in {len(storage)} numbers.')
    bytes_of = storage.dtype.itemsize
    strides = tuple(step * bytes_of for step in stride)
    return np.lib.stride_tricks.as_strided(storage[offset:], size, strides, writeable=False)
