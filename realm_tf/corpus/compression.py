"""Files that may be compressed, read as if they were not."""

import bz2
import io
import lzma
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

from backports import zstd
from etils import epath

from realm_tf.errors import RealmError

_CHUNK_SIZE = 16 * 1024
_BUFFER_SIZE = 1024 * 1024


class _Compression(NamedTuple):
    name: str
    make_decompressor: Callable[[], Any]


_BY_FIRST_BYTES = {
    b'\x1f\x8b': _Compression('gzip', lambda: zlib.decompressobj(zlib.MAX_WBITS | 16)),
    b'BZh': _Compression('bzip2', bz2.BZ2Decompressor),
    b'\xfd7zXZ\x00': _Compression('xz', lzma.LZMADecompressor),
    b'\x28\xb5\x2f\xfd': _Compression('zstd', zstd.ZstdDecompressor),
    # A frame without content, which parallel compressors put before the others.
    b'\x50\x2a\x4d\x18': _Compression('zstd', zstd.ZstdDecompressor),
}
_MOST_FIRST_BYTES = max(map(len, _BY_FIRST_BYTES))


def open_decompressed(path: epath.PathLike) -> BinaryIO:
    """Opens a file for reading, decompressed on the fly if it is compressed.

    Gzip, bzip2, xz and zstd are known by their first bytes, whatever the name of the file. Several compressed streams
    one after the other, as in multistream dumps, are read as one.

    Args:
      path: the file, local or `gs://`.

    Raises:
      RealmError: if the file cannot be opened; while it is read, if its compressed data is broken or cut off.
    """
    path = epath.Path(path)
    try:
        file = path.open('rb')
        first_bytes = file.read(_MOST_FIRST_BYTES)
        file.seek(0)
    except OSError as error:
        raise RealmError(f'{path} cannot be read: {error}.') from error
    for begin, compression in _BY_FIRST_BYTES.items():
        if first_bytes.startswith(begin):
            return io.BufferedReader(_DecompressedFile(path, file, compression), _BUFFER_SIZE)
    return file


class _DecompressedFile(io.RawIOBase):
    """The decompressed bytes of a file.

    The file objects of the standard library will not do: behind the first stream, those for bzip2 and xz take broken
    data for the end of the file, and the rest of a multistream dump would be lost without a word.
    """

    def __init__(self, path: epath.Path, file: BinaryIO, compression: _Compression):
        self._path = path
        self._file = file
        self._compression = compression
        self._decompressor = compression.make_decompressor()
        self._position = 0
        self._compressed = b''
        self._decompressed = memoryview(b'')

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        while not self._decompressed:
            if not self._compressed:
                self._position = self._file.tell()
                self._compressed = self._file.read(_CHUNK_SIZE)
            if not self._compressed:
                self._require_end_of_stream()
                return 0
            self._decompress()
        size = min(len(buffer), len(self._decompressed))
        buffer[:size] = self._decompressed[:size]
        self._decompressed = self._decompressed[size:]
        return size

    def close(self) -> None:
        self._file.close()
        super().close()

    def _decompress(self) -> None:
        if self._decompressor.eof:
            # Between streams, and behind the last, there may be zeros: tapes and xz are filled up with them.
            self._compressed = self._compressed.lstrip(b'\x00')
            if not self._compressed:
                return
            self._decompressor = self._compression.make_decompressor()
        try:
            self._decompressed = memoryview(self._decompressor.decompress(self._compressed))
        except (OSError, zlib.error, lzma.LZMAError, zstd.ZstdError) as error:
            raise RealmError(
                f'{self._path} cannot be read: its {self._compression.name} data is broken between bytes '
                f'{self._position:,} and {self._position + _CHUNK_SIZE:,} ({error}). Get the file again.'
            ) from error
        self._compressed = self._decompressor.unused_data

    def _require_end_of_stream(self) -> None:
        if not self._decompressor.eof:
            raise RealmError(
                f'{self._path} cannot be read: it is cut off at byte {self._position:,}, within its '
                f'{self._compression.name} data. Get the file again.'
            )
