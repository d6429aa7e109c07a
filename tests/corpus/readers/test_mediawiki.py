"""MediaWiki dumps: pages found, chosen and cleaned; what is broken costs nothing else; and a real dump."""

import bz2
import collections
import os
import pathlib
import re

import pytest

from realm_tf.config import MediaWikiConfig
from realm_tf.corpus.documents import Document, Dropped, Rejected
from realm_tf.corpus.readers.mediawiki import MediaWikiReader
from realm_tf.errors import RealmError

HEADER = (
    '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" xml:lang="de">\n  <siteinfo><namespaces>\n'
    '      <namespace key="6" case="first-letter">Datei</namespace>\n'
    '      <namespace key="14" case="first-letter">Kategorie</namespace>\n  </namespaces></siteinfo>\n'
)
FOOTER = '</mediawiki>\n'


def page(title='Cat', text='The [[cat]] &amp; dog.', id='7', namespace='0', model='wikitext', extra=''):
    return (
        f'  <page>\n    <title>{title}</title>\n    <ns>{namespace}</ns>\n    <id>{id}</id>\n    {extra}\n'
        f'    <revision>\n      <id>99</id>\n      <model>{model}</model>\n'
        f'      <text bytes="5" xml:space="preserve">{text}</text>\n    </revision>\n  </page>\n'
    )


def read(path, reader=None):
    reader = reader or MediaWikiReader(MediaWikiConfig())
    return [reader.document(record, str(path), position) for position, record in enumerate(reader.records(path), 1)]


@pytest.fixture
def written(tmp_path):
    def write(*pages, header=HEADER, footer=FOOTER):
        path = tmp_path / 'dump.xml'
        path.write_text(header + ''.join(pages) + footer, encoding='utf-8')
        return path

    return write


def test_a_page_is_a_document(written):
    path = written(page(), page('Ä &amp; B', "'''Ä''' [[Datei:a.jpg|mini|b]]", id='8'))
    assert read(path) == [Document('7', 'Cat', 'The cat & dog.'), Document('8', 'Ä & B', 'Ä')]


@pytest.mark.parametrize(
    ('record', 'reason'),
    [
        (page(extra='<redirect title="Dog" />'), 'redirect'),
        (page(text='#REDIRECT [[Dog]]'), 'redirect'),
        (page(namespace='10'), 'namespace 10'),
        (page(namespace='828', text=''), 'namespace 828'),
        (page(model='json', text='{}'), 'json instead of wikitext'),
        (page('List of cats'), "title with 'List of '"),
        (page('Cat (disambiguation)'), "title with '(disambiguation)'"),
        (page(text='* a\n{{Disambiguation|geo}}'), "template 'Disambiguation'"),
        (page(text='* a\n{{Human_name disambiguation}}'), "template 'Human name disambiguation'"),
        (page(text='* a [[Kategorie: All disambiguation pages | ]]'), "category 'All disambiguation pages'"),
        (page(text='{{Infobox|a=b}}\n== See also ==\n* c'), 'no prose'),
    ],
)
def test_a_page_that_is_no_article_is_dropped(written, record, reason):
    (dropped,) = read(written(record))
    assert isinstance(dropped, Dropped) and dropped.reason == reason and dropped.title


@pytest.mark.parametrize(
    'record',
    [
        page('Enlist of cats'),
        page(text='{{Redirect|Cat|other uses|Cat (disambiguation)}}The cat.{{Disambiguation needed}}'),
        page(text='[[:Category:Disambiguation pages]] a'),
    ],
)
def test_an_article_is_kept(written, record):
    assert isinstance(read(written(record))[0], Document)


def test_rules_can_be_changed(written):
    path = written(
        page('List of cats'), page('Katze', namespace='4'), page(text='{{Stub}} a\n== Quellen ==\nb', id='9')
    )
    reader = MediaWikiReader(
        MediaWikiConfig(
            namespaces=[0, 4], dropped_titles=['^kat'], dropped_templates=['stub|stubs'], dropped_categories=[]
        )
    )
    assert [type(one) for one in read(path, reader)] == [Document, Dropped, Dropped]
    reader = MediaWikiReader(MediaWikiConfig(dropped_sections=['Quellen']))
    assert read(path, reader)[2] == Document('9', 'Cat', 'a')


def test_an_expression_that_is_none_is_refused():
    with pytest.raises(RealmError, match=r"'\(open' is no regular expression"):
        MediaWikiReader(MediaWikiConfig(dropped_titles=('fine', '(open')))


def test_broken_pages_are_rejected_with_their_reasons_and_cost_no_other(written):
    cut = page('Cut')
    pages = [
        page(id='1'),
        page('Broken', 'a <b> c'),
        page('Entity', '&nosuch;'),
        cut[: cut.index('</text>')],
        page('Empty', ' '),
        '  <page><title>No revision</title></page>\n',
        page('Bytes', 'a @@ b'),
        page(id='2'),
    ]
    path = written(*pages)
    path.write_bytes(path.read_bytes().replace(b'@@', b'\xff'))
    documents = read(path)
    assert [one.id for one in documents if isinstance(one, Document)] == ['1', '2']
    rejected = [one for one in documents if isinstance(one, Rejected)]
    assert [one.position for one in rejected] == [2, 3, 4, 5, 6, 7]
    assert all(one.file == str(path) and one.excerpt.startswith('<title>') for one in rejected)
    reasons = [
        'not XML: mismatched tag',
        'not XML: undefined entity',
        'no </page>',
        'empty',
        'empty',
        'not UTF-8 at byte',
    ]
    for one, reason in zip(rejected, reasons, strict=True):
        assert one.reason.startswith(reason)


def test_a_page_the_parser_fails_on_is_rejected(written, monkeypatch):
    def fail(*_):
        raise RecursionError('too deep')

    monkeypatch.setattr('realm_tf.corpus.readers.mediawiki.clean', fail)
    (rejected,) = read(written(page()))
    assert rejected.reason == 'wikitext that cannot be parsed: RecursionError: too deep'


def test_pages_need_no_lines_of_their_own_and_the_last_revision_counts(written):
    old = '<revision><text>old</text></revision>'
    path = written(*(page(id=str(id), extra=old).replace('\n', ' ') for id in range(3)))
    assert read(path) == [Document(str(id), 'Cat', 'The cat & dog.') for id in range(3)]


def test_the_key_is_title_and_text(written):
    reader = MediaWikiReader(MediaWikiConfig())
    # Two of the last have the same title and text, and are no documents.
    damaged = [page(id='@'), page(extra='<b>')]
    path = written(page(id='1'), page(id='2'), page('Dog', id='1'), page(text='b'), '<page>', '<page>a', *damaged)
    path.write_bytes(path.read_bytes().replace(b'@', b'\xff'))
    assert [type(one) for one in read(path, reader)[-2:]] == [Rejected, Rejected]
    keys = [reader.key(record) for record in reader.records(path)]
    assert keys[0] == keys[1]
    assert len(set(keys)) == len(keys) - 1


def test_multistream_dumps_are_read_whole(tmp_path):
    path = tmp_path / 'dump.xml.bz2'
    parts = [HEADER, page(id='1') + page(id='2'), page(id='3'), FOOTER]
    path.write_bytes(b''.join(bz2.compress(part.encode()) for part in parts))
    assert [document.id for document in read(path)] == ['1', '2', '3']


def test_of_a_dump_that_is_cut_off_all_whole_pages_are_read_before_the_error(tmp_path):
    path = tmp_path / 'dump.xml.bz2'
    streams = [
        bz2.compress(part.encode()) for part in (HEADER + page(id='1'), page(id='2') + page(id='3')[:60], FOOTER)
    ]
    path.write_bytes(streams[0] + streams[1] + streams[2][:-8])
    records = MediaWikiReader(MediaWikiConfig()).records(path)
    pages = [next(records) for _ in range(3)]
    with pytest.raises(RealmError, match=r'dump\.xml\.bz2 cannot be read'):
        next(records)
    documents = [MediaWikiReader(MediaWikiConfig()).document(record, 'dump', 1) for record in pages]
    assert [type(one) for one in documents] == [Document, Document, Rejected]
    assert documents[2].reason == 'no </page> ends it'


def test_a_file_that_is_no_dump_is_refused(tmp_path):
    path = tmp_path / 'articles.jsonl'
    path.write_text('{"id": "1"}\n')
    with pytest.raises(RealmError, match=r'articles\.jsonl is no MediaWiki export'):
        list(MediaWikiReader(MediaWikiConfig()).records(path))


def test_an_export_without_pages_is_empty(written):
    assert read(written()) == []


DATA = pathlib.Path(os.environ.get('REALM_DATA', pathlib.Path(__file__).parents[3] / '../shared/data')) / 'wikidump'
RESIDUE = re.compile(
    r"""\{\{|\}\}|\[\[|\]\]|\{\||\|-|\|\}|</?ref|thumb\||&nbsp;|''|__[A-Z]+__"""
    r'|\(\s*[,;)]|[,;]\s*\)| , |==|</?\w+>|\bcolspan|\balign=|\bstyle=|https?://|\xa0|^\s|\s$|\n\n'
)


@pytest.fixture(scope='module')
def dump():
    if not DATA.exists():
        pytest.skip('no Wikipedia dump: set REALM_DATA to the folder that holds wikidump/')
    return {path.name: read(path) for path in sorted(DATA.glob('*.bz2'))}


def test_pages_of_a_real_dump_are_counted(dump):
    articles, tables = dump.values()
    assert (len(articles), len(tables)) == (206, 5)
    counts = collections.Counter(type(one) for one in articles)
    assert counts == {Document: 96, Dropped: 110}
    reasons = collections.Counter(one.reason.split()[0] for one in articles if isinstance(one, Dropped))
    assert reasons == {'redirect': 99, 'title': 7, 'template': 3, 'namespace': 1}
    assert collections.Counter(type(one) for one in tables) == {Document: 4, Dropped: 1}


def test_no_markup_is_left_in_a_real_dump(dump):
    residue = [
        (one.title, one.text[max(0, match.start() - 30) : match.end() + 30])
        for pages in dump.values()
        for one in pages
        if isinstance(one, Document)
        for match in RESIDUE.finditer(one.text)
    ]
    assert residue == []


def test_articles_of_a_real_dump_read_as_they_do_on_the_page(dump):
    texts = {one.title: one.text for pages in dump.values() for one in pages if isinstance(one, Document)}
    begins = {
        'Albedo': 'Albedo or reflection coefficient, derived from Latin albedo "whiteness" (or reflected sunlight) in',
        'Aruba': 'Aruba is a constituent country of the Kingdom of the Netherlands in the southern Caribbean Sea, '
        'located about 1,600 km west of the main part of the Lesser Antilles and 29 km north of the coast of',
        'Alain Connes': 'Alain Connes (born 1 April 1947) is a French mathematician, currently Professor at',
        'Achilles': 'In Greek mythology, Achilles (Ἀχιλλεύς, Akhilleus) was a Greek hero of the Trojan War and',
        'Alkali metal': 'The alkali metals are a group (column) in the periodic table consisting of the chemical '
        'elements lithium (Li), sodium (Na), potassium (K), rubidium (Rb), caesium (Cs), and francium (Fr).',
    }
    for title, begin in begins.items():
        assert texts[title].startswith(begin)
