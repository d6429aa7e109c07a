"""CSV and TSV: what is written is read back, and a broken row costs nothing but itself."""

import csv

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from realm_tf.corpus.documents import Document, Rejected
from realm_tf.corpus.readers.columns import Columns
from realm_tf.corpus.readers.delimited import DelimitedReader
from realm_tf.errors import RealmError

COLUMNS = Columns()
CELLS = st.text(st.sampled_from('",\t\n\r aé東😀') | st.characters(exclude_categories=('Cs',)), max_size=20)

# With three tabs more, the lines of a document could have four cells each, as rows have.
DOCUMENTS = st.builds(Document, CELLS.filter(bool), CELLS, CELLS.filter(str.strip)).filter(
    lambda document: ''.join(document).count('\t') < 3
)


def read(path, delimiter=',', columns=COLUMNS):
    reader = DelimitedReader(delimiter, columns, path.parent)
    return [reader.document(record, str(path), number) for number, record in enumerate(reader.records(path), start=1)]


def written(tmp_path, data):
    path = tmp_path / 'table'
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


@given(st.lists(DOCUMENTS), st.sampled_from(',\t'))
@example([Document('"Weird Al"\t', '"', '"\r\n\r"')], '\t')
def test_what_is_written_is_read_back(tmp_path_factory, documents, delimiter):
    path = tmp_path_factory.getbasetemp() / 'table'
    with path.open('w', encoding='utf-8', newline='') as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(['url', 'text', 'id', 'title'])
        writer.writerows(['https://…', document.text, document.id, document.title] for document in documents)
    assert read(path, delimiter) == documents


def test_rows_of_every_kind(tmp_path):
    path = written(tmp_path, '\ufeffid,title,text\r\n1,"A ""b"", c","two\r\nlines"\r\n\r\n,Untold,last')
    assert read(path) == [Document('1', 'A "b", c', 'two\r\nlines'), Document('table:2', 'Untold', 'last')]


def test_a_broken_row_costs_nothing_but_itself(tmp_path):
    rows = [
        'id,title,text',
        '1,good,before',
        '2,short',
        '3,long,a,b',
        '4,empty,""',
        '5,mark "inside" is fine,text',
        '6,"mark" behind,text',
        '7,good,"two\nlines, and ""marks"""',
        '8,open,"never closed',
        '9,good,behind it',
        '10,"good","a mark"',
        '11,open,"again, and to the end',
        '12,good,last',
        '13,"closed, but in another row',
        '14,good,5 inch"',
    ]
    path = written(tmp_path, '\n'.join(rows))
    records = read(path)
    documents = [record for record in records if isinstance(record, Document)]
    assert [document.id for document in documents] == ['1', '5', '7', '9', '10', '12', '14']
    assert documents[2].text == 'two\nlines, and "marks"'
    rejected = {record.excerpt: record.reason for record in records if isinstance(record, Rejected)}
    assert list(rejected) == [rows[1 + number].replace('""', '') for number in (1, 2, 3, 5, 7, 10, 12)]
    assert [reason.split(':')[0] for reason in rejected.values()] == [
        '2 cells, and the header has 3',
        '4 cells, and the header has 3',
        'empty text',
        'not CSV',
        'not CSV',
        'not CSV',
        'not CSV',
    ]
    assert [record.position for record in records if isinstance(record, Rejected)] == [2, 3, 4, 6, 8, 11, 13]


def test_between_tabs_marks_are_characters(tmp_path):
    rows = [
        'id\ttitle\ttext',
        '1\t"Weird Al" Yankovic\tsings',
        '2\tAn "inch\t"5 long',
        '3\t"quoted"\t"a\tb"',
        '4\t"open\tclosed below',
        '5\tgood\t6 inch"',
        '6\tgood\tlast',
    ]
    assert read(written(tmp_path, '\n'.join(rows)), '\t') == [
        Document('1', '"Weird Al" Yankovic', 'sings'),
        Document('2', 'An "inch', '"5 long'),
        Document('3', 'quoted', 'a\tb'),
        Document('4', '"open', 'closed below'),
        Document('5', 'good', '6 inch"'),
        Document('6', 'good', 'last'),
    ]


@pytest.mark.parametrize('line_end', ['\n', '\r\n'])
def test_lines_that_have_every_column_by_their_tabs_are_rows(tmp_path, line_end):
    rows = [
        'id\ttitle\ttext',
        '1\tA\t"We shall win, he said.',
        '2\tB\t"So be it.',
        '3\tC\tThen they went home."',
        f'4\tD\t"really{line_end}quoted"',
        f'5\t"also{line_end}E"\tquoted',
    ]
    assert read(written(tmp_path, line_end.join(rows)), '\t') == [
        Document('1', 'A', '"We shall win, he said.'),
        Document('2', 'B', '"So be it.'),
        Document('3', 'C', 'Then they went home."'),
        Document('4', 'D', f'really{line_end}quoted'),
        Document('5', f'also{line_end}E', 'quoted'),
    ]
    one_column = written(tmp_path, line_end.join(['text', f'"one{line_end}text"', 'another']))
    texts = [document.text for document in read(one_column, '\t', Columns(None, None, 'text'))]
    assert texts == [f'one{line_end}text', 'another']


def test_bytes_that_are_no_utf8_are_told_with_cell_and_byte(tmp_path):
    path = written(tmp_path, b'id,title,text,more\n1,\xc3\xa9\xff,x,\n2,t,\xed\xa0\x80,\n3,t,x,\xff\n')
    bad, surrogate, good = read(path)
    assert bad == Rejected(str(path), 1, "'title' is not UTF-8 at byte 2", '1,é\ufffd,x,')
    assert surrogate.reason == "'text' is not UTF-8 at byte 0"
    assert good == Document('3', 't', 'x')


def test_a_broken_header_is_told(tmp_path):
    path = written(tmp_path, 'id,"title,text\n1,t,x\n')
    for reads in (read, DelimitedReader(',', COLUMNS).columns):
        with pytest.raises(RealmError, match=r'first row of \S*table, which should name the columns, is broken: '):
            reads(path)


def test_rows_of_a_table_without_a_column_are_rejected(tmp_path):
    path = written(tmp_path, '\nId,title,body\n1,t,x\n')
    assert read(path) == [Rejected(str(path), 1, "no 'id'", '1,t,x')]
    assert DelimitedReader(',', COLUMNS).columns(path) == ['Id', 'title', 'body']
    assert read(path, columns=Columns('Id', None, 'body')) == [Document('1', '', 'x')]


@pytest.mark.parametrize('data', ['', 'id,title,text', '\n\nid,title,text\n\n'])
def test_a_table_without_rows_has_no_records(tmp_path, data):
    path = written(tmp_path, data)
    assert read(path) == []
    assert DelimitedReader(',', COLUMNS).columns(path) == (['id', 'title', 'text'] if data else None)


@pytest.mark.parametrize('delimiter', [',', '\t'])
def test_a_long_cell_is_a_text(tmp_path, delimiter):
    text = 'word ' * 2_000_000
    path = written(tmp_path, delimiter.join(['id', 'title', 'text\n1', 'long', f'"{text}"\n2', 'short', 'x']))
    assert read(path, delimiter) == [Document('1', 'long', text), Document('2', 'short', 'x')]


def test_duplicates_have_a_key_in_common_whatever_their_ids(tmp_path):
    path = written(tmp_path, b'id,title,text,more\n1,t,"x",a\n2,t,x,b\n3,x,t,a\n4,t,\xff,a\n5,t,\xff,a\n')
    reader = DelimitedReader(',', COLUMNS)
    keys = [reader.key(record) for record in reader.records(path)]
    assert keys[0] == keys[1] and len(set(keys)) == 4
