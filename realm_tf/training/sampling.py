"""Which rows a step trains on: a function of the seed and the step alone, so that a resumed run draws the same."""

import functools

import numpy as np


def rows_of_step(rows: int, batch_size: int, step: int, seed: int) -> np.ndarray:
    """The rows of one step: every row once an epoch, in an order drawn for that epoch.

    The rows that are left when an epoch does not divide into batches are left out of that epoch, so that no row comes
    twice in a batch.

    Args:
      rows: how many rows there are.
      batch_size: how many a step takes.
      step: the step, from 0.
      seed: the seed of the order.

    Returns:
      Row numbers, int64 `[batch_size]`.

    Raises:
      ValueError: if there are fewer rows than a batch takes.
    """
    if rows < batch_size:
        raise ValueError(f'A batch of {batch_size} cannot be drawn from {rows} rows.')
    epoch, position = divmod(step, rows // batch_size)
    return _order(rows, epoch, seed)[position * batch_size : (position + 1) * batch_size]


def generator_of_step(step: int, seed: int, purpose: int) -> np.random.Generator:
    """A random generator for one step and one purpose."""
    return np.random.default_rng([seed, purpose, step])


@functools.lru_cache(2)
def _order(rows: int, epoch: int, seed: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(rows)
