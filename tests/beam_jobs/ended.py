"""Whether processes have ended."""

from collections.abc import Iterable

import psutil


def assert_ended(processes: Iterable[psutil.Process], seconds: float = 10) -> None:
    """Asserts that all have, or do within so many seconds."""
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    # Where nothing reaps orphans, a process that has ended stays as a zombie.
    assert all(process.status() == psutil.STATUS_ZOMBIE for process in alive)
