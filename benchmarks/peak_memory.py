"""The memory of this process and of those that it started, looked at while they work. Needs nothing but Python."""

import os
import pathlib
import threading
from collections.abc import Iterator

_POLL_SECONDS = 0.05


class PeakMemory(threading.Thread):
    """Looks at memory, as a context; of all processes together.

    Attributes:
      anonymous: the most bytes that were their own at one time.
      mapped: the most bytes of files that were mapped at one time, which the system can take back.
    """

    def __init__(self):
        super().__init__(daemon=True)
        self.anonymous = self.mapped = 0
        self._ended = threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exception):
        self._ended.set()
        self.join()

    def run(self) -> None:
        while not self._ended.wait(_POLL_SECONDS):
            anonymous, mapped = map(sum, zip(*map(_memory, _with_descendants(os.getpid())), strict=True))
            self.anonymous, self.mapped = max(self.anonymous, anonymous), max(self.mapped, mapped)


def _with_descendants(process: int) -> Iterator[int]:
    yield process
    try:
        for thread in pathlib.Path(f'/proc/{process}/task').iterdir():
            for child in (thread / 'children').read_text().split():
                yield from _with_descendants(int(child))
    except (FileNotFoundError, ProcessLookupError):
        pass  # it ended while it was looked at


def _memory(process: int) -> tuple[int, int]:
    """Bytes of its own, and of files."""
    try:
        lines = dict(line.split(':', 1) for line in pathlib.Path(f'/proc/{process}/status').read_text().splitlines())
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0
    # One that ended, and was not waited for, has none.
    return tuple(1024 * int(lines.get(name, '0').split()[0]) for name in ('RssAnon', 'RssFile'))
