"""Files on a disk or an object store: whether one is on which, its bytes, how long it is, and when it was written.

`epath` says the last two of local files only where their owner has a name on this machine, which it has not in a
container that another user's folder is mounted in; and what it opens on an object store is no file of Python's: it
cannot say whether it is closed, nor where it was sought to, which others ask.
"""

import contextlib
import io
import json
import os
from collections.abc import Iterator
from typing import Any, BinaryIO, Literal

from etils import epath

_BUFFER_SIZE = 1024 * 1024


def is_remote(path: epath.PathLike) -> bool:
    """Whether it is on an object store, such as `gs://`."""
    return '://' in str(path)


def open_binary(path: epath.PathLike, mode: Literal['rb', 'wb'] = 'rb') -> BinaryIO:
    """Opens a file for reading or writing bytes, buffered; on an object store what is written has no places to seek.

    Raises:
      OSError: if it cannot be opened; on an object store, when it is read or written first.
    """
    if not is_remote(path):
        return open(path, mode)
    if mode == 'rb':
        return io.BufferedReader(_RemoteFile(path, mode), _BUFFER_SIZE)
    return io.BufferedWriter(_RemoteFile(path, mode), _BUFFER_SIZE)


@contextlib.contextmanager
def named_in_errors(path: epath.PathLike) -> Iterator[None]:
    """Names what is written in errors of the system that name no file: that of a full disk comes from a write."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def read_json_lines(path: epath.PathLike) -> list[Any]:
    """What the lines of a JSON Lines file hold; what Python takes for a line end beside `\\n` may stand in a text."""
    return [json.loads(line) for line in epath.Path(path).read_text().split('\n') if line]


def length_of(path: epath.PathLike) -> int:
    """Its bytes.

    Raises:
      FileNotFoundError: if there is no such file.
    """
    return epath.Path(path).stat().length if is_remote(path) else os.stat(path).st_size


def written_at(path: epath.PathLike) -> float:
    """When it was written last, in seconds since the epoch; of an object store, in whole ones.

    Raises:
      FileNotFoundError: if there is no such file.
    """
    return epath.Path(path).stat().mtime if is_remote(path) else os.stat(path).st_mtime


class _RemoteFile(io.RawIOBase):
    """A file of TensorFlow's file systems, which have the credentials of the machine, as a file of Python's.

    Args:
      path: of it.
      mode: `rb` or `wb`.
    """

    def __init__(self, path: epath.PathLike, mode: str):
        import tensorflow as tf

        self._file = tf.io.gfile.GFile(os.fspath(path), mode)
        self._is_read = mode == 'rb'
        self._written = 0

    def readable(self) -> bool:
        return self._is_read

    def writable(self) -> bool:
        return not self._is_read

    def seekable(self) -> bool:
        return self._is_read

    def readinto(self, buffer) -> int:
        with _errors_of_files():
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def write(self, data) -> int:
        size = memoryview(data).nbytes
        with _errors_of_files():
            self._file.write(bytes(data))
        self._written += size
        return size

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if not self._is_read:
            raise io.UnsupportedOperation('What is written to an object store has no places to seek.')
        with _errors_of_files():
            self._file.seek(offset, whence)
            return self._file.tell()

    def tell(self) -> int:
        if not self._is_read:
            return self._written
        with _errors_of_files():
            return self._file.tell()

    def close(self) -> None:
        if not self.closed:
            try:
                with _errors_of_files():
                    self._file.close()
            finally:
                super().close()


@contextlib.contextmanager
def _errors_of_files() -> Iterator[None]:
    """Raises what TensorFlow says of a file as Python would."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.NotFoundError as error:
        raise FileNotFoundError(str(error)) from error
    except tf.errors.OpError as error:
        raise OSError(str(error)) from error
