"""What an index of so many blocks will take: time, memory and disk, each with the reason for the figure.

`make_plan` is arithmetic; what it starts from was measured here, a moment ago, or was given by whoever asks.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

_FLOAT32_BYTES, _HASH_BYTES = 4, 8


class Figure(NamedTuple):
    """A number, and how it is known."""

    value: float
    basis: str


class BuiltIndex(NamedTuple):
    """What it took to build an index of a sample.

    Attributes:
      blocks: how many blocks it has.
      seconds: how long building it took, and measuring its recall.
      memory: most bytes that its processes had together, mapped files aside, which the system can take back.
      disk: bytes of its files.
    """

    blocks: int
    seconds: float
    memory: float
    disk: float


class Known(NamedTuple):
    """What a plan starts from; None where it is not known.

    Attributes:
      blocks: how many there are to be.
      workers: that embed, each on a processor of its own.
      dimension: of an embedding.
      blocks_per_second: of one worker.
      worker_memory: bytes of one worker.
      corpus_bytes_per_block: on disk.
      indices: of samples, two at least, of different sizes.
      searcher: what they were built with.
      blocks_of_piece: how many blocks a searcher is built from at a time, so that beyond some pieces memory grows more
        slowly; None if it is built from all at once.
      seconds_per_step: of the training.
      refresh_every: steps between two refreshes, as configured.
    """

    blocks: int
    workers: int
    dimension: int
    blocks_per_second: Figure
    worker_memory: Figure | None
    corpus_bytes_per_block: Figure | None
    indices: Sequence[BuiltIndex]
    searcher: str
    blocks_of_piece: int | None
    seconds_per_step: Figure | None
    refresh_every: int


class Line(NamedTuple):
    """A line of a plan.

    Attributes:
      what: is told.
      value: as text, with its unit.
      basis: how it is known.
    """

    what: str
    value: str
    basis: str


def make_plan(known: Known) -> list[Line]:
    """Computes the lines of a plan."""
    embedding = known.blocks / known.blocks_per_second.value / known.workers
    indexing = _seconds_to_index(known)
    lines = [
        Line('blocks a second of a worker', f'{known.blocks_per_second.value:,.1f}', known.blocks_per_second.basis),
        Line(
            f'embedding {known.blocks:,} blocks',
            _time(embedding),
            f'computed: blocks / {known.workers} workers / blocks a second of each; start of the workers not counted',
        ),
        Line(f'building the index ({known.searcher})', _time(indexing.value), indexing.basis),
        Line('a refresh', _time(embedding + indexing.value), 'computed: embedding, then building'),
    ]
    if known.worker_memory:
        lines.append(
            Line(
                'memory of the workers',
                f'{known.workers} × {_size(known.worker_memory.value)}',
                known.worker_memory.basis,
            )
        )
    memory, disk = _memory_of_index(known), _bytes_of_index(known, 'disk')
    lines += [
        Line('memory to build the index', _size(memory.value), memory.basis),
        Line('disk: index', _size(disk.value), disk.basis),
        Line(
            'disk: embeddings',
            _size(known.blocks * (known.dimension * _FLOAT32_BYTES + _HASH_BYTES)),
            f'computed: {known.dimension} numbers of float32 and a hash of 8 bytes a block',
        ),
    ]
    if known.corpus_bytes_per_block:
        of_block = known.corpus_bytes_per_block
        lines.append(Line('disk: corpus', _size(known.blocks * of_block.value), f'computed: blocks × {of_block.basis}'))
    return lines + _of_training(known, embedding, indexing.value)


def _of_training(known: Known, embedding: float, indexing: float) -> list[Line]:
    if known.seconds_per_step is None:
        return [Line('steps trained meanwhile', 'not known', 'give --seconds-per-step, or --run of a training')]
    step, basis = known.seconds_per_step
    meanwhile = math.ceil((embedding + indexing) / step)
    left = known.refresh_every * step - indexing
    lines = [
        Line('seconds of a step', f'{step:g}', basis),
        Line(
            'steps trained meanwhile',
            f'{meanwhile:,}',
            'computed: a refresh / seconds of a step; a smaller pretrain.refresh_every cannot be kept',
        ),
    ]
    what = f'workers for pretrain.refresh_every = {known.refresh_every:,}'
    if left <= 0:
        return [*lines, Line(what, 'none are enough', 'computed: building the index alone takes longer')]
    needed = math.ceil(known.blocks / known.blocks_per_second.value / left)
    return [*lines, Line(what, f'{needed:,}', 'computed: so many embed the blocks in what building the index leaves')]


def _seconds_to_index(known: Known) -> Figure:
    """By the power law through the smallest and the largest sample, which is not taken for less than linear."""
    small, large = _ends(known)
    # So small samples may be dominated by work that does not grow.
    exponent = max(1.0, math.log(large.seconds / small.seconds) / math.log(large.blocks / small.blocks))
    measured = _measured(known, lambda built: _time(built.seconds))
    return Figure(
        large.seconds * (known.blocks / large.blocks) ** exponent,
        f'extrapolated: time ∝ blocks^{exponent:.2f}, linear at least, from {measured}',
    )


def _bytes_of_index(known: Known, name: str) -> Figure:
    """By the straight line through the smallest and the largest sample."""
    small, large = ((built.blocks, getattr(built, name)) for built in _ends(known))
    a_block = (large[1] - small[1]) / (large[0] - small[0])
    measured = _measured(known, lambda built: _size(getattr(built, name)))
    return Figure(
        large[1] + a_block * (known.blocks - large[0]), f'extrapolated: {a_block:,.0f} bytes a block through {measured}'
    )


def _memory_of_index(known: Known) -> Figure:
    figure = _bytes_of_index(known, 'memory')
    if known.blocks_of_piece is None or known.blocks <= known.blocks_of_piece:
        return figure
    return figure._replace(
        basis=f'{figure.basis}; an upper bound, as it is built in pieces of {known.blocks_of_piece:,} blocks: a larger '
        '--index-sample comes nearer'
    )


def _ends(known: Known) -> tuple[BuiltIndex, BuiltIndex]:
    in_order = sorted(known.indices)
    return in_order[0], in_order[-1]


def _measured(known: Known, shown: Callable[[BuiltIndex], str]) -> str:
    return ' and '.join(f'{shown(built)} for {built.blocks:,}' for built in _ends(known)) + ' blocks, measured here'


def _time(seconds: float) -> str:
    for size, unit in ((86400, 'days'), (3600, 'hours'), (60, 'minutes')):
        if seconds >= 2 * size:
            return f'{seconds / size:.1f} {unit}'
    return f'{seconds:.1f} seconds'


def _size(size: float) -> str:
    return f'{size / 1e9:.2f} GB' if size >= 1e8 else f'{size / 1e6:.1f} MB'
