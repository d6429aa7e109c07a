"""What BERT's tokenizer makes of each character of Unicode, as the fast tokenizer of Hugging Face has it.

    python -m realm_tf.text.bert_characters

writes the table `bert_characters.tsv` anew, from what the `tokenizers` and the tensorflow-text that are installed do.
It is a file, because every library has a Unicode of its own: so it is the same whatever Python reads it.
"""

import itertools
import pathlib
import unicodedata
from collections.abc import Iterable, Iterator
from typing import NamedTuple

FILE = pathlib.Path(__file__).with_suffix('.tsv')
# They are decomposed by rule, the same in every Unicode, and would be three quarters of the table.
_HANGUL_SYLLABLES = range(0xAC00, 0xD7A4)
# No text has these once BERT has cleaned it: private use is removed, and of what tensorflow-text takes for Chinese,
# these are letters to BERT, and replaced themselves.
_FREE_LETTERS = range(0xE000, 0xF900)
_FREE_PUNCTUATION = range(0x2B820, 0x2B920)


class BertCharacters(NamedTuple):
    """The characters that BERT changes, and those at which it cuts words otherwise than tensorflow-text does.

    Attributes:
      removed: removed from any text: control characters, private use, U+FFFD.
      marks: removed where text is lower-cased: accents.
      lowered: where text is lower-cased, what takes the place of a character: lower case, decomposed, without accents.
      letters: parts of words to BERT, but each a word to tensorflow-text.
      punctuation: each a word to BERT, but parts of words to tensorflow-text.
    """

    removed: frozenset[str]
    marks: frozenset[str]
    lowered: dict[str, str]
    letters: frozenset[str]
    punctuation: frozenset[str]

    def changed(self, lower_case: bool) -> dict[str, str]:
        """What takes the place of each character that does not stay, for tensorflow-text to cut words where BERT does.

        White space stays: both cut there.
        """
        stand_ins = self.stand_ins()
        lowered = dict.fromkeys(self.marks, '') | self.lowered if lower_case else {}
        changed = dict.fromkeys(self.removed, '') | {one: one for one in self.letters | self.punctuation} | lowered
        return {character: text.translate(stand_ins) for character, text in changed.items()}

    def stand_ins(self) -> dict[int, str]:
        """For `str.translate`: has tensorflow-text cut words where BERT does; the vocabulary has to be translated too.

        It is a permutation, so that different wordpieces stay different.
        """
        moved = dict(zip(sorted(self.letters), map(chr, _FREE_LETTERS), strict=False))
        moved |= dict(zip(sorted(self.punctuation), map(chr, _FREE_PUNCTUATION), strict=False))
        taken, left = set(moved.values()) - set(moved), set(moved) - set(moved.values())
        moved |= dict(zip(sorted(taken), sorted(left), strict=True))
        return {ord(character): stand_in for character, stand_in in moved.items()}


def read_bert_characters() -> BertCharacters:
    """Reads the table."""
    kinds: dict[str, list[str]] = {kind: [] for kind in BertCharacters._fields}
    lowered = {chr(code): unicodedata.normalize('NFD', chr(code)) for code in _HANGUL_SYLLABLES}
    for line in FILE.read_text().splitlines():
        kind, codes, *becomes = line.split('\t')
        first, _, last = codes.partition('..')
        kinds[kind].extend(map(chr, range(int(first, 16), int(last or first, 16) + 1)))
        if becomes:
            lowered[chr(int(first, 16))] = ''.join(chr(int(code, 16)) for code in becomes[0].split())
    sets = {kind: frozenset(characters) for kind, characters in kinds.items()}
    return BertCharacters(**sets | {'lowered': lowered})


def observe_bert_characters() -> BertCharacters:
    """Asks both libraries about every character."""
    import tensorflow_text
    from tokenizers import normalizers, pre_tokenizers

    codes = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    characters = [chr(code) for code in codes]
    clean, uncased, chinese = (
        normalizers.BertNormalizer(clean_text=clean_text, handle_chinese_chars=not clean_text, lowercase=lowercase)
        for clean_text, lowercase in ((True, False), (True, True), (False, False))
    )
    words = pre_tokenizers.BertPreTokenizer()
    removed = {one for one in characters if not clean.normalize_str(one)}
    texts = {one: uncased.normalize_str(one) for one in characters if one not in removed}
    marks = {one for one, text in texts.items() if not text}
    # A space takes the place of white space only.
    lowered = {one: text for one, text in texts.items() if text not in ('', ' ', one)}
    # Between two characters that neither library cuts at, and that no character becomes.
    surrounded = {one: f'\ue000{one}\ue000' for one in texts}
    alone = {one for one, text in surrounded.items() if len(words.pre_tokenize_str(chinese.normalize_str(text))) == 3}
    cutter = tensorflow_text.FastWordpieceTokenizer(['[UNK]', '\ue000', '##\ue000'])
    lengths = cutter.tokenize(list(surrounded.values())).row_lengths().numpy()
    alone_here = {one for one, length in zip(surrounded, lengths, strict=True) if length == 3}
    return BertCharacters(
        frozenset(removed), frozenset(marks), lowered, frozenset(alone_here - alone), frozenset(alone - alone_here)
    )


def write_bert_characters(characters: BertCharacters) -> None:
    """Writes the table: kind, character or range of them, and what it becomes, as hexadecimal numbers."""
    lines = []
    for kind in ('removed', 'marks', 'letters', 'punctuation'):
        for first, last in _ranges(map(ord, getattr(characters, kind))):
            lines.append(f'{kind}\t{first:04X}' + (f'..{last:04X}' if last > first else ''))
    for character, text in sorted(characters.lowered.items()):
        if ord(character) not in _HANGUL_SYLLABLES:
            lines.append(f'lowered\t{ord(character):04X}\t{" ".join(f"{ord(one):04X}" for one in text)}')
    FILE.write_text('\n'.join(lines) + '\n')


def _ranges(codes: Iterable[int]) -> Iterator[tuple[int, int]]:
    """First and last of each run of numbers that follow one another."""
    for _, run in itertools.groupby(enumerate(sorted(codes)), key=lambda one: one[1] - one[0]):
        numbers = [number for _, number in run]
        yield numbers[0], numbers[-1]


if __name__ == '__main__':
    write_bert_characters(observe_bert_characters())
