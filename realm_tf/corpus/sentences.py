"""Sentences of a text."""

import sentencex


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
    for line in text.splitlines(keepends=True):
        for sentence in sentencex.segment(language, line):
            limit = position + len(sentence)
            if sentence.isspace() and sentences:
                sentences[-1] = (sentences[-1][0], limit)
            else:
                sentences.append((position, limit))
            position = limit
    return sentences
