"""Progress of long work: a bar with the time left on a terminal, a line now and then in a log file."""

import io
import sys
import time
from collections.abc import Iterator
from typing import TextIO

import tqdm

LINE = '{desc}: {n_fmt}/{total_fmt}{unit} [{elapsed}<{remaining}, {rate_fmt}{postfix}]'


class Progress:
    """Counts units of work done, and shows them.

    On a terminal it is a bar with an estimate of the time left. Anywhere else (a log file, CI) it prints a whole line
    at the start of the work, then at most every `seconds_between_lines`, and one at the end.

    Example:
      >>> with Progress('ICT', total=100, unit='step') as progress:
      ...     for step in range(100):
      ...         progress.advance(1, loss=0.5)

    Args:
      name: what is being done.
      total: how many units there are; None if unknown.
      unit: what is counted.
      seconds_between_lines: the shortest time between two lines of a log.
      stream: where it is shown; standard error by default.
    """

    def __init__(
        self,
        name: str,
        total: int | None,
        unit: str = 'item',
        *,
        initial: int = 0,
        seconds_between_lines: float = 15.0,
        stream: TextIO | None = None,
    ):
        self._stream = stream or sys.stderr
        self._interactive = self._stream.isatty()
        self._seconds_between_lines = seconds_between_lines
        self._last_line = 0.0
        self._bar = tqdm.tqdm(
            desc=name,
            total=total,
            initial=initial,
            unit=f' {unit}',
            # In a log, tqdm keeps the count, the rate and the time left, and its drawing goes nowhere.
            file=self._stream if self._interactive else io.StringIO(),
            dynamic_ncols=True,
            mininterval=0.2 if self._interactive else float('inf'),
            bar_format=None if self._interactive else LINE,
        )

    def __enter__(self) -> 'Progress':
        if not self._interactive:
            self._print_line()
        return self

    def __exit__(self, *exception) -> None:
        if not self._interactive:
            self._print_line()
        self._bar.close()

    def advance(self, count: int = 1, **figures: float) -> None:
        """Adds `count` units; `figures` are shown beside them."""
        if figures:
            self._bar.set_postfix(figures, refresh=False)
        self._bar.update(count)
        if not self._interactive and time.monotonic() - self._last_line >= self._seconds_between_lines:
            self._print_line()

    def _print_line(self) -> None:
        self._last_line = time.monotonic()
        print(str(self._bar).strip(), file=self._stream, flush=True)


def say(text: str) -> None:
    """Prints a line to standard error, above the bars that stand there."""
    tqdm.tqdm.write(text, file=sys.stderr)


def tracked(items, name: str, unit: str = 'item', total: int | None = None) -> Iterator:
    """Iterates over `items`, showing progress."""
    with Progress(name, len(items) if total is None else total, unit) as progress:
        for item in items:
            yield item
            progress.advance()
