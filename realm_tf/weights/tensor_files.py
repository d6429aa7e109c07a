"""Arrays by name in safetensors files, read as they lie there: memory-mapped, not copied.

The format: the length of a header, 8 bytes; the header, JSON of every array's type, shape and place; the arrays.
https://huggingface.co/docs/safetensors#format
"""

import json
import math
from collections.abc import Iterator, Mapping

import ml_dtypes
import numpy as np
from etils import epath

from realm_tf.errors import RealmError
from realm_tf.files import is_remote, length_of, open_binary

# Half and bfloat16 too, as others' files have them.
_DTYPES = {
    'F64': np.float64,
    'F32': np.float32,
    'F16': np.float16,
    'BF16': ml_dtypes.bfloat16,
    'I64': np.int64,
    'I32': np.int32,
    'I16': np.int16,
    'I8': np.int8,
    'U64': np.uint64,
    'U32': np.uint32,
    'U16': np.uint16,
    'U8': np.uint8,
    'BOOL': np.bool_,
}
_NAMES = {np.dtype(dtype): name for name, dtype in _DTYPES.items()}
_LENGTH_SIZE = 8
_METADATA = '__metadata__'
_BYTES_AT_ONCE = 1 << 26


def read_tensors(path: epath.PathLike) -> dict[str, np.ndarray]:
    """Reads a safetensors file.

    Returns:
      The arrays by name, read-only. Those of a local file are mapped to memory: what is never looked at is never read.

    Raises:
      RealmError: if the file is missing, truncated, or no safetensors file.
    """
    path = epath.Path(path)
    data = map_file(path)
    try:
        start = _LENGTH_SIZE + int.from_bytes(data[:_LENGTH_SIZE].tobytes(), 'little')
        if start > len(data):
            raise ValueError('its header is cut off')
        header = json.loads(data[_LENGTH_SIZE:start].tobytes())
        return {name: _tensor(data[start:], entry) for name, entry in header.items() if name != _METADATA}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RealmError(f'{path} cannot be read as safetensors ({error}). Is it whole?') from error


def write_tensors(tensors: Mapping[str, np.ndarray], path: epath.PathLike) -> None:
    """Writes arrays by name to a safetensors file, however large, a piece at a time.

    Args:
      tensors: the arrays; instead of an array, anything with its `shape` and `dtype` that is sliced by rows.
      path: the file.
    """
    # By the size of their elements, so that every array is aligned.
    names = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    header, stop = {_METADATA: {'format': 'pt'}}, 0
    for name in names:
        shape, dtype = tensors[name].shape, tensors[name].dtype
        start, stop = stop, stop + math.prod(shape) * dtype.itemsize
        header[name] = {'dtype': _NAMES[dtype], 'shape': list(shape), 'data_offsets': [start, stop]}
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % _LENGTH_SIZE)
    with open_binary(path, 'wb') as file:
        file.write(len(text).to_bytes(_LENGTH_SIZE, 'little') + text)
        for name in names:
            for piece in _pieces(tensors[name]):
                file.write(piece.tobytes())


def map_file(path: epath.PathLike) -> np.ndarray:
    """The bytes of a file, uint8 `[size]`, read-only; those of a local file are mapped to memory.

    Raises:
      RealmError: if it is missing.
    """
    path = epath.Path(path)
    if not path.exists():
        raise RealmError(f'There are no weights at {path}.')
    if path.is_dir():
        raise RealmError(f'{path} is a directory, where a file of weights is needed.')
    if is_remote(path) or length_of(path) == 0:
        return np.frombuffer(path.read_bytes(), np.uint8)
    return np.memmap(path, np.uint8, mode='r')


def _tensor(data: np.ndarray, entry: Mapping) -> np.ndarray:
    dtype, shape = np.dtype(_DTYPES[entry['dtype']]), tuple(entry['shape'])
    start, stop = entry['data_offsets']
    if not 0 <= start <= stop <= len(data):
        raise ValueError(f'it ends before byte {stop} of its arrays')
    if stop - start != math.prod(shape) * dtype.itemsize:
        raise ValueError(f'{stop - start} bytes for an array of the shape {shape}')
    return data[start:stop].view(dtype).reshape(shape)


def _pieces(tensor: np.ndarray) -> Iterator[np.ndarray]:
    if not tensor.shape:
        yield tensor
        return
    row_size = math.prod(tensor.shape[1:]) * tensor.dtype.itemsize
    rows = max(1, _BYTES_AT_ONCE // max(1, row_size))
    for start in range(0, len(tensor), rows):
        yield tensor[start : start + rows]
