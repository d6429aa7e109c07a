"""Wikitext to prose.

Three steps, in the order in which MediaWiki takes them. First what is found by its ends alone: comments, tags, tables.
Then what a reader sees of links and templates is kept: of those without markup in them, an expression finds it; the
rest, one in another, mwparserfromhell parses. Last the lines are put right: quotes, entities, what removed templates
left behind, headings of sections that have become empty.
"""

import functools
import html
import re
from collections.abc import Collection, Iterable

from realm_tf.config import MediaWikiConfig
from realm_tf.corpus.wikitext_tokens import HEADING, ITEM, NOTHING, visible_text, without_plain_markup

# Namespaces whose links show no text; every wiki knows these names beside those of its own language.
HIDDEN_NAMESPACES = frozenset(['file', 'image', 'media', 'category'])


def clean(
    wikitext: str,
    hidden_namespaces: Collection[str] = HIDDEN_NAMESPACES,
    dropped_sections: Iterable[str] = MediaWikiConfig().dropped_sections,
) -> str:
    """Turns wikitext to prose.

    Gone are templates, tables, references, files, categories, comments, galleries, formulas, listings of code, bare
    addresses and all markup; text of links, lists and headings stays. A template that stands for words is replaced by
    them (`wikitext_templates`). What is left open (a template, a table, a tag) costs its markup and not the text behind
    it.

    Args:
      wikitext: the source of a page.
      hidden_namespaces: namespaces whose links show no text, in lower case, such as `file` and `category`.
      dropped_sections: headings of sections to leave out, with their subsections, in any case.

    Returns:
      The text: a paragraph, heading or list item a line. None of the marks `{{`, `}}`, `[[`, `]]`, `{|`, `|}`, `|-` is
      in it.
    """
    text = _CONTROL.sub('', wikitext)
    text = without_plain_markup(_without_tags(_without_tables(_without_opaque_tags(text))))
    text = _with_open_brackets_hidden(text)
    text = _with_paragraphs_joined(_without_what_was_left_open(visible_text(text, hidden_namespaces)))
    lines = [_tidied(line) for line in text.replace(_BREAK, '\n').split('\n')]
    return '\n'.join(_without_empty_sections(lines, {title.casefold() for title in dropped_sections}))


# Like those of `wikitext_tokens`, characters that stand for something between two steps: `_CONTROL` removes them first.
_BREAK = '\x03'
_HIDDEN = {'{{': '\x05', '}}': '\x06', '[[': '\x07', ']]': '\x08'}
_CONTROL = re.compile(r'[\x00-\x08\x0b-\x1f\x7f\ufffe\uffff\ud800-\udfff]')

# Tags whose content is not wikitext, or not prose.
_OPAQUE_TAGS = (
    'nowiki|ref|references|math|chem|ce|gallery|timeline|imagemap|score|graph|mapframe|maplink|hiero|syntaxhighlight|'
    'source|pre|poem|templatedata|templatestyles|indicator|inputbox|categorytree|charinsert|includeonly|style|script'
)
_OPAQUE = re.compile(rf'<!--|<({_OPAQUE_TAGS})\b([^<>]*)>', re.IGNORECASE)
_FORMULA = re.compile(r'[^\\{}\n]*')
_NOT_LITERAL = re.compile(r"[\[\]{}|'*#:;=<>&_]")


def _without_opaque_tags(text: str) -> str:
    """Comments, and tags whose content is not wikitext, from left to right as MediaWiki finds them."""
    parts = []
    position = 0
    # So that many tags that are never closed are looked for once.
    never_closed = set()
    while opening := _OPAQUE.search(text, position):
        parts.append(text[position : opening.start()])
        position = opening.end()
        name = (opening[1] or '--').lower()
        if name in never_closed or (opening[2] or '').endswith('/'):
            parts.append(_shown_of_opaque(name, '', ''))
            continue
        closing = _closing_of(name).search(text, position)
        if closing is None:
            never_closed.add(name)
        elif closing[0]:
            parts.append(_shown_of_opaque(name, opening[2], text[position : closing.start()]))
            position = closing.end()
    parts.append(text[position:])
    return ''.join(parts)


@functools.cache
def _closing_of(name: str) -> re.Pattern:
    if name == '--':
        return re.compile('-->')
    # References are the most often left open. If the next begins before one has ended, what is between them is text.
    begins_again = r'|(?=<ref\b[^<>]*(?<!/)>)' if name == 'ref' else ''
    return re.compile(rf'</{name}\s*>{begins_again}', re.IGNORECASE)


def _shown_of_opaque(name: str, attributes: str, content: str) -> str:
    if name == 'poem':
        lines = _without_opaque_tags(content).split('\n')
        return ''.join(f'{_BREAK}{line}' for line in lines) + _BREAK
    literal = (
        name == 'nowiki'
        or (name in ('math', 'chem', 'ce') and _FORMULA.fullmatch(content))
        or (name in ('syntaxhighlight', 'source') and re.search(r'\binline\b', attributes))
    )
    shown = _NOT_LITERAL.sub(lambda sign: f'&#{ord(sign[0])};', content) if literal else ''
    # MediaWiki takes comments away first; quotes on both sides of anything else do not belong together.
    return shown if name == '--' else shown + NOTHING


_TABLE_START = re.compile(r'[\s:*]*\{\|')
# Three braces end a table and the template around it; two end a template whose last argument is empty.
_TABLE_END = re.compile(r'\s*\|\}(?!\}(?!\}))')
_HTML_TABLE = re.compile(r'<table\b[^<>]*>(?:(?!<table\b).)*?</table\s*>', re.IGNORECASE | re.DOTALL)
_DEEPEST_HTML_TABLE = 5


def _without_tables(text: str) -> str:
    """Tables, and tables in tables; of one that is not closed before the next heading, the text stays."""
    if '{|' in text:
        text = '\n'.join(_lines_outside_tables(text.split('\n')))
    for _ in range(_DEEPEST_HTML_TABLE):
        text, found = _HTML_TABLE.subn(_BREAK, text)
        if not found:
            break
    return text


def _lines_outside_tables(lines: Iterable[str]) -> list[str]:
    kept: list[str] = []
    # Where the lines of each open table begin in `kept`, all but its headers, as it may never be closed: then its rows
    # are left to `_TABLE_LINE`.
    opened: list[int] = []
    for line in lines:
        if start := _TABLE_START.match(line):
            if not line[start.end() :].rstrip().endswith('|}'):
                opened.append(len(kept))
        elif not opened:
            kept.append(line)
        elif end := _TABLE_END.match(line):
            del kept[opened.pop() :]
            kept.append(line[end.end() :])
        elif not line.startswith('!'):
            if line.startswith('=') and line.rstrip().endswith('='):
                opened.clear()
            kept.append(line)
    return kept


_LINE_TAGS = 'br|hr|p|div|blockquote|center|li|ul|ol|dl|dt|dd|tr|td|th|table|caption|h1|h2|h3|h4|h5|h6|section'
_INLINE_TAGS = (
    'a|abbr|b|bdi|bdo|big|cite|code|data|del|dfn|em|font|i|ins|kbd|languages|mark|noinclude|onlyinclude|q|rb|rp|rt|'
    'ruby|s|samp|small|span|strike|strong|sub|sup|time|translate|tt|tvar|u|var|wbr'
)
# It begins with what is rare: to look behind every sign costs more than all else here.
_EXPONENT = re.compile(r'<sup>(?<=\d<sup>)([-−–]?\d+)</sup>', re.IGNORECASE)
_OPEN_REFERENCE = re.compile(r'</?ref\b(?:\s+\w+\s*=\s*(?:"[^"\n]*"|[^\s<>]+))*\s*/?>?', re.IGNORECASE)
_TAG = re.compile(rf'</?(?:({_LINE_TAGS})|{_INLINE_TAGS}|{_OPAQUE_TAGS})\b[^<>]*>', re.IGNORECASE)


def _without_tags(text: str) -> str:
    """Tags of HTML, whose content stays; those that stand for a line end become one."""
    text = _EXPONENT.sub(r'^\1', text)
    text = _TAG.sub(lambda tag: _BREAK if tag[1] else '', text)
    # What looks like a tag now is text, and would keep the parser busy for minutes.
    return _OPEN_REFERENCE.sub('', text).replace('<', '&lt;')


_BRACKETS = re.compile(r'\{\{|\}\}|\[\[|\]\]')
_OTHER_HALF = {'}}': '{{', ']]': '[['}
_DEEPEST_BRACKETS = 40
# An address whose line ends, or in whose text another bracket begins, before its own bracket is closed.
_OPEN_ADDRESS = re.compile(r'\[(?=\w*:?//[^\[\]\n]*(?:\[(?!\[)|\n|\Z))')


def _with_open_brackets_hidden(text: str) -> str:
    """Hides brackets whose other half is missing: from each of them, the parser would read to the end of the text."""
    text = _OPEN_ADDRESS.sub('', text)
    kept = set()
    opened = []
    num_open = dict.fromkeys(_OTHER_HALF.values(), 0)
    num_brackets = 0
    for bracket in _BRACKETS.finditer(text):
        num_brackets += 1
        sign, position = bracket[0], bracket.start()
        if sign in num_open:
            opened.append((sign, position))
            num_open[sign] += 1
            continue
        wanted = _OTHER_HALF[sign]
        # Those of the other kind that were opened since have no end.
        while num_open[wanted]:
            opening, start = opened.pop()
            num_open[opening] -= 1
            if opening == wanted:
                if len(opened) < _DEEPEST_BRACKETS:
                    kept.update([start, position])
                break
    if len(kept) == num_brackets:
        return text
    return _BRACKETS.sub(lambda bracket: bracket[0] if bracket.start() in kept else _HIDDEN[bracket[0]], text)


_OPEN_FILE = re.compile(r'\[\[\s*(?:file|image|media)\s*:[^\n]*', re.IGNORECASE)
_OPEN_LINK = re.compile(r'\[\[(?:[^\[\]{}|\n]*\|)?')
_OPEN_TEMPLATE_LINE = re.compile(r'^[ \t]*\{\{[^}\n]*$', re.MULTILINE)
_OPEN_TEMPLATE = re.compile(r'\{\{[^{}\n]*\}')
_TABLE_LINE = re.compile(rf'^[ \t{ITEM}{NOTHING}]*(?:\{{\||\||!.*(?:\||!!)).*$', re.MULTILINE)
_LEFT_OPEN_AND_SIGNS = (
    (_OPEN_FILE, ['[[']),
    (_OPEN_LINK, ['[[']),
    (_OPEN_TEMPLATE_LINE, ['{{']),
    (_OPEN_TEMPLATE, ['{{']),
    (_TABLE_LINE, ['|', '!!']),
)


def _without_what_was_left_open(text: str) -> str:
    """Removes markup that the parser took for text, because its end is missing or spoilt."""
    for bracket, hidden in _HIDDEN.items():
        text = text.replace(hidden, bracket)
    # What looks at every line takes its time: it is tried where a sign of it is in the text.
    for markup, signs in _LEFT_OPEN_AND_SIGNS:
        if any(sign in text for sign in signs):
            text = markup.sub('', text)
    return text


def _with_paragraphs_joined(text: str) -> str:
    """Joins the lines of paragraphs, as a line end among them is no more than a space; their quotes go line by line."""
    parts = []
    within_paragraph = False
    for line in text.split('\n'):
        goes_on = line.strip(f' \t{NOTHING}') != '' and line[0] not in f' \t{ITEM}{HEADING}{_BREAK}'
        parts += [' ' if goes_on and within_paragraph else '\n', _without_quotes(line)]
        within_paragraph = goes_on
    return ''.join(parts)


def _without_quotes(line: str) -> str:
    """A line without the quotes that make text bold or italic; apostrophes stay.

    The rules are those of MediaWiki. In `L'''Idiot''`, neither bold nor italic quotes come in pairs: one bold mark is
    an apostrophe and an italic mark.
    """
    if "''" not in line:
        return line
    runs = list(re.finditer(r"'{2,}", line))
    lengths = [len(run[0]) for run in runs]
    apostrophes = [1 if length == 4 else max(0, length - 5) for length in lengths]
    bold = [index for index, length in enumerate(lengths) if length not in (2, 5) and length < 5]
    num_bold = sum(length != 2 for length in lengths)
    num_italic = sum(length == 2 or length >= 5 for length in lengths)
    if num_bold % 2 and num_italic % 2 and bold:
        apostrophes[min(bold, key=lambda index: _rank_of_apostrophe(line, runs[index].start()))] += 1
    pieces = []
    position = 0
    for run, number in zip(runs, apostrophes, strict=True):
        pieces += [line[position : run.start()], "'" * number]
        position = run.end()
    return ''.join([*pieces, line[position:]])


def _rank_of_apostrophe(line: str, position: int) -> int:
    """Where a bold mark most likely begins with an apostrophe (0): after a word of one letter; least, after a space."""
    before = f'  {line[max(0, position - 2) : position]}'
    if before[-1].isspace():
        return 2
    return 0 if before[-2].isspace() else 1


# https://www.mediawiki.org/wiki/Help:Magic_words#Behavior_switches
_SWITCHES = (
    'NOTOC|FORCETOC|TOC|NOEDITSECTION|NEWSECTIONLINK|NONEWSECTIONLINK|NOGALLERY|HIDDENCAT|EXPECTUNUSEDCATEGORY|'
    'EXPECTUNUSEDTEMPLATE|NOCONTENTCONVERT|NOCC|NOTITLECONVERT|NOTC|START|END|INDEX|NOINDEX|STATICREDIRECT|DISAMBIG|'
    'NOGLOBAL|EXPECTEDUNCONNECTEDPAGE|ARCHIVEDTALK|NOTALK'
)
_SWITCH = re.compile(rf'__(?:{_SWITCHES})__')
_ENTITY = re.compile(r'&(?:#\d{1,7}|#[xX][\da-fA-F]{1,6}|[A-Za-z]\w{1,31});')
_INVISIBLE = re.compile(rf'[{NOTHING}\xad\u200b\u200e\u200f\u2060\ufeff\ud800-\udfff]')
_ITEM_WITHIN = re.compile(rf' ?{ITEM} ?')
_SIGN = re.compile(r'[{}\[\]|<]')
_MARK = re.compile(r'\{\{+|\}\}+|\[\[+|\]\]+|\{\||\|\}|\|(?=-)|<(?=ref)|thumb\|', re.IGNORECASE)


def _tidied(line: str) -> str:
    """A line without entities and what removed templates left in it; empty if no word is left.

    Most lines have nothing to put right: what an expression would look for is looked for first, which is faster.
    """
    if not _has_a_word(line):
        return ''
    level = len(line) - len(line.lstrip(HEADING))
    line = line[level:]
    if '&' in line:
        line = _ENTITY.sub(lambda entity: html.unescape(entity[0]), line)
    if '__' in line:
        line = _SWITCH.sub('', line)
    if NOTHING in line or not line.isascii():
        line = _INVISIBLE.sub('', line)
    line = _with_single_spaces(line).lstrip(f' {ITEM}')
    if ITEM in line:
        line = _ITEM_WITHIN.sub(': ', line)
    line = _closed_up(line)
    # Whatever is left of markup, and whatever has become markup by what was taken out.
    if _SIGN.search(line):
        line = _MARK.sub(' ', line)
    line = _with_single_spaces(line)
    return HEADING * level + line if _has_a_word(line) else ''


def _has_a_word(line: str) -> bool:
    return any(map(str.isalnum, line))


def _with_single_spaces(line: str) -> str:
    # Of all white space a single kind is printable.
    return line.strip(' ') if '  ' not in line and line.isprintable() else ' '.join(line.split())


# They begin with what is rare: to try at every space costs more than all else here.
_PARENTHESES = re.compile(r'[(（]([^()（）]*)[)）]')
_OF_NOTHING = re.compile(f' ?{NOTHING}')
_DEEPEST_PARENTHESES = 2
_LEFT_OPEN = re.compile(r'[,.;:)\]](?<=[ ,;:].)')
_SPACE_BEFORE = re.compile(r' +([,.;:)\]])(?=\s|$)')
_COMMAS_BEHIND = re.compile(r'([,;:])(?:\s*,)+(?=\s|$)')
_STOP_BEHIND = re.compile(r'[,;:]\s*\.(?=\s|$)')
_SIGN_AT_THE_START = re.compile(r'\s*[,;:.]\s+')
_LABEL_OF_NOTHING = re.compile(r'(^|[;,])[^;,:]{0,30}:\s*(?=[;,]|$)')
_REPEATED_SEPARATORS = re.compile(r'\s*[;,](?:\s*[;,])+')


def _closed_up(line: str) -> str:
    """Closes what removed templates left open: `Paris ( ; ), , is` becomes `Paris, is`."""
    if '(' in line or '（' in line:
        for _ in range(_DEEPEST_PARENTHESES):
            shown = _PARENTHESES.sub(_shown_of_parentheses, line)
            if shown == line:
                break
            line = _OF_NOTHING.sub('', shown)
    if _LEFT_OPEN.search(line):
        line = _SPACE_BEFORE.sub(r'\1', line)
        line = _COMMAS_BEHIND.sub(r'\1', line)
        line = _STOP_BEHIND.sub('.', line)
    opening = _SIGN_AT_THE_START.match(line)
    return line[opening.end() :] if opening else line


def _shown_of_parentheses(match: re.Match) -> str:
    content = match[1]
    # Before anything is put right, because a sign alone may be meant: (!), (?).
    if not content.strip(' \t,;:./·–—-'):
        return NOTHING
    kept = _LABEL_OF_NOTHING.sub(r'\1', content) if ':' in content else content
    kept = _REPEATED_SEPARATORS.sub(lambda signs: ';' if ';' in signs[0] else ',', kept)
    kept = kept.strip().strip(',;').strip()
    return f'{match[0][0]}{kept}{match[0][-1]}' if kept else NOTHING


def _without_empty_sections(lines: Iterable[str], dropped_titles: Collection[str]) -> list[str]:
    """Drops lines without text, sections by their headings, and headings that nothing follows."""
    kept = []
    dropped_level = None
    for line in filter(None, lines):
        title = line.lstrip(HEADING)
        level = len(line) - len(title)
        if level and (dropped_level is None or level <= dropped_level):
            dropped_level = level if title.casefold() in dropped_titles else None
        if dropped_level is None:
            kept.append((level, title))
    shown = []
    next_level = 1
    for level, text in reversed(kept):
        # A heading needs a line of text below it, or a heading of a subsection that stays.
        if not level or next_level == 0 or next_level > level:
            shown.append(text)
            next_level = level
    return shown[::-1]
