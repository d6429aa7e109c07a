"""Vectors in a byte a dimension."""

from collections.abc import Iterable

import numpy as np

_LARGEST = 127


def multipliers_for(pieces: Iterable[np.ndarray]) -> np.ndarray:
    """What each dimension is multiplied by, so that the largest of the vectors just fits: float32 `[dimension]`."""
    largest = np.max([np.abs(piece).max(axis=0) for piece in pieces if len(piece)], axis=0)
    return (_LARGEST / np.where(largest == 0, 1, largest)).astype(np.float32)


def to_int8(vectors: np.ndarray, multipliers: np.ndarray) -> np.ndarray:
    """Rounds vectors; what is larger than the vectors that the multipliers are for is cut. int8 `[n, dimension]`."""
    return np.clip(np.rint(vectors * multipliers), -_LARGEST, _LARGEST).astype(np.int8)
