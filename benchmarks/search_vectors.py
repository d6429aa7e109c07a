"""Vectors for the benchmark of search, as many as are wanted, that look like real embeddings.

    python -m benchmarks.search_vectors --embeddings embeddings --blocks 1000000 --output vectors

A vector lies between the embedding of a real block and that of one of its eight nearest, chosen at random, as far along
as chance has it, with Gaussian noise of 0.6 of the distance of the block to its nearest. Queries are made alike.
"""

import pathlib

import click
import numpy as np

from benchmarks.search_measure import EXPECTED, QUERIES
from realm_tf.search.embeddings import Embeddings

_NEAREST = 8
_NOISE = 0.6
_ROWS_AT_ONCE = 200_000
_ROWS_A_SHARD = 1_000_000
_REAL = 20_000


@click.command()
@click.option('--embeddings', required=True, help='Embeddings of a real corpus.')
@click.option('--blocks', required=True, type=int, help='How many vectors.')
@click.option('--queries', default=2048, show_default=True, help='How many queries.')
@click.option('--output', required=True, help='Directory of vectors-*.npy and queries.npy.')
def main(embeddings, blocks, queries, output):
    """Makes vectors."""
    real = np.random.default_rng(0).permutation(Embeddings.open(embeddings).as_array())[:_REAL]
    neighbours, distances = _nearest(real)
    directory = pathlib.Path(output)
    directory.mkdir(parents=True, exist_ok=True)
    # What was found by exact search among others is another truth.
    for old in (*directory.glob('vectors-*.npy'), directory / QUERIES, directory / EXPECTED):
        old.unlink(missing_ok=True)
    for shard, first in enumerate(range(0, blocks, _ROWS_A_SHARD)):
        rows = min(_ROWS_A_SHARD, blocks - first)
        vectors = np.lib.format.open_memmap(
            directory / f'vectors-{shard:05d}.npy', 'w+', np.float32, (rows, real.shape[1])
        )
        for start in range(0, rows, _ROWS_AT_ONCE):
            random = np.random.default_rng([shard, start])
            piece = vectors[start : start + _ROWS_AT_ONCE]
            piece[:] = _between(real, neighbours, distances, len(piece), random)
    np.save(directory / QUERIES, _between(real, neighbours, distances, queries, np.random.default_rng(1)))
    print(f'{blocks:,} vectors from {len(real):,} real embeddings of {real.shape[1]} dimensions.')


def _nearest(real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest of each embedding, `[n, _NEAREST]`, and how far the first is, `[n]`."""
    squares = np.einsum('nd,nd->n', real, real)
    neighbours = np.empty((len(real), _NEAREST), np.int64)
    distances = np.empty(len(real), np.float32)
    for start in range(0, len(real), 1000):
        rows = np.arange(start, min(start + 1000, len(real)))
        # [rows, n]
        apart = squares[rows, None] + squares - 2 * real[rows] @ real.T
        apart[np.arange(len(rows)), rows] = np.inf
        neighbours[rows] = np.argpartition(apart, _NEAREST, axis=1)[:, :_NEAREST]
        distances[rows] = np.sqrt(np.maximum(apart.min(axis=1), 0))
    return neighbours, distances


def _between(
    real: np.ndarray, neighbours: np.ndarray, distances: np.ndarray, count: int, random: np.random.Generator
) -> np.ndarray:
    blocks = random.integers(len(real), size=count)
    others = neighbours[blocks, random.integers(_NEAREST, size=count)]
    share = random.random((count, 1), np.float32)
    noise = random.standard_normal((count, real.shape[1]), np.float32)
    noise *= (_NOISE / np.sqrt(real.shape[1]) * distances[blocks])[:, None]
    return real[blocks] * (1 - share) + real[others] * share + noise


if __name__ == '__main__':
    main()
