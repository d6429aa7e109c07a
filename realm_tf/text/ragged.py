"""Rows of different lengths as two flat arrays."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Ragged(NamedTuple):
    """Rows of wordpiece ids (or of anything) of different lengths, without a Python object a row.

    Attributes:
      values: the rows one after the other, `[total]`.
      lengths: the length of each row, int64 `[rows]`.
    """

    values: np.ndarray
    lengths: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]], dtype=np.int32) -> 'Ragged':
        """Makes one from a sequence of rows."""
        lengths = np.array([len(row) for row in rows], np.int64)
        values = np.concatenate([np.asarray(row, dtype) for row in rows]) if len(rows) else np.zeros(0, dtype)
        return cls(values.astype(dtype), lengths)

    @property
    def num_rows(self) -> int:
        return len(self.lengths)

    @property
    def starts(self) -> np.ndarray:
        """Where each row begins in `values`, int64 `[rows]`."""
        return np.cumsum(self.lengths) - self.lengths

    def row(self, index: int) -> np.ndarray:
        """One row, a view."""
        start = int(self.starts[index])
        return self.values[start : start + int(self.lengths[index])]

    def rows(self) -> list[np.ndarray]:
        """Every row, as views."""
        return np.split(self.values, np.cumsum(self.lengths)[:-1]) if self.num_rows else []

    def take(self, indices: np.ndarray) -> 'Ragged':
        """The rows at `indices`, in that order."""
        lengths = self.lengths[indices]
        return Ragged(self.values[_positions(self.starts[indices], lengths)], lengths)

    def truncated(self, limits: int | np.ndarray) -> 'Ragged':
        """Each row cut to at most `limits` (one number, or one a row)."""
        lengths = np.minimum(self.lengths, limits)
        if np.array_equal(lengths, self.lengths):
            return self
        return Ragged(self.values[_positions(self.starts, lengths)], lengths)

    def padded(self, length: int, padding: int = 0) -> np.ndarray:
        """The rows as an array `[rows, length]`, cut or padded at the end."""
        array = np.full((self.num_rows, length), padding, self.values.dtype)
        place(array, self.truncated(length), np.zeros(self.num_rows, np.int64))
        return array


def place(array: np.ndarray, rows: Ragged, columns: np.ndarray) -> None:
    """Writes row i of `rows` into row i of `array`, from column `columns[i]` on."""
    # [rows, length]
    position = np.arange(array.shape[1]) - columns[:, np.newaxis]
    array[(position >= 0) & (position < rows.lengths[:, np.newaxis])] = rows.values


def _positions(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The numbers starts[i], starts[i] + 1, … (lengths[i] of them), for all i one after the other."""
    offsets = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
    return offsets + np.arange(int(lengths.sum()))
