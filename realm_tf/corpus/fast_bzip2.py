"""Large bzip2 files, decompressed by several processors, and faster by each, where nothing can be lost by it."""

import io
import weakref

import indexed_bzip2
from etils import epath

from realm_tf.corpus.bzip2_blocks import can_all_be_found
from realm_tf.files import open_binary

# Who looks at the first lines of a file does not wait until it is looked through.
_BYTES_BEFORE = 2 * 1024 * 1024
# Two processors decompress faster than a third one makes records of it. With one alone the library would not wait for
# the checksum of a block before it gives its first bytes.
_PROCESSORS = 2
_BYTES_AT_ONCE = 1024 * 1024


class FastBzip2File(io.RawIOBase):
    """The decompressed bytes of a bzip2 file; those that come first, or after broken data, are from `plain`.

    Args:
      path: the file, local or `gs://`.
      plain: decompresses the same file, from its beginning, and says what is wrong with it.
    """

    def __init__(self, path: epath.Path, plain: io.RawIOBase):
        self._path = path
        self._plain = plain
        self._fast: io.BufferedIOBase | None = None
        self._is_looked_through = False
        # How many bytes were given, and how many of these `plain` decompressed.
        self._position = 0
        self._position_of_plain = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        if self._position >= _BYTES_BEFORE and not self._is_looked_through:
            self._is_looked_through = True
            self._position_of_plain = self._position
            self._begin_fast()
        size = self._read_fast(buffer) if self._fast else self._plain.readinto(buffer)
        self._position += size
        return size

    def close(self) -> None:
        if self._fast:
            self._fast.close()
        self._plain.close()
        super().close()

    def _begin_fast(self) -> None:
        with open_binary(self._path) as file:
            if not can_all_be_found(file):
                return
        self._fast = indexed_bzip2.open(open_binary(self._path), parallelization=_PROCESSORS)
        # The library ends the program if it is open when Python ends.
        weakref.finalize(self, self._fast.close)

    def _read_fast(self, buffer) -> int:
        try:
            self._fast.seek(self._position)
            return self._fast.readinto(buffer)
        # For a broken block there are several kinds, and none says where it is.
        except Exception:
            self._fast.close()
            self._fast = None
        # It stopped before the broken block, and the other one has not come so far.
        behind = self._position - self._position_of_plain
        while behind and (size := self._plain.readinto(bytearray(min(behind, _BYTES_AT_ONCE)))):
            behind -= size
        return self._plain.readinto(buffer)
