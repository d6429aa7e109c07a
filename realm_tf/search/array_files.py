"""Arrays in `.npy` files."""

import numpy as np
from etils import epath

from realm_tf.files import is_remote, open_binary


def read_array(path: epath.PathLike) -> np.ndarray:
    """Opens a `.npy`, memory-mapped where it is local."""
    path = epath.Path(path)
    if is_remote(path):
        with open_binary(path) as file:
            return np.load(file)
    return np.load(path, mmap_mode='r')


def write_array(path: epath.PathLike, array: np.ndarray) -> None:
    """Writes a `.npy`."""
    with open_binary(path, 'wb') as file:
        np.save(file, array)
