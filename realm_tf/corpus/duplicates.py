"""Documents that are exactly alike, told by the hashes of their texts."""

import hashlib
from collections.abc import Sequence

import numpy as np

_HASH_BYTES = 16


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
