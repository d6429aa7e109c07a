"""Sentences of a text."""

import re

import sentencex

# Only what BERT takes for white space: a cut at another control character, which BERT leaves out, would cut a word.
_ENDS = '\r\n\u2028\u2029'
_LINE = re.compile(f'[^{_ENDS}]*(?:\r\n|[{_ENDS}])|[^{_ENDS}]+')
# sentencex panics on an initial before a space of several bytes (1.0.32, `C\u00a0.`).
_OTHER_SPACE = re.compile(r'[^\S \r\n]')


def split_sentences(text: str, language: str = 'en') -> list[tuple[int, int]]:
    """Splits a text into sentences.

    The sentences are the text, cut: white space belongs to the sentence before it, and a line end is always an end.

    Args:
      text: any text.
      language: its language, as an ISO 639 code.

    Returns:
      Where each sentence starts and ends, in characters; together they cover the whole text.
    """
    sentences: list[tuple[int, int]] = []
    position = 0
    for line in _LINE.findall(text):
        for sentence in sentencex.segment(language, _OTHER_SPACE.sub(' ', line)):
            limit = position + len(sentence)
            if sentence.isspace() and sentences:
                sentences[-1] = (sentences[-1][0], limit)
            else:
                sentences.append((position, limit))
            position = limit
    return sentences
