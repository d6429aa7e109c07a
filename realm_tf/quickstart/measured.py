"""Runs a command and measures it: time, and memory of it and all it starts."""

import dataclasses
import subprocess
import time
from collections.abc import Sequence

from realm_tf.commands import status_of
from realm_tf.peak_memory import PeakMemory, proportional


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
    with PeakMemory(process.pid, proportional, every=1.0) as peak:
        status = status_of(process)
    return Measured(status, time.monotonic() - started, peak.bytes)
