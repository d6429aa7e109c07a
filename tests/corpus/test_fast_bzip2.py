"""Bzip2 by several processors: what is read, and what is said, is what the plain way reads and says."""

import bz2
import io
import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from realm_tf.corpus import bzip2_blocks, fast_bzip2
from realm_tf.corpus.bzip2_blocks import can_all_be_found
from realm_tf.corpus.compression import _BY_FIRST_BYTES, Gap, _DecompressedFile, open_decompressed
from realm_tf.errors import RealmError

RANDOM = random.Random(0)
LINES = [f'{number} {RANDOM.getrandbits(200):x}\n'.encode() for number in range(20_000)]
TEXT = b''.join(LINES)
# Of 100,000 bytes a block, the least that there is.
STREAMS = [bz2.compress(b''.join(LINES[start : start + 5000]), 1) for start in range(0, len(LINES), 5000)]

FILES = {'one stream': bz2.compress(TEXT, 1), 'streams': b''.join(STREAMS)}


def places_of_marks(file):
    """Bytes in marks and checksums of all blocks and ends of streams."""
    bits = bin(int.from_bytes(b'\x01' + file, 'big'))[3:]
    places = []
    for mark in (0x314159265359, 0x177245385090):
        bit = bits.find(f'{mark:048b}')
        while bit >= 0:
            places += range(bit // 8, min(len(file), bit // 8 + 10))
            bit = bits.find(f'{mark:048b}', bit + 1)
    return places


PLACES = {name: places_of_marks(file) for name, file in FILES.items()}


@pytest.fixture(autouse=True)
def fast_after_few_bytes(monkeypatch):
    monkeypatch.setattr(fast_bzip2, '_BYTES_BEFORE', 50_000)


def outcome(file):
    """What is read of a file, and what is said of the rest."""
    read, said = [], []
    while True:
        try:
            while part := file.read1(30_000):
                read.append(part)
        except Gap as gap:
            said.append(str(gap))
            continue
        except RealmError as error:
            said.append(str(error))
        return b''.join(read), said


def outcomes(path):
    with open_decompressed(path) as file:
        fast = outcome(file)
    plain = _DecompressedFile(path, path.open('rb'), _BY_FIRST_BYTES[b'BZh'])
    with io.BufferedReader(plain, 1024 * 1024) as file:
        return fast, outcome(file)


@pytest.mark.parametrize('data', FILES.values(), ids=FILES)
def test_a_large_file_is_read_the_fast_way(tmp_path, monkeypatch, data):
    opened = []
    open_fast = fast_bzip2.indexed_bzip2.open
    monkeypatch.setattr(
        fast_bzip2.indexed_bzip2, 'open', lambda *args, **kwargs: opened.append(args) or open_fast(*args, **kwargs)
    )
    path = tmp_path / 'file'
    path.write_bytes(data)
    with open_decompressed(path) as file:
        assert list(file) == LINES
    assert len(opened) == 1


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_broken_files_are_read_like_the_plain_way(tmp_path_factory, data):
    name = data.draw(st.sampled_from(sorted(FILES)))
    file = bytearray(FILES[name])
    # What begins otherwise is no bzip2.
    at = data.draw(st.one_of(st.integers(4, len(file) - 1), st.sampled_from(PLACES[name])))
    change = data.draw(st.sampled_from(['flip', 'cut', 'zero', 'insert']))
    if change == 'flip':
        file[at] ^= data.draw(st.sampled_from([0x80, 0x10, 0x01]))
    elif change == 'cut':
        del file[at:]
    elif change == 'zero':
        file[at : at + 1000] = bytes(len(file[at : at + 1000]))
    else:
        file[at:at] = bytes(512)
    path = tmp_path_factory.getbasetemp() / 'broken'
    path.write_bytes(file)
    fast, plain = outcomes(path)
    assert fast == plain


@given(
    st.lists(st.tuples(st.binary(max_size=300), st.integers(1, 9)), min_size=1, max_size=5),
    st.integers(20, 60),
)
@example([(TEXT[:250_000], 1), (b'', 9), (TEXT[:120_000], 1)], 4 * 1024 * 1024)
def test_all_blocks_are_found(parts, bytes_at_once):
    file = b''.join(bz2.compress(part, level) for part, level in parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bzip2_blocks, '_BYTES_AT_ONCE', bytes_at_once)
        assert can_all_be_found(io.BytesIO(file))
        assert not can_all_be_found(io.BytesIO(file + b'\0'))
        assert not can_all_be_found(io.BytesIO(file[:-1]))
        assert not can_all_be_found(io.BytesIO(b'\0' + file))


@pytest.mark.parametrize('data', [b'BZh9', b'text', bytes(100)])
def test_in_other_files_none_are_found(data):
    assert not can_all_be_found(io.BytesIO(data))


def test_who_reads_the_first_lines_does_not_wait(tmp_path, monkeypatch):
    monkeypatch.setattr(fast_bzip2, '_BYTES_BEFORE', 2_000_000)
    monkeypatch.setattr(fast_bzip2, 'can_all_be_found', lambda file: pytest.fail('the whole file is looked through'))
    path = tmp_path / 'file'
    path.write_bytes(bz2.compress(TEXT))
    with open_decompressed(path) as file:
        assert file.readline() == LINES[0]
