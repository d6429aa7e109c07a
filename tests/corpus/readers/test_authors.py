"""The authors' corpora, written here by TensorFlow as they wrote them."""

import pytest

from realm_tf.corpus.documents import Document, Rejected
from realm_tf.corpus.readers.authors import BlocksReader, RetrievalCorpusReader
from realm_tf.errors import RealmError

BLOCKS = [('Élan', 'The first block. It has é.'), ('Élan', 'The second.'), ('Other', 'word ' * 2_000_000)]


def read(reader, path):
    return [reader.document(record, str(path), number) for number, record in enumerate(reader.records(path), start=1)]


def write(path, records, compression=''):
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for record in records:
            writer.write(record)


def example(**texts):
    import tensorflow as tf

    features = {name: tf.train.Feature(bytes_list=tf.train.BytesList(value=value)) for name, value in texts.items()}
    features['title_token_ids'] = tf.train.Feature(int64_list=tf.train.Int64List(value=[101, 102]))
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


@pytest.fixture
def blocks(tmp_path):
    write(tmp_path / 'titles.tfr', [title.encode() for title, _ in BLOCKS])
    write(tmp_path / 'blocks.tfr', [text.encode() for _, text in BLOCKS])
    return tmp_path / 'blocks.tfr'


def test_a_block_is_named_by_its_row(blocks):
    assert read(BlocksReader(), blocks) == [Document(str(row), *block) for row, block in enumerate(BLOCKS)]


@pytest.mark.parametrize('compression', ['', 'GZIP'])
def test_examples_of_the_retrieval_corpus_are_read(tmp_path, compression):
    path = tmp_path / 'corpus-00000-of-00050'
    write(path, [example(title=[t.encode()], body=[b.encode()]) for t, b in BLOCKS], compression)
    assert read(RetrievalCorpusReader(path.parent), path) == [
        Document(f'{path.name}:{position}', *block) for position, block in enumerate(BLOCKS, start=1)
    ]


def test_a_broken_record_costs_nothing_but_itself(blocks):
    data = bytearray(blocks.read_bytes())
    data[14] ^= 1  # a letter of the first block
    blocks.write_bytes(data)
    broken, *good = read(BlocksReader(), blocks)
    assert broken == Rejected(
        str(blocks), 1, 'the checksum of the TFRecord does not fit', 'Élan\nThd first block. It has é.'
    )
    assert [document.id for document in good] == ['1', '2']


def test_a_broken_example_costs_nothing_but_itself(tmp_path):
    good = example(title=[b'T'], body=[b'text'])
    bad = {
        b'\xff\xff': 'not a tf.train.Example',
        example(title=[b'T']): "a tf.train.Example without 'body'",
        example(title=[], body=[b'text']): "a tf.train.Example without 'title'",
        example(title=[b'T'], body=[b'a\xff']): 'not UTF-8 at byte 1',
        example(title=[b'T'], body=[b' ']): 'empty text',
    }
    path = tmp_path / 'corpus'
    write(path, [good, *bad, good])
    first, *rejected, last = read(RetrievalCorpusReader(path.parent), path)
    assert (first, last) == (Document('corpus:1', 'T', 'text'), Document('corpus:7', 'T', 'text'))
    assert [record.reason for record in rejected] == list(bad.values())


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (lambda data: data[:-1], 'blocks.tfr cannot be read: it is cut off in the TFRecord at byte 70'),
        (lambda data: data[:75], 'blocks.tfr cannot be read: no TFRecord begins at byte 70'),
        (lambda data: data[:43] + b'x' + data[44:], 'blocks.tfr cannot be read: no TFRecord begins at byte 43'),
        (lambda data: data[:70], 'hold different numbers of records'),
        (lambda data: data + data[:43], 'hold different numbers of records'),
    ],
)
def test_a_broken_file_is_told(blocks, damage, message):
    blocks.write_bytes(damage(blocks.read_bytes()))
    with pytest.raises(RealmError, match=message):
        read(BlocksReader(), blocks)


def test_blocks_without_titles_are_refused(blocks, tmp_path):
    blocks.rename(tmp_path / 'wiki.tfr')
    with pytest.raises(RealmError, match=r'wiki\.tfr is not named like blocks\.tfr'):
        read(BlocksReader(), tmp_path / 'wiki.tfr')
    (tmp_path / 'wiki.tfr').rename(blocks)
    (tmp_path / 'titles.tfr').unlink()
    with pytest.raises(RealmError, match=r'titles\.tfr cannot be read: .*No such file'):
        read(BlocksReader(), blocks)


def test_duplicates_have_a_key_in_common(blocks):
    write(blocks, [b'same', b'same', b'same'])
    first, second, other = map(BlocksReader().key, BlocksReader().records(blocks))
    assert first == second != other
