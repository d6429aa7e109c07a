"""Text files, each a document."""

import gzip

import pytest

from realm_tf.corpus.documents import Document, Rejected
from realm_tf.corpus.readers.text_files import TextFilesReader
from realm_tf.errors import RealmError


def read(path, folder):
    reader = TextFilesReader(folder)
    return [reader.document(record, str(path), number) for number, record in enumerate(reader.records(path), start=1)]


def test_a_folder_is_read_in_order(tmp_path):
    files = {
        'b/Second part.txt': b'zwei\r\nlines',
        'a.v2.txt': b'\xef\xbb\xbfone',
        'c.txt.gz': gzip.compress('drei é'.encode()),
        'd': b'no ending',
        '.hidden': b'not text',
        'b/.hidden/x.txt': b'nor this',
    }
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    assert read(tmp_path, tmp_path) == [
        Document('a.v2.txt', 'a.v2', 'one'),
        Document('b/Second part.txt', 'Second part', 'zwei\r\nlines'),
        Document('c.txt.gz', 'c', 'drei é'),
        Document('d', 'd', 'no ending'),
    ]
    path = tmp_path / 'b/Second part.txt'
    for folder, id in ((tmp_path, 'b/Second part.txt'), (tmp_path / 'b', 'Second part.txt'), (None, str(path))):
        assert read(path, folder) == [Document(id, 'Second part', 'zwei\r\nlines')]


def test_a_broken_file_costs_nothing_but_itself(tmp_path):
    for name, data in {'1': b'good', '2': b'caf\xe9 au lait', '3': b' \n', '4': b'', '5': b'good too'}.items():
        (tmp_path / f'{name}.txt').write_bytes(data)
    assert read(tmp_path, tmp_path) == [
        Document('1.txt', '1', 'good'),
        Rejected(str(tmp_path / '2.txt'), 2, 'not UTF-8 at byte 3', 'caf\ufffd au lait'),
        Rejected(str(tmp_path / '3.txt'), 3, 'empty text', ' \n'),
        Rejected(str(tmp_path / '4.txt'), 4, 'empty text', ''),
        Document('5.txt', '5', 'good too'),
    ]


def test_finding_the_records_reads_no_file(tmp_path):
    (tmp_path / 'cut.txt.gz').write_bytes(gzip.compress(b'text')[:-2])
    reader = TextFilesReader(tmp_path)
    (record,) = reader.records(tmp_path)
    with pytest.raises(RealmError, match=r'cut\.txt\.gz cannot be read: it is cut off'):
        reader.document(record, str(tmp_path), 1)


def test_duplicates_have_a_key_in_common(tmp_path):
    for folder, name, text in (('a', 'x', '1'), ('b', 'x', '1'), ('a', 'y', '1'), ('b', 'y', '2')):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / f'{name}.txt').write_text(text)
    reader = TextFilesReader(tmp_path)
    keys = {record.name: reader.key(record) for record in reader.records(tmp_path)}
    assert keys['a/x.txt'] == keys['b/x.txt'] and len(set(keys.values())) == 3
