"""Runs a command and measures it: time, and memory of it and all it starts."""

import dataclasses
import subprocess
import threading
import time
from collections.abc import Sequence

import psutil

from realm_tf.commands import status_of

# Looking walks all pages of a process: more often, and it would slow down what it measures.
_POLL_SECONDS = 1.0


@dataclasses.dataclass(frozen=True)
class Measured:
    """What a command cost.

    Attributes:
      status: its exit status.
      seconds: wall-clock time.
      peak_bytes: the largest memory of the command and its descendants together, looked at once a second: their
        proportional set size where the system tells it (Linux), so that a page that processes share counts once.
    """

    status: int
    seconds: float
    peak_bytes: int


def run_measured(command: Sequence[str]) -> Measured:
    """Runs a command to its end. On Ctrl-C, which the command gets too, waits for it to end in its own way.

    SIGTERM, which the command does not get, is handed on to it.
    """
    started = time.monotonic()
    process = subprocess.Popen(command)
    peak = _Peak(process.pid)
    peak.start()
    status = status_of(process)
    peak.stop()
    return Measured(status, time.monotonic() - started, peak.bytes)


class _Peak(threading.Thread):
    """Looks at the memory of a process and its descendants until told to stop."""

    def __init__(self, process_id: int):
        super().__init__(daemon=True)
        self.bytes = 0
        self._process = psutil.Process(process_id)
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(_POLL_SECONDS):
            self.bytes = max(self.bytes, self._now())

    def stop(self) -> None:
        self._ended.set()
        self.join()

    def _now(self) -> int:
        total = 0
        try:
            for process in [self._process, *self._process.children(recursive=True)]:
                memory = process.memory_full_info()
                total += getattr(memory, 'pss', memory.rss)
        except psutil.NoSuchProcess:
            pass  # it ended while it was looked at
        return total
