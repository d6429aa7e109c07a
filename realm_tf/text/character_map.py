"""A map of characters in the form that tensorflow-text's normaliser reads.

`tensorflow_text.FastBertNormalizer` looks every character up in a trie, by the bytes of its UTF-8, and puts in its
place what it finds there. It comes with tries for case folding; any other map of characters does as well. The layout is
that of `fast_bert_normalizer_model.fbs` and of darts-clone, as tensorflow-text has them.
"""

from collections.abc import Mapping

import flatbuffers
import numpy as np

_CHARACTERS = 0x110000
# The last byte of a character, and all between it and the first, have one of 64 values, from 0x80 on.
_PAGE = 64
_TRAILING = 0x80
# A unit of the trie: a byte, a flag if it points to a value, and the place that it points to, relative to its own.
_HAS_VALUE, _PLACE_BITS, _IS_VALUE = 1 << 8, 10, 1 << 31
# A value: a flag, a place among the texts, and a length, 63 at most.
_IS_CHANGED, _LENGTH_BITS = 1 << 30, 6


def normalizer_model(becomes: Mapping[str, str]) -> bytes:
    """Makes the model of a normaliser.

    Args:
      becomes: what takes the place of a character, for each that does not stay as it is; at most 63 bytes of UTF-8.

    Returns:
      What `tensorflow_text.FastBertNormalizer` takes as `model_buffer`.

    Raises:
      ValueError: if a text is longer.
    """
    places: dict[bytes, int] = {}
    texts = bytearray()
    values = np.zeros(_CHARACTERS, np.uint32)
    for character, text in becomes.items():
        encoded = text.encode()
        if len(encoded) >= 1 << _LENGTH_BITS:
            raise ValueError(f'{character!r} becomes {len(encoded)} bytes: more than the normaliser has room for.')
        if encoded not in places:
            places[encoded] = len(texts)
            texts += encoded
        values[ord(character)] = _IS_CHANGED | places[encoded] << _LENGTH_BITS | len(encoded)
    builder = flatbuffers.Builder()
    # NUL has no place in the trie.
    trie, nul = builder.CreateNumpyVector(_trie(values)), int(values[0])
    pool = builder.CreateByteVector(bytes(texts))
    builder.StartObject(4)
    builder.PrependUOffsetTRelativeSlot(1, trie, 0)
    builder.PrependInt32Slot(2, nul, 0)
    builder.PrependUOffsetTRelativeSlot(3, pool, 0)
    builder.Finish(builder.EndObject())
    return bytes(builder.Output())


def _trie(values: np.ndarray) -> np.ndarray:
    """A trie over the UTF-8 of characters, uint32 `[units]`, with a value for each that has one that is not 0.

    The root is unit 0; a node that points to the place p has its child for the byte b at `p ^ b`. Here the root's
    children are the units up to 256; the values follow; then come pages of 64 units, the children of one node.
    Characters of two, three and four bytes are pages of values, pages of pages, and pages of those. Equal pages are
    there once.
    """
    distinct = np.unique(values[values > 0])
    units = [np.zeros(256, np.uint32), distinct | _IS_VALUE]
    units.append(np.zeros(-len(distinct) % _PAGE, np.uint32))
    # [characters]: the place of each one's value, 0 without one.
    of_characters = np.zeros(len(values), np.int64)
    of_characters[values > 0] = 256 + np.searchsorted(distinct, values[values > 0])
    of_pages = _paged(of_characters, units, _HAS_VALUE)
    of_tables = _paged(of_pages, units)
    of_planes = _paged(np.pad(of_tables, (0, -len(of_tables) % _PAGE)), units)
    # [256]: what the first byte of a character leads to.
    targets = np.zeros(256, np.int64)
    targets[1:0x80] = of_characters[1:0x80]
    targets[0xC2:0xE0] = of_pages[0x02:0x20]
    targets[0xE0:0xF0] = of_tables[:0x10]
    targets[0xF0:0xF5] = of_planes
    flags = np.where(np.arange(256) < 0x80, _HAS_VALUE, 0)
    units[0] = _nodes(np.arange(256), np.arange(256), targets, flags)
    return np.concatenate(units).astype(np.uint32)


def _paged(targets: np.ndarray, units: list[np.ndarray], flags: int = 0) -> np.ndarray:
    """Adds the pages of nodes that point to `targets`; returns what points to each page, 0 for an empty one."""
    numbers: dict[bytes, int] = {}
    page_of = [numbers.setdefault(page.tobytes(), len(numbers)) for page in targets.reshape(-1, _PAGE)]
    pages = np.frombuffer(b''.join(numbers), targets.dtype).reshape(-1, _PAGE)
    start = sum(map(len, units))
    places = start + _PAGE * np.arange(len(pages))
    labels = _TRAILING + np.arange(_PAGE)
    units.append(_nodes(places[:, None] + np.arange(_PAGE), labels, pages, flags).reshape(-1))
    return np.where(pages.any(axis=1), places ^ _TRAILING, 0)[page_of]


def _nodes(places: np.ndarray, labels: np.ndarray, targets: np.ndarray, flags) -> np.ndarray:
    return np.where(targets > 0, (places ^ targets) << _PLACE_BITS | flags | labels, 0)
