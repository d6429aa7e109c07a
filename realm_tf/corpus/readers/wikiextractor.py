"""Documents that WikiExtractor wrote: folders of files such as `AA/wiki_00`."""

import html
import re
from collections.abc import Iterator

from etils import epath

from realm_tf.corpus.compression import open_decompressed
from realm_tf.corpus.documents import Dropped
from realm_tf.corpus.readers.columns import Columns
from realm_tf.corpus.readers.field_reader import FieldReader, Fields, decoded
from realm_tf.corpus.readers.folders import files_in
from realm_tf.corpus.readers.json_lines import json_object

# Quotation marks in titles are not escaped; a title ends with its line.
_ELEMENT = re.compile(r'<doc id="([^"]*)".*? title="(.*)">\n((?s:.*))</doc>\s*')


class WikiExtractorReader(FieldReader):
    """Reads what WikiExtractor wrote, JSON lines or `<doc>` elements, in a file or a folder of them.

    A record is a line or an element. What WikiExtractor escaped is unescaped, the title that it puts before the text is
    removed, and pages without text, which it makes of redirects, are dropped.
    """

    def records(self, path: epath.PathLike) -> Iterator[bytes]:
        for file in files_in(path):
            with open_decompressed(file) as lines:
                yield from _records(lines)

    def fields(self, record: bytes) -> Fields | Dropped:
        fields = _element(record) if record.startswith(b'<doc ') else Columns().fields(json_object(record))
        title, text = html.unescape(fields.title), html.unescape(fields.text)
        text = text.removeprefix(f'{title}\n').strip('\n')
        return Fields(fields.id, title, text) if text else Dropped('empty page', title)

    def raw(self, record: bytes) -> bytes:
        return record


def _records(lines: Iterator[bytes]) -> Iterator[bytes]:
    element: list[bytes] = []
    for line in lines:
        if line.startswith(b'<doc '):
            # Those before it are of an element without an end.
            if element:
                yield b''.join(element)
            element = [line]
        elif element:
            element.append(line)
            if line.startswith(b'</doc>'):
                yield b''.join(element)
                element = []
        elif line.strip():
            yield line
    if element:
        yield b''.join(element)


def _element(record: bytes) -> Fields:
    match = _ELEMENT.fullmatch(decoded(record).replace('\r\n', '\n'))
    if match is None:
        raise ValueError('a <doc> without id, title or end')
    return Fields(*match.groups())
