"""How long a call takes, and how figures with their spread are written. Needs numpy alone: peers use it too."""

import time
from collections.abc import Callable, Sequence

import numpy as np

WARM_UP = 2


def median_seconds(call: Callable[[], object], repetitions: int) -> float:
    """The median of the seconds that a call takes, after two that are not counted."""
    for _ in range(WARM_UP):
        call()
    seconds = []
    for _ in range(repetitions):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds))


def with_spread(values: Sequence[float], digits: int = 1) -> str:
    """`median (minimum–maximum)`, of one value that, and `–` of what could not be measured, which is NaN."""
    if np.isnan(values).any():
        return '–'
    if len(values) == 1:
        return f'{values[0]:.{digits}f}'
    return f'{np.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})'


def seconds_of(call: Callable[[], object], repetitions: int, warm_up: bool = True) -> list[tuple[float, float]]:
    """What each repetition of a call takes, if asked after one that is not counted.

    Returns:
      Of each, the seconds of the clock, and those of the processor, which hardly depend on what else the machine does.
    """
    if warm_up:
        call()
    taken = []
    for _ in range(repetitions):
        clock, processor = time.perf_counter(), time.process_time()
        call()
        taken.append((time.perf_counter() - clock, time.process_time() - processor))
    return taken
