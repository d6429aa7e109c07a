"""The most memory that a process and all that it started had together, looked at while they work."""

import threading
from collections.abc import Callable

import psutil


class PeakMemory(threading.Thread):
    """Looks at the memory of a process and its descendants, as a context.

    Args:
      process_id: of the process.
      memory_of: what counts of one process: `proportional` or `own`.
      every: seconds between two looks.

    Attributes:
      bytes: the most at one time.
    """

    def __init__(self, process_id: int, memory_of: Callable[[psutil.Process], int], every: float):
        super().__init__(daemon=True)
        self.bytes = 0
        self._process = psutil.Process(process_id)
        self._memory_of = memory_of
        self._every = every
        self._ended = threading.Event()

    def __enter__(self) -> 'PeakMemory':
        self.start()
        return self

    def __exit__(self, *exception) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        while not self._ended.wait(self._every):
            self.bytes = max(self.bytes, self._now())

    def _now(self) -> int:
        total = 0
        try:
            for process in [self._process, *self._process.children(recursive=True)]:
                total += self._memory_of(process)
        except psutil.NoSuchProcess:
            pass  # it ended while it was looked at
        return total


def proportional(process: psutil.Process) -> int:
    """Its proportional set size where the system tells it (Linux), so that a page that processes share counts once.

    Looking walks all pages of the process: more often than once a second, and it would slow down what it measures.
    """
    memory = process.memory_full_info()
    return getattr(memory, 'pss', memory.rss)


def own(process: psutil.Process) -> int:
    """What is in memory without that of mapped files, which the system can take back, where it tells them (Linux)."""
    memory = process.memory_info()
    return memory.rss - getattr(memory, 'shared', 0)
