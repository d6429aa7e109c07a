"""Vectors in a byte a dimension."""

from collections.abc import Iterable

import numpy as np

_LARGEST = 127
# Room for the few largest values would cost all others precision: these are cut.
_SHARE_THAT_FITS = 0.9999
_ROWS_OF_A_PIECE = 25_000


def multipliers_for(pieces: Iterable[np.ndarray]) -> np.ndarray:
    """What each dimension is multiplied by, so that all but the very largest of the vectors fit: float32 `[dimension]`.

    Args:
      pieces: the vectors, float32 `[n, dimension]` each; of a large piece every so many rows are looked at.
    """
    largest = np.max([_largest(piece) for piece in pieces if len(piece)], axis=0)
    return (_LARGEST / np.where(largest == 0, 1, largest)).astype(np.float32)


def _largest(piece: np.ndarray) -> np.ndarray:
    sample = np.abs(piece[:: max(1, len(piece) // _ROWS_OF_A_PIECE)])
    # Of few vectors all fit.
    return np.quantile(sample, _SHARE_THAT_FITS, axis=0, method='higher')


def to_int8(vectors: np.ndarray, multipliers: np.ndarray) -> np.ndarray:
    """Rounds vectors; what does not fit is cut. int8 `[n, dimension]`."""
    return np.clip(np.rint(vectors * multipliers), -_LARGEST, _LARGEST).astype(np.int8)
