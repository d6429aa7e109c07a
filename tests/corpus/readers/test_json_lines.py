"""JSON Lines: what is written is read back, and a broken line costs nothing but itself."""

import itertools
import json
import os
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realm_tf.corpus.documents import Document, Dropped, Rejected
from realm_tf.corpus.readers.columns import Columns
from realm_tf.corpus.readers.json_lines import JsonLinesReader

DATA = pathlib.Path(os.environ.get('REALM_DATA', pathlib.Path(__file__).parents[3] / '../shared/data'))
COLUMNS = Columns()
TEXTS = st.text(st.characters(exclude_categories=('Cs',)), max_size=60)


def read(path, columns=COLUMNS):
    reader = JsonLinesReader(columns, path.parent)
    return [reader.document(record, str(path), number) for number, record in enumerate(reader.records(path), start=1)]


@given(st.lists(st.builds(Document, TEXTS.filter(bool), TEXTS, TEXTS.filter(str.strip))), st.booleans())
def test_what_is_written_is_read_back(tmp_path_factory, documents, ascii):
    path = tmp_path_factory.getbasetemp() / 'documents.jsonl'
    lines = [json.dumps(document._asdict(), ensure_ascii=ascii) for document in documents]
    path.write_text('\n'.join(lines), encoding='utf-8')
    assert read(path) == documents


def test_a_broken_line_costs_nothing_but_itself(tmp_path):
    bad = {
        b'{"id": "1", "title": "cut': 'not JSON at column 22: Unterminated string starting at',
        b'\xff\xfe': 'not UTF-8 at byte 0',
        b'{"id": "1", "title": "\xc3"}': 'not UTF-8 at byte 22',
        b'[1, 2]': 'not a JSON object',
        b'[' * 100_000: 'JSON that is nested too deeply',
        b'{"id": "2", "title": "no text"}': "no 'text'",
        b'{"title": "no id", "text": "t"}': "no 'id'",
        b'{"id": "3", "title": "empty", "text": " \\n"}': 'empty text',
        b'{"id": "4", "title": 7, "text": "a number for a title"}': "'title' and 'text' must be strings",
        b'{"id": "4", "title": "null", "text": null}': "'title' and 'text' must be strings",
        b'{"id": null, "title": "null", "text": "t"}': "'id' must be a string or a number",
        b'{"id": "5", "title": "half", "text": "\\ud800"}': 'half of a surrogate pair',
        b'{"id": "\\udc00", "title": "half", "text": "t"}': 'half of a surrogate pair',
        b'{"id": %s, "title": "", "text": "t"}' % (b'9' * 5000): 'Exceeds the limit',
    }
    good = b'{"id": 7, "title": "good", "text": "A good line."}'
    path = tmp_path / 'documents.jsonl'
    path.write_bytes(b'\n'.join(itertools.chain.from_iterable((good, line) for line in bad)))
    records = read(path)
    assert records[::2] == [Document('7', 'good', 'A good line.')] * len(bad)
    for number, (record, (line, reason)) in enumerate(zip(records[1::2], bad.items(), strict=True)):
        assert isinstance(record, Rejected) and record.reason.startswith(reason)
        assert (record.file, record.position) == (str(path), 2 * number + 2)
        assert line.decode(errors='replace').startswith(record.excerpt.removesuffix('\n'))
        assert len(record.excerpt) <= 200


def test_lines_end_and_begin_as_they_may(tmp_path):
    path = tmp_path / 'documents.jsonl'
    line = b'{"text": "t", "id": "1", "title": null, "more": [1]}'
    path.write_bytes(b'\xef\xbb\xbf' + line + b'\r\n\n' + line + b'\n \n')
    document = Document('1', '', 't')
    assert read(path) == [document, Dropped('empty line', ''), document, Dropped('empty line', '')]


def test_columns_may_have_other_names_or_be_missing(tmp_path):
    path = tmp_path / 'news.jsonl'
    path.write_text('{"headline": "H", "body": "b", "id": "x", "date": 1987}\n' * 2)
    columns = Columns(id=None, title='headline', text='body')
    assert read(path, columns) == [Document('news.jsonl:1', 'H', 'b'), Document('news.jsonl:2', 'H', 'b')]
    assert read(path, Columns(id='date', title=None, text='body'))[0] == Document('1987', '', 'b')


def test_duplicates_have_a_key_in_common_whatever_their_ids():
    key = JsonLinesReader(COLUMNS).key
    one = key(b'{"id": "1", "title": "t", "text": "\xc3\xa9"}')
    assert one == key(b'{"text": "\\u00e9", "title": "t", "id": 2}\n')
    others = [
        b'{"id": "1", "title": "t\xc3\xa9", "text": ""}',
        b'{"id": "1", "title": "", "text": "t\xc3\xa9"}',
        b'{"id": "1", "title": "t", "text": "\\ud800"}',
        # No documents, and what would be the same one.
        b'{"id": "\\ud800", "title": "t", "text": "\\u00e9"}',
        b'{"id": null, "title": "t", "text": "\\u00e9"}',
        b'{"id": "1", "title": "t", ',
        b'\n',
    ]
    assert len({one, *map(key, others)}) == 1 + len(others)


def test_a_long_line_is_a_document(tmp_path):
    text = 'word ' * 2_000_000
    path = tmp_path / 'long.jsonl'
    path.write_text(json.dumps({'id': '1', 'title': 'long', 'text': text}) + '\n{')
    long, broken = read(path)
    assert long == Document('1', 'long', text)
    assert broken.position == 2


def test_articles_of_simple_wikipedia():
    path = DATA / 'simplewiki/articles.jsonl.gz'
    if not path.exists():
        pytest.skip(f'there is no {path}; set REALM_DATA')
    reader = JsonLinesReader(COLUMNS)
    records = list(itertools.islice(reader.records(path), 1000))
    documents = [reader.document(record, str(path), number) for number, record in enumerate(records, start=1)]
    assert all(isinstance(document, Document) for document in documents)
    assert documents[0].title == 'April' and documents[0].text.startswith('April is the fourth month')
    assert len({document.id for document in documents}) == len(set(map(reader.key, records))) == 1000
