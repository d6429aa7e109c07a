"""Whether all blocks of a bzip2 file can be found, told without decompressing it.

What decompresses several blocks at once looks for them itself, at any bit, and passes over one whose beginning is
broken without a word. But each block begins with a checksum, and each stream ends with one that those of its blocks
make up: with these it is known beforehand that none will be missing.
"""

import os
import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

# What blocks begin with, and what stands behind the last one of a stream; a checksum follows either.
_BLOCK, _END = 0x314159265359, 0x177245385090
_MARK_BITS, _CHECKSUM_BITS = 48, 32
_CHECKSUM = (1 << _CHECKSUM_BITS) - 1
_STREAM_HEAD = re.compile(rb'BZh[1-9]')
_STREAM_HEAD_SIZE = 4
# A mark begins at any bit of a byte. Whichever it is, of the seven bytes that it reaches into, these five are full.
_FULL_BYTES = 5
_MARKS = re.compile(
    b'|'.join(
        re.escape((mark << (8 - bit)).to_bytes(_FULL_BYTES + 2, 'big')[1:-1])
        for mark in (_BLOCK, _END)
        for bit in range(8)
    )
)
_AROUND = 16
_BYTES_AT_ONCE = 4 * 1024 * 1024


class _Mark(NamedTuple):
    """A beginning of a block or an end of a stream.

    Attributes:
      bit: where it begins.
      is_block: which of the two it is.
      checksum: the one that follows it.
      before: the four bytes before the one that it begins in.
    """

    bit: int
    is_block: bool
    checksum: int
    before: bytes


def can_all_be_found(file: BinaryIO) -> bool:
    """Whether a file is nothing but bzip2 streams, one right behind the other, with all of their blocks in place.

    What is inside of a block may be broken; its own checksum tells when it is decompressed.

    Args:
      file: can be sought in; it is read through.
    """
    file.seek(0, os.SEEK_END)
    size = file.tell()
    stream_start = 0
    # What the checksums of the blocks make up so far; None: no stream has begun.
    checksum = None
    for mark in _marks(file, size):
        if checksum is None:
            is_first = mark.bit == 8 * (stream_start + _STREAM_HEAD_SIZE)
            if not (is_first and _STREAM_HEAD.fullmatch(mark.before)):
                return False
            checksum = 0
        if mark.is_block:
            checksum = ((checksum << 1 | checksum >> (_CHECKSUM_BITS - 1)) & _CHECKSUM) ^ mark.checksum
        elif mark.checksum == checksum:
            # Streams end with a full byte.
            stream_start = -(-(mark.bit + _MARK_BITS + _CHECKSUM_BITS) // 8)
            checksum = None
        else:
            return False
    return checksum is None and stream_start == size


def _marks(file: BinaryIO, size: int) -> Iterator[_Mark]:
    for start in range(0, size, _BYTES_AT_ONCE):
        known = min(start, _AROUND)
        file.seek(start - known)
        read = file.read(known + _BYTES_AT_ONCE + _AROUND)
        # The byte at `start` is the one at `_AROUND`, and there is something around every byte.
        data = bytes(_AROUND - known) + read + bytes(_AROUND)
        for found in _MARKS.finditer(data, _AROUND, _AROUND + _BYTES_AT_ONCE + _FULL_BYTES - 1):
            first = found.start() - 1
            bits = int.from_bytes(data[first : first + _FULL_BYTES + 6], 'big')
            for bit in range(8):
                mark, checksum = divmod(bits >> (8 - bit) & (1 << _MARK_BITS + _CHECKSUM_BITS) - 1, _CHECKSUM + 1)
                if mark in (_BLOCK, _END):
                    position = 8 * (start + first - _AROUND) + bit
                    yield _Mark(position, mark == _BLOCK, checksum, data[first - _STREAM_HEAD_SIZE : first])
