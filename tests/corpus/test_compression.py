"""Compressed files: every kind, several streams, and what is broken or cut off."""

import bz2
import gzip
import io
import lzma
import re

import pytest
from backports import zstd
from hypothesis import assume, given
from hypothesis import strategies as st

from realm_tf.corpus.compression import Gap, open_decompressed
from realm_tf.errors import RealmError

COMPRESSIONS = {'gzip': gzip.compress, 'bzip2': bz2.compress, 'xz': lzma.compress, 'zstd': zstd.compress}
TEXT = ''.join(f'line {number}: {number**5}\n' for number in range(8_000)).encode()


@pytest.fixture(params=COMPRESSIONS)
def compression(request):
    return request.param


def written(tmp_path, data):
    path = tmp_path / 'no-telling-name'
    path.write_bytes(data)
    return path


def read(path):
    with open_decompressed(path) as file:
        return file.read()


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=4), st.sampled_from(sorted(COMPRESSIONS)))
def test_streams_one_after_the_other_are_read_as_one(tmp_path_factory, parts, name):
    path = written(tmp_path_factory.getbasetemp(), b''.join(map(COMPRESSIONS[name], parts)))
    assert read(path) == b''.join(parts)


def test_lines_are_read_from_a_large_file(tmp_path, compression):
    path = written(tmp_path, COMPRESSIONS[compression](TEXT))
    with open_decompressed(path) as lines:
        assert list(lines) == TEXT.splitlines(keepends=True)


@pytest.mark.parametrize('data', [b'', b'B', b'plain text\n', b'\x1f', b'PK\x03\x04'])
def test_what_is_not_compressed_is_read_as_it_is(tmp_path, data):
    assert read(written(tmp_path, data)) == data


def test_zeros_that_fill_up_a_file_are_no_data(tmp_path, compression):
    compress = COMPRESSIONS[compression]
    assert read(written(tmp_path, compress(b'one') + bytes(40_000) + compress(b'two') + bytes(8))) == b'onetwo'


def test_a_frame_without_content_may_stand_before_zstd(tmp_path):
    skipped = b'\x50\x2a\x4d\x18' + (4).to_bytes(4, 'little') + b'size'
    assert read(written(tmp_path, skipped + zstd.compress(b'text') + skipped)) == b'text'


@pytest.mark.parametrize('share', [0.02, 0.5, 0.99])
def test_a_file_that_is_cut_off_is_told_with_the_byte(tmp_path, compression, share):
    data = COMPRESSIONS[compression](TEXT)
    size = int(share * len(data))
    path = written(tmp_path, data[:size])
    with pytest.raises(
        RealmError, match=f'no-telling-name cannot be read: it is cut off at byte {size:,}, .*{compression}'
    ):
        read(path)


def test_a_later_stream_that_is_cut_off_is_told(tmp_path, compression):
    data = COMPRESSIONS[compression](TEXT)
    with pytest.raises(RealmError, match='cut off at byte'):
        read(written(tmp_path, data + data[:-1]))


def test_broken_data_is_told_with_the_bytes(tmp_path, compression):
    data = COMPRESSIONS[compression](TEXT)
    path = written(tmp_path, data + b'broken')
    with pytest.raises(RealmError) as raised:
        read(path)
    said = re.fullmatch(
        r'(.*) data is broken between bytes ([\d,]+) and ([\d,]+) \(.+\)\. Get the file again\.', str(raised.value)
    )
    assert said[1] == f'{path} cannot be read: its {compression}'
    first, limit = (int(number.replace(',', '')) for number in said.groups()[1:])
    assert first <= len(data) < limit <= first + 16384


def test_what_stands_before_broken_data_is_read(tmp_path, compression):
    path = written(tmp_path, COMPRESSIONS[compression](b'good\n' * 10) + b'broken')
    lines = iter(open_decompressed(path))
    assert [next(lines) for _ in range(10)] == [b'good\n'] * 10
    with pytest.raises(RealmError, match='broken between bytes 0 and 16,384'):
        next(lines)


@given(st.data())
def test_behind_a_broken_stream_of_bzip2_the_next_one_is_read(tmp_path_factory, data):
    lines = TEXT.splitlines(keepends=True)
    streams = [bytearray(bz2.compress(b''.join(lines[start : start + 2000]))) for start in range(0, 8000, 2000)]
    broken = streams[1]
    change = data.draw(st.sampled_from(['flip', 'cut', 'zero']))
    position = data.draw(st.integers(1, len(broken) - 1))
    if change == 'flip':
        broken[position] ^= data.draw(st.sampled_from([0x80, 0x10, 0x01]))
    elif change == 'cut':
        del broken[position:]
    else:
        broken[position:] = bytes(len(broken) - position)
    # A few bits do not matter, such as the padding of the last byte.
    assume(is_broken(broken))
    path = written(tmp_path_factory.getbasetemp(), b''.join(streams))
    found, gaps = [], []
    with open_decompressed(path) as file:
        while True:
            try:
                found.extend(file)
                break
            except Gap as gap:
                gaps.append(str(gap))
    # All of it is there where nothing but the end of the stream is broken, and its checksum.
    assert found in (lines[:2000] + lines[4000:], lines)
    first, limit = len(streams[0]), len(streams[0]) + len(broken)
    (said,) = gaps
    assert f'bytes {first:,} to {limit:,} are lost, or a part of them. Get the file again.' in said


def is_broken(stream):
    try:
        bz2.decompress(stream)
    except (OSError, ValueError, EOFError):
        return True
    return False


def test_without_a_stream_behind_it_broken_data_ends_the_file(tmp_path):
    broken = bytearray(bz2.compress(TEXT))
    broken[len(broken) // 2] ^= 0xFF
    with pytest.raises(RealmError) as raised:
        read(written(tmp_path, bz2.compress(b'one') + broken))
    assert not isinstance(raised.value, Gap)


def test_a_wrong_checksum_is_told(tmp_path, compression):
    # Which zstd has only if asked.
    options = {'options': {zstd.CompressionParameter.checksum_flag: True}} if compression == 'zstd' else {}
    broken = bytearray(COMPRESSIONS[compression](TEXT, **options))
    broken[{'gzip': -8, 'bzip2': -4, 'xz': -12, 'zstd': -4}[compression]] ^= 0xFF
    with pytest.raises(RealmError, match='data is broken between'):
        read(written(tmp_path, bytes(broken)))


def test_a_missing_file_and_a_folder_are_told(tmp_path):
    with pytest.raises(RealmError, match=r'nothing cannot be read: .*No such file'):
        open_decompressed(tmp_path / 'nothing')
    with pytest.raises(RealmError, match='cannot be read'):
        open_decompressed(tmp_path)


def test_a_long_line_is_read_whole(tmp_path, compression):
    line = b'x' * 10_000_000
    with open_decompressed(written(tmp_path, COMPRESSIONS[compression](line + b'\nend'))) as file:
        assert isinstance(file, io.BufferedIOBase)
        assert [len(read) for read in file] == [10_000_001, 3]
