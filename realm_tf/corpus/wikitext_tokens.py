"""What a reader of a page sees of its wikitext, without its lists, headings and line ends put right.

Most links and templates have no markup in them: what is seen of these, two expressions say. Of all else
mwparserfromhell makes tokens. Its tree of nodes, each of which can be changed and written as wikitext again, takes most
of its time and is not needed to read a text once from front to back.
"""

import re
from collections.abc import Callable, Collection

from mwparserfromhell.parser import Parser, tokens

from realm_tf.corpus import wikitext_templates

# Characters that stand for something until the lines are put right, and that no text holds: `clean` removes them first.
ITEM = '\x01'
HEADING = '\x02'
NOTHING = '\x04'

_LIST_MARKS = (':', ';', '*', '#', '----')
_INTERLANGUAGE = re.compile(r'(?:[a-z]{2,3}(?:-[a-z]+)*|simple)\s*:')


# A link without markup in it, to a page that is neither of a namespace nor of another wiki. Without its brackets, an
# equals sign would be that of an argument, and what it touches could become an address.
_WORDS = r"[^\W_][^\[\]{}|=:#&<>'*;_\n]*"
_PLAIN_LINK = re.compile(rf'\[\[(?<![\w{{:/.,;?&=%~+#@$-]\[\[)({_WORDS})(?:\| *({_WORDS}))?\]\](?!\w*:)')
_PLAIN_TEMPLATE = re.compile(r'\{\{(?<!\{\{\{)(\w[^\[\]{}|<>#\n]*)\n?(?:\|[^\[\]{}]*)?\}\}(?!\})')
# An infobox has templates in its arguments.
_DEEPEST_PLAIN_TEMPLATE = 2


def without_plain_markup(wikitext: str) -> str:
    """Puts text for links that have no markup in them, and `NOTHING` for such templates that have no text."""
    text = _PLAIN_LINK.sub(lambda link: (link[2] or link[1]).rstrip(), wikitext)
    for _ in range(_DEEPEST_PLAIN_TEMPLATE):
        text = _PLAIN_TEMPLATE.sub(_shown_of_plain_template, text)
    return text


def _shown_of_plain_template(template: re.Match) -> str:
    return NOTHING if wikitext_templates.renderer(template[1]) is None else template[0]


def visible_text(wikitext: str, hidden_namespaces: Collection[str]) -> str:
    """The text of links, templates, headings and lists.

    Args:
      wikitext: of a page, without tags and tables.
      hidden_namespaces: namespaces whose links show no text, in lower case.

    Returns:
      The text, with `HEADING` once for each level before a heading, `ITEM` for the mark of a list item, and `NOTHING`
      where a template without text was.
    """
    # Quotes are left to the lines: their nesting makes tokens slow, and they mean nothing here.
    made = Parser()._tokenizer.tokenize(wikitext, 0, True)
    return _Reader(made, hidden_namespaces).rest()


class _Reader:
    """Reads tokens from front to back: what begins is read to its end by the method for its kind."""

    def __init__(self, made: list[tokens.Token], hidden_namespaces: Collection[str]):
        self._tokens = iter(made)
        self._hidden_namespaces = hidden_namespaces

    def rest(self) -> str:
        """The text to the end."""
        return self._until()[0]

    def _until(self, *ends: type[tokens.Token]) -> tuple[str, type[tokens.Token] | None]:
        """The text before the next of these tokens that belongs to what is being read, and which of them it is."""
        parts = []
        for token in self._tokens:
            kind = type(token)
            if kind is tokens.Text:
                parts.append(token['text'])
            elif kind in ends:
                return ''.join(parts), kind
            elif kind in _METHODS:
                parts.append(_METHODS[kind](self, token))
        return ''.join(parts), None

    def _link(self, _: tokens.Token) -> str:
        target, end = self._until(tokens.WikilinkSeparator, tokens.WikilinkClose)
        text = self._until(tokens.WikilinkClose)[0].strip() if end is tokens.WikilinkSeparator else ''
        target = target.strip()
        namespace, colon, _ = target.partition(':')
        if colon and namespace.strip().lower() in self._hidden_namespaces:
            return ''
        if text:
            return text
        if _INTERLANGUAGE.match(target):
            # The same article in another language: a link beside the text, not in it.
            return ''
        return target.removeprefix(':').replace('_', ' ')

    def _address(self, _: tokens.Token) -> str:
        _, end = self._until(tokens.ExternalLinkSeparator, tokens.ExternalLinkClose)
        return self._until(tokens.ExternalLinkClose)[0] if end is tokens.ExternalLinkSeparator else ''

    def _template(self, _: tokens.Token) -> str:
        name, end = self._until(tokens.TemplateParamSeparator, tokens.TemplateClose)
        text = wikitext_templates.renderer(name)
        arguments, number = {}, 1
        while end is tokens.TemplateParamSeparator:
            value, end = self._until(tokens.TemplateParamEquals, tokens.TemplateParamSeparator, tokens.TemplateClose)
            if end is tokens.TemplateParamEquals:
                name = value.strip()
                value, end = self._until(tokens.TemplateParamSeparator, tokens.TemplateClose)
            else:
                name, number = str(number), number + 1
            arguments[name] = value.strip()
        return NOTHING if text is None else text(arguments)

    def _argument(self, _: tokens.Token) -> str:
        _, end = self._until(tokens.ArgumentSeparator, tokens.ArgumentClose)
        return self._until(tokens.ArgumentClose)[0] if end is tokens.ArgumentSeparator else ''

    def _heading(self, token: tokens.Token) -> str:
        return HEADING * token['level'] + self._until(tokens.HeadingEnd)[0].strip()

    def _entity(self, _: tokens.Token) -> str:
        parts = []
        for token in self._tokens:
            match token:
                case tokens.HTMLEntityNumeric():
                    parts.append('#')
                case tokens.HTMLEntityHex():
                    parts.append(token['char'])
                case tokens.Text():
                    parts.append(token['text'])
                case tokens.HTMLEntityEnd():
                    break
        return f'&{"".join(parts)};'

    def _tag(self, token: tokens.Token) -> str:
        """The mark of a list item; a colon within the line parts a term from what it means. Of a table, nothing."""
        self._until(tokens.TagCloseSelfclose, tokens.TagCloseClose)
        return ITEM if token.wiki_markup in _LIST_MARKS else ''

    def _comment(self, _: tokens.Token) -> str:
        self._until(tokens.CommentEnd)
        return ''


_METHODS: dict[type[tokens.Token], Callable[[_Reader, tokens.Token], str]] = {
    tokens.WikilinkOpen: _Reader._link,
    tokens.ExternalLinkOpen: _Reader._address,
    tokens.TemplateOpen: _Reader._template,
    tokens.ArgumentOpen: _Reader._argument,
    tokens.HeadingStart: _Reader._heading,
    tokens.HTMLEntityStart: _Reader._entity,
    tokens.TagOpenOpen: _Reader._tag,
    tokens.CommentStart: _Reader._comment,
}
