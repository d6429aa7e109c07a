"""Documents and blocks that are exactly alike, told by the hashes of their texts."""

import hashlib
from collections.abc import Sequence

import numpy as np

from realm_tf.text.ragged import Ragged

_HASH_BYTES = 16
# Odd constants of SplitMix64 (Steele, Lea and Flood 2014, doi:10.1145/2660193.2660195).
_GOLDEN, _FIRST, _SECOND = map(np.uint64, (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def hash_of(text: bytes) -> bytes:
    """Hashes what exact duplicates have in common, into 16 bytes."""
    return hashlib.blake2b(text, digest_size=_HASH_BYTES).digest()


def repeated(hashes: Sequence[np.ndarray]) -> np.ndarray:
    """Tells which texts were there before.

    Args:
      hashes: of the texts of each file, uint64 `[texts, 2]`, in order.

    Returns:
      For all texts of all files, bool `[texts]`: False for the first of those that are alike, True for the others.
    """
    everything = np.concatenate([np.zeros((0, 2), np.uint64), *hashes])
    _, first = np.unique(everything, axis=0, return_index=True)
    is_repeated = np.ones(len(everything), bool)
    is_repeated[first] = False
    return is_repeated


def hashes_of_blocks(titles: Ragged, bodies: Ragged) -> np.ndarray:
    """Hashes blocks by their wordpieces, thousands at once.

    Two blocks that differ have the same hash once in 2^64 pairs: good for telling the candidates of a query apart, not
    for throwing documents away.

    Args:
      titles: wordpieces of the titles.
      bodies: wordpieces of the bodies.

    Returns:
      uint64 `[blocks]`.
    """
    return _mixed(_hashes_of_rows(titles) + _GOLDEN) + _hashes_of_rows(bodies)


def _hashes_of_rows(rows: Ragged) -> np.ndarray:
    """The sum of the hashes of each row's wordpieces with their positions, uint64 `[rows]`."""
    positions = np.arange(len(rows.values)) - np.repeat(rows.starts, rows.lengths)
    hashes = _mixed((positions.astype(np.uint64) << np.uint64(32)) + rows.values.astype(np.uint64) + _GOLDEN)
    # Sums of runs are differences of running sums, which wrap around alike.
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(hashes)])
    return sums[rows.starts + rows.lengths] - sums[rows.starts]


def _mixed(values: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64: every bit of the input changes half of those of the output."""
    values = (values ^ (values >> np.uint64(30))) * _FIRST
    values = (values ^ (values >> np.uint64(27))) * _SECOND
    return values ^ (values >> np.uint64(31))
