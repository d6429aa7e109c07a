"""Articles in MediaWiki XML dumps."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple
from xml.etree import ElementTree

from etils import epath

from realm_tf.config import MediaWikiConfig
from realm_tf.corpus.compression import open_decompressed
from realm_tf.corpus.documents import Document, Dropped, Rejected
from realm_tf.corpus.readers.reader import RecordReader, Unreadable, lines_of
from realm_tf.corpus.wikitext import HIDDEN_NAMESPACES, clean
from realm_tf.errors import RealmError

_EXCERPT_SIZE = 200  # bytes
# Namespaces by number: media, files, categories.
_HIDDEN_NAMESPACE = re.compile(rb'<namespace key="(?:-2|6|14)"[^>]*>([^<]+)</namespace>')
_REDIRECT = re.compile(r'\s*#\s*REDIRECT\b', re.IGNORECASE)
_TITLE = re.compile(rb'<title>.*?</title>', re.DOTALL)
# MediaWiki writes no tag within a text, nor CDATA.
_WHOLE_TEXT = re.compile(rb'<text\b[^>]*>([^<]*)</text>')
_TEMPLATE = re.compile(r'\{\{([^{}|\n]+)')
_CATEGORY = re.compile(r'\[\[([^\[\]|:\n]+):([^\[\]|\n]+)')


class Page(NamedTuple):
    """A page of a dump, as it lies there.

    Attributes:
      xml: what stands between `<page>` and `</page>`.
      is_whole: whether there is a `</page>`.
      hidden_namespaces: the names that files and categories have in this wiki, in lower case.
    """

    xml: bytes
    is_whole: bool
    hidden_namespaces: frozenset[str]


class _Article(NamedTuple):
    id: str
    title: str
    namespace: str
    is_redirect: bool
    model: str
    text: str


class MediaWikiReader(RecordReader):
    """Reads the articles of MediaWiki XML exports, such as `enwiki-latest-pages-articles.xml.bz2`.

    A record is a page; of several revisions, the last in the file is read. A page that is not XML, or not closed, costs
    no other. Of a file that breaks off, all pages before the break are given, then the page it breaks off in, which is
    rejected, and only then comes the error. After a gap in a file it goes on with the first page that begins there.

    Args:
      rules: which pages are articles; others are dropped.

    Raises:
      RealmError: if an expression in the rules is none.
    """

    def __init__(self, rules: MediaWikiConfig):
        self._namespaces = frozenset(map(str, rules.namespaces))
        self._dropped_titles = _any_of(rules.dropped_titles)
        self._dropped_templates = _any_of(rules.dropped_templates)
        self._dropped_categories = _any_of(rules.dropped_categories)
        self._dropped_sections = rules.dropped_sections

    def records(self, path: epath.PathLike) -> Iterator[Page | Unreadable]:
        with open_decompressed(path) as file:
            pieces = _split_at_pages(lines_of(file))
            header = next(pieces)
            hidden_namespaces = HIDDEN_NAMESPACES | {
                name.decode(errors='replace').lower() for name in _HIDDEN_NAMESPACE.findall(header)
            }
            found_pages = False
            for piece in pieces:
                if isinstance(piece, Unreadable):
                    yield piece
                    continue
                found_pages = True
                xml, closing, _ = piece.partition(b'</page>')
                yield Page(xml, bool(closing), hidden_namespaces)
        if not found_pages and b'<mediawiki' not in header:
            raise RealmError(
                f'{path} is no MediaWiki export: it holds neither <mediawiki> nor <page>. Give one that is, such as '
                'enwiki-latest-pages-articles.xml.bz2, or name the format of this one.'
            )

    def key(self, record: Page) -> bytes:
        texts = _WHOLE_TEXT.findall(record.xml)
        if not texts or not _is_sound(record._replace(xml=_WHOLE_TEXT.sub(b'', record.xml))):
            return record.xml
        title = _TITLE.search(record.xml)
        return (title[0] if title else b'') + texts[-1]

    def document(self, record: Page, file: str, position: int) -> Document | Rejected | Dropped:
        try:
            article = _parsed(record)
            if reason := self._unwanted(article, record.hidden_namespaces):
                return Dropped(reason, article.title)
            if not article.text.strip():
                raise ValueError('empty text')
            text = _cleaned(article.text, record.hidden_namespaces, self._dropped_sections)
        except ValueError as error:
            excerpt = record.xml.strip()[:_EXCERPT_SIZE].decode(errors='replace')
            return Rejected(file, position, str(error), excerpt)
        return Document(article.id, article.title, text) if text else Dropped('no prose', article.title)

    def _unwanted(self, page: _Article, hidden_namespaces: Collection[str]) -> str:
        """Why a page is no article; empty if it is one."""
        if page.namespace not in self._namespaces:
            return f'namespace {page.namespace}'
        if page.is_redirect:
            return 'redirect'
        if page.model != 'wikitext':
            return f'{page.model} instead of wikitext'
        if found := self._dropped_titles.search(page.title):
            return f'title with {found[0]!r}'
        for name in sorted(set(_TEMPLATE.findall(page.text))):
            if found := self._dropped_templates.fullmatch(name.replace('_', ' ').strip()):
                return f'template {found[0]!r}'
        for namespace, name in sorted(set(_CATEGORY.findall(page.text))):
            if namespace.strip().lower() in hidden_namespaces and (
                found := self._dropped_categories.fullmatch(name.replace('_', ' ').strip())
            ):
                return f'category {found[0]!r}'
        return ''


def _split_at_pages(lines: Iterable[bytes | Unreadable]) -> Iterator[bytes | Unreadable]:
    """What stands before the first `<page>`, between two, and after the last; a gap ends what stands before it.

    If the lines end in an error, it is raised after all that came before it.
    """
    parts: list[bytes] = []
    is_begun = True
    broken = None
    try:
        for line in lines:
            if isinstance(line, Unreadable):
                if is_begun:
                    yield b''.join(parts)
                yield line
                # What follows is the end of a page whose beginning is lost.
                is_begun = False
                continue
            before, *pages = line.split(b'<page>')
            parts.append(before)
            for page in pages:
                if is_begun:
                    yield b''.join(parts)
                is_begun = True
                parts = [page]
    except RealmError as error:
        broken = error
    if is_begun:
        yield b''.join(parts)
    if broken:
        raise broken


def _parsed(page: Page) -> _Article:
    if not page.is_whole:
        raise ValueError('no </page> ends it')
    try:
        page.xml.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f'not UTF-8 at byte {error.start}') from None
    try:
        root = ElementTree.fromstring(b'<page>' + page.xml + b'</page>')
    except ElementTree.ParseError as error:
        raise ValueError(f'not XML: {error}') from None
    text = root.findtext('revision[last()]/text', '')
    return _Article(
        id=root.findtext('id', '').strip(),
        title=root.findtext('title', '').strip(),
        namespace=root.findtext('ns', '0').strip(),
        is_redirect=root.find('redirect') is not None or bool(_REDIRECT.match(text)),
        model=root.findtext('revision[last()]/model', 'wikitext').strip(),
        text=text,
    )


def _is_sound(page: Page) -> bool:
    try:
        _parsed(page)
    except ValueError:
        return False
    return True


def _cleaned(wikitext: str, hidden_namespaces: Collection[str], dropped_sections: Sequence[str]) -> str:
    try:
        return clean(wikitext, hidden_namespaces, dropped_sections)
    # Whatever it is, it must not cost the other pages.
    except Exception as error:
        raise ValueError(f'wikitext that cannot be parsed: {type(error).__name__}: {error}') from error


def _any_of(expressions: Sequence[str]) -> re.Pattern:
    for expression in expressions:
        try:
            re.compile(expression)
        except re.error as error:
            raise RealmError(f'{expression!r} is no regular expression: {error}. Mend it.') from error
    # Without expressions, one that is never found.
    return re.compile('|'.join(f'(?:{expression})' for expression in expressions) or r'(?!)', re.IGNORECASE)
