"""Files that may be compressed, read as if they were not."""

import bz2
import io
import lzma
import re
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

from backports import zstd
from etils import epath

from realm_tf.corpus.fast_bzip2 import FastBzip2File
from realm_tf.errors import RealmError
from realm_tf.files import open_binary

_CHUNK_SIZE = 16 * 1024
_BUFFER_SIZE = 1024 * 1024


class Gap(RealmError):
    """A part of a file is lost; reading on gives what comes after it."""


class _Compression(NamedTuple):
    """A kind of compression.

    Attributes:
      name: of it.
      make_decompressor: makes what decompresses one stream.
      stream_start: how a stream begins, if that is long enough to be found behind broken data and nowhere else.
      faster: makes what reads a large file faster, of its path and of what decompresses it one byte after the other.
    """

    name: str
    make_decompressor: Callable[[], Any]
    stream_start: re.Pattern[bytes] | None = None
    faster: Callable[[epath.Path, io.RawIOBase], io.RawIOBase] | None = None


_BY_FIRST_BYTES = {
    b'\x1f\x8b': _Compression('gzip', lambda: zlib.decompressobj(zlib.MAX_WBITS | 16)),
    # The head of the file, and that of its first block.
    b'BZh': _Compression('bzip2', bz2.BZ2Decompressor, re.compile(rb'BZh[1-9]\x31\x41\x59\x26\x53\x59'), FastBzip2File),
    b'\xfd7zXZ\x00': _Compression('xz', lzma.LZMADecompressor),
    b'\x28\xb5\x2f\xfd': _Compression('zstd', zstd.ZstdDecompressor),
    # A frame without content, which parallel compressors put before the others.
    b'\x50\x2a\x4d\x18': _Compression('zstd', zstd.ZstdDecompressor),
}
_STREAM_START_SIZE = 10
_MOST_FIRST_BYTES = max(map(len, _BY_FIRST_BYTES))


def open_decompressed(path: epath.PathLike) -> BinaryIO:
    """Opens a file for reading, decompressed on the fly if it is compressed.

    Gzip, bzip2, xz and zstd are known by their first bytes, whatever the name of the file. Several compressed streams
    one after the other, as in multistream dumps, are read as one.

    Args:
      path: the file, local or `gs://`.

    Raises:
      RealmError: if the file cannot be opened; while it is read, if its compressed data is broken or cut off.
      Gap: while it is read, if bzip2 data is broken, and another stream begins behind it.
    """
    path = epath.Path(path)
    try:
        file = open_binary(path)
        first_bytes = file.read(_MOST_FIRST_BYTES)
        file.seek(0)
    except OSError as error:
        raise RealmError(f'{path} cannot be read: {error}.') from error
    for begin, compression in _BY_FIRST_BYTES.items():
        if first_bytes.startswith(begin):
            opened = _DecompressedFile(path, file, compression)
            if compression.faster:
                opened = compression.faster(path, opened)
            return io.BufferedReader(opened, _BUFFER_SIZE)
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
        self._begin_stream(0)
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
                if not self._decompressor.eof:
                    raise self._error(f'it is cut off at byte {self._position:,}, within its {self._name} data')
                return 0
            self._decompress()
        size = min(len(buffer), len(self._decompressed))
        buffer[:size] = self._decompressed[:size]
        self._decompressed = self._decompressed[size:]
        return size

    def close(self) -> None:
        self._file.close()
        super().close()

    @property
    def _name(self) -> str:
        return self._compression.name

    def _begin_stream(self, start: int) -> None:
        self._stream_start = start
        self._decompressor = self._compression.make_decompressor()

    def _decompress(self) -> None:
        if self._decompressor.eof:
            # Between streams, and behind the last, there may be zeros: tapes and xz are filled up with them.
            self._compressed = self._compressed.lstrip(b'\x00')
            if not self._compressed:
                return
            self._begin_stream(self._file.tell() - len(self._compressed))
        try:
            self._decompressed = memoryview(self._decompressor.decompress(self._compressed))
        except (OSError, zlib.error, lzma.LZMAError, zstd.ZstdError) as error:
            raise self._error(
                f'its {self._name} data is broken between bytes {self._position:,} and '
                f'{self._position + _CHUNK_SIZE:,} ({error})'
            ) from error
        self._compressed = self._decompressor.unused_data

    def _error(self, reason: str) -> RealmError:
        """The error to raise; it is a `Gap` if there is another stream, and then that one is read next."""
        next_stream = self._find_stream_after(self._stream_start)
        if next_stream is None:
            return RealmError(f'{self._path} cannot be read: {reason}. Get the file again.')
        lost = f'bytes {self._stream_start:,} to {next_stream:,} are lost, or a part of them'
        self._file.seek(next_stream)
        self._compressed = b''
        self._begin_stream(next_stream)
        return Gap(f'{self._path} cannot be read in one place: {reason}; {lost}. Get the file again.')

    def _find_stream_after(self, position: int) -> int | None:
        """Where the first stream begins that does so after a position; None if there is none, or it cannot be told."""
        pattern = self._compression.stream_start
        if pattern is None:
            return None
        self._file.seek(position + 1)
        data = b''
        while chunk := self._file.read(_BUFFER_SIZE):
            data = data[-(_STREAM_START_SIZE - 1) :] + chunk
            if found := pattern.search(data):
                return self._file.tell() - len(data) + found.start()
        return None
