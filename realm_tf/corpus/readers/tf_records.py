"""The framing of TFRecord files, read without TensorFlow."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

import google_crc32c
from etils import epath

from realm_tf.corpus.compression import open_decompressed
from realm_tf.errors import RealmError

_LENGTH = struct.Struct('<Q')
_CHECKSUM = struct.Struct('<I')
HEADER_SIZE = _LENGTH.size + _CHECKSUM.size


class TFRecord(NamedTuple):
    """A record of a TFRecord file.

    Attributes:
      data: its bytes.
      checksum: what their checksum should be.
    """

    data: bytes
    checksum: bytes

    def checked(self) -> bytes:
        """The bytes of the record.

        Raises:
          ValueError: if they have another checksum; the message says so.
        """
        if _masked_checksum(self.data) != self.checksum:
            raise ValueError('the checksum of the TFRecord does not fit')
        return self.data


def read_tf_records(path: epath.PathLike) -> Iterator[TFRecord]:
    """Reads the records of a TFRecord file, plain or compressed.

    Args:
      path: the file, local or `gs://`.

    Yields:
      The records, not `checked` yet.

    Raises:
      RealmError: if the file is cut off, or the length of a record is broken, so that nothing after it can be found.
    """
    position = 0
    with open_decompressed(path) as file:
        while header := file.read(HEADER_SIZE):
            if not is_header(header):
                raise RealmError(f'{path} cannot be read: no TFRecord begins at byte {position:,}. Get the file again.')
            (length,) = _LENGTH.unpack_from(header)
            data, checksum = file.read(length), file.read(_CHECKSUM.size)
            if len(checksum) < _CHECKSUM.size:
                raise RealmError(
                    f'{path} cannot be read: it is cut off in the TFRecord at byte {position:,}. Get the file again.'
                )
            yield TFRecord(data, checksum)
            position += HEADER_SIZE + length + _CHECKSUM.size


def is_header(header: bytes) -> bool:
    """Whether bytes are the first of a record: its length, with the right checksum."""
    return len(header) == HEADER_SIZE and _masked_checksum(header[: _LENGTH.size]) == header[_LENGTH.size :]


def _masked_checksum(data: bytes) -> bytes:
    # TensorFlow rotates and shifts it, because the checksum of data that holds checksums would say little.
    checksum = google_crc32c.value(data)
    return _CHECKSUM.pack(((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF)
