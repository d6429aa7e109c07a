"""What WikiExtractor writes, in both of its formats and of several versions."""

import json

import pytest

from realm_tf.corpus.documents import Document, Dropped, Rejected
from realm_tf.corpus.readers.wikiextractor import WikiExtractorReader

READER = WikiExtractorReader()
ELEMENT = '<doc id="{id}" url="https://en.wikipedia.org/wiki?curid={id}" title="{title}">\n{title}\n\n{text}\n</doc>\n'


def read(path):
    return [READER.document(record, str(path), number) for number, record in enumerate(READER.records(path), start=1)]


def json_line(id, title, text):
    return json.dumps({'id': id, 'revid': '9', 'url': f'?curid={id}', 'title': title, 'text': text}) + '\n'


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'wiki_00'


@pytest.mark.parametrize('write', [json_line, lambda id, title, text: ELEMENT.format(id=id, title=title, text=text)])
def test_pages_are_read_and_unescaped(path, write):
    pages = [
        ('12', 'AT&amp;T', 'AT&amp;T is a company &lt;1885&gt;.\n\nHistory.\nIt began.'),
        ('13', '"Weird Al" Yankovic', '"Weird Al" sings.'),
        ('14', 'Redirect', ''),
        ('15', 'A > B', '<doc> and </doc> as words in a text'),
    ]
    path.write_text(''.join(write(*page) for page in pages))
    assert read(path) == [
        Document('12', 'AT&T', 'AT&T is a company <1885>.\n\nHistory.\nIt began.'),
        Document('13', '"Weird Al" Yankovic', '"Weird Al" sings.'),
        Dropped('empty page', 'Redirect'),
        Document('15', 'A > B', '<doc> and </doc> as words in a text'),
    ]


def test_the_title_before_the_text_is_removed_once(path):
    path.write_text(json_line('1', 'Go', 'Go\n\nGo\nis a game.') + json_line('2', 'Go', 'Go is a game.'))
    assert [document.text for document in read(path)] == ['Go\nis a game.', 'Go is a game.']


def test_elements_may_tell_the_revision(path):
    path.write_text('<doc id="1" revid="22" url="x" title="T">\nT\n\ntext\n\n</doc>\n')
    assert read(path) == [Document('1', 'T', 'text')]


@pytest.mark.parametrize('line_end', ['\n', '\r\n'])
def test_a_title_ends_with_its_line_however_that_ends(path, line_end):
    element = '<doc id="1" url="u" title="T">\nT\n\nfoo <div class="x">\nbar\n</doc>\n'
    path.write_text(element * 2, newline=line_end)
    assert read(path) == [Document('1', 'T', 'foo <div class="x">\nbar')] * 2


def test_a_broken_record_costs_nothing_but_itself(path):
    good = ELEMENT.format(id=1, title='T', text='text').encode()
    bad = [b'{"id": "1", "title"\n', b'stray\n', b'<doc id="2">\nopen\n', good.replace(b'text', b'\xff')]
    path.write_bytes(good + good.join(bad) + good + b'<doc id="3" url="" title="cut">\ntext\n')
    records = read(path)
    assert records[:-1:2] == [Document('1', 'T', 'text')] * 5
    rejected = [*records[1::2]]
    assert all(isinstance(record, Rejected) for record in rejected)
    assert [(record.position, record.reason) for record in rejected] == [
        (2, "not JSON at column 20: Expecting ':' delimiter"),
        (4, 'not JSON at column 1: Expecting value'),
        (6, 'a <doc> without id, title or end'),
        (8, f'not UTF-8 at byte {good.index(b"text")}'),
        (10, 'a <doc> without id, title or end'),
    ]


def test_a_folder_is_read_in_order(tmp_path):
    for number, name in enumerate(('AB/wiki_00', 'AA/wiki_01', 'AA/wiki_00')):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json_line(str(number), 'T', name))
    assert [document.text for document in read(tmp_path)] == ['AA/wiki_00', 'AA/wiki_01', 'AB/wiki_00']


def test_duplicates_have_a_key_in_common_whatever_their_ids():
    one, same, other = (
        READER.key(page.encode()) for page in (json_line('1', 'T', 'x'), ELEMENT.format(id=2, title='T', text='x'), 'x')
    )
    assert one == same != other
