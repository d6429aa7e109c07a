"""Formats are recognised, however compressed, and their readers made."""

import bz2
import csv
import gzip
import json
import lzma
import os
import pathlib

import pytest
from backports import zstd

from realm_tf.artifacts import file_checksum
from realm_tf.corpus.documents import Document
from realm_tf.corpus.readers.columns import Columns
from realm_tf.corpus.readers.formats import FORMATS, make_reader, recognise
from realm_tf.corpus.readers.reader import RecordReader
from realm_tf.errors import RealmError

DATA = pathlib.Path(os.environ.get('REALM_DATA', pathlib.Path(__file__).parents[3] / '../shared/data'))
DOCUMENTS = [Document('1', 'Élan', 'The first text.'), Document('2', 'Other, "title"', 'Two\nlines.')]
COMPRESSIONS = {
    '': bytes,
    '.gz': gzip.compress,
    '.bz2': bz2.compress,
    '.xz': lzma.compress,
    '.zst': zstd.compress,
}


def json_lines(path):
    path.write_text(''.join(json.dumps(document._asdict()) + '\n' for document in DOCUMENTS))


def extracted_json(path):
    lines = [{'id': id, 'revid': '9', 'url': '', 'title': title, 'text': text} for id, title, text in DOCUMENTS]
    path.write_text(''.join(json.dumps(line) + '\n' for line in lines))


def extracted_elements(path):
    elements = [f'<doc id="{id}" url="" title="{title}">\n{title}\n\n{text}\n</doc>\n' for id, title, text in DOCUMENTS]
    path.write_text(''.join(elements))


def delimited(delimiter):
    def write(path):
        with path.open('w', newline='') as file:
            csv.writer(file, delimiter=delimiter).writerows([Document._fields, *DOCUMENTS])

    return write


@pytest.mark.parametrize('ending', COMPRESSIONS)
@pytest.mark.parametrize(
    ('format', 'name', 'write'),
    [
        ('jsonl', 'documents.jsonl', json_lines),
        ('jsonl', 'documents.json', json_lines),
        ('jsonl', 'part-00000', json_lines),
        ('csv', 'documents.csv', delimited(',')),
        ('tsv', 'documents.TSV', delimited('\t')),
        ('wikiextractor', 'wiki_00', extracted_json),
        ('wikiextractor', 'wiki_00', extracted_elements),
    ],
)
def test_files_are_recognised_and_read_however_compressed(tmp_path, format, name, write, ending):
    plain = tmp_path / name
    write(plain)
    path = tmp_path / 'compressed' / f'{name}{ending}'
    path.parent.mkdir()
    path.write_bytes(COMPRESSIONS[ending](plain.read_bytes()))
    assert recognise([path]) == recognise([path.parent]) == format
    reader = make_reader(format)
    read = [reader.document(record, str(path), number) for number, record in enumerate(reader.records(path), start=1)]
    assert read == DOCUMENTS


# An empty record, as TensorFlow writes it.
TF_RECORD = bytes.fromhex('0000000000000000 29039807 d8ea82a2')


@pytest.mark.parametrize(
    ('format', 'name', 'data'),
    [
        ('parquet', 'table', b'PAR1'),
        ('parquet', 'table.parquet', b''),
        ('text', 'article.txt', b'{"id": 1}'),
        ('mediawiki', 'enwiki.xml', b''),
        ('mediawiki', 'enwiki-pages-articles1', b'\xef\xbb\xbf<?xml version="1.0"?>\n<mediawiki version="0.10">'),
        ('orqa-blocks', 'blocks.tfr', b''),
        ('realm-corpus', 'corpus-00000-of-00050', TF_RECORD),
    ],
)
def test_formats_are_told_by_name_and_first_bytes(tmp_path, format, name, data):
    for ending, compress in (('', bytes), ('.gz', gzip.compress)):
        path = tmp_path / f'{name}{ending}'
        path.write_bytes(compress(data))
        assert recognise([path]) == format


def test_real_files_are_recognised():
    if not DATA.exists():
        pytest.skip(f'there is no {DATA}; set REALM_DATA')
    assert recognise([DATA / 'simplewiki', DATA / 'news', DATA / 'vital_leads']) == 'jsonl'
    assert recognise([DATA / 'wikidump']) == 'mediawiki'


@pytest.mark.parametrize(
    ('files', 'message'),
    [
        (
            {'a.csv': b'', 'b.txt': b''},
            r'more than one format: \S*a\.csv is csv and \S*b\.txt is text\. Name .* --format',
        ),
        ({'a.pdf': b'%PDF-1.7'}, r'a\.pdf holds cannot be told .* jsonl, csv, tsv, parquet'),
        ({'titles.tfr': b''}, r'titles\.tfr goes with blocks\.tfr: give that file alone'),
        ({'examples.tfr': b''}, r'examples\.tfr goes with blocks\.tfr'),
        ({'empty': b''}, r'empty holds cannot be told'),
        ({'cut.gz': b'\x1f\x8b'}, r'cut\.gz cannot be read'),
    ],
)
def test_what_cannot_be_told_is_said(tmp_path, files, message):
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(RealmError, match=message):
        recognise([tmp_path / name for name in files])


def test_an_empty_folder_and_a_missing_file_are_said(tmp_path):
    with pytest.raises(RealmError, match='There are no files in'):
        recognise([tmp_path])
    with pytest.raises(RealmError, match=r'nothing cannot be read: .*No such file'):
        recognise([tmp_path / 'nothing'])


@pytest.mark.parametrize('format', FORMATS)
def test_every_format_has_a_reader(format):
    assert isinstance(make_reader(format), RecordReader)


@pytest.mark.parametrize('format', ['jsonl', 'csv', 'tsv', 'parquet', 'text', 'realm-corpus', 'wikiextractor'])
def test_files_under_other_names_are_others_only_where_ids_are_made_of_them(tmp_path, format):
    path = tmp_path / 'a' / 'part-0'
    path.parent.mkdir()
    path.write_text('text')
    has_columns = format in ('jsonl', 'csv', 'tsv', 'parquet')
    columns = Columns(id=None) if has_columns else Columns()
    of_path, *rest = make_reader(format, columns, folder=tmp_path).identity(path)
    checksum = file_checksum(path)
    assert [of_path, *rest] == ([checksum] if format == 'wikiextractor' else ['a/part-0', checksum])
    if has_columns:
        assert make_reader(format, folder=tmp_path).identity(path) == [checksum]


def test_an_unknown_format_is_told_with_those_there_are():
    with pytest.raises(RealmError) as raised:
        make_reader('docx')
    assert str(raised.value) == f"There is no format 'docx'; there are {', '.join(FORMATS)}."


def test_columns_are_named_only_where_there_are_some():
    columns = Columns(text='body')
    assert make_reader('jsonl', columns).fields(b'{"id": 1, "title": "t", "body": "x"}') == ('1', 't', 'x')
    with pytest.raises(
        RealmError, match='text has no columns that could be named; these have: jsonl, csv, tsv, parquet'
    ):
        make_reader('text', columns)
