"""Processes that do not outlive the one that started them, however that ends, nor leave anything that they started.

Between the two stands a guard, `python -m realm_tf.guarded_process COMMAND …`. It reads a pipe that the starter holds
and never writes to: the pipe closes when the starter lets go of it, and when the starter is gone, killed or not. Then
the guard ends the command with all that it started: with SIGTERM, and after a time of grace with SIGKILL.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import IO

GRACE_SECONDS = 5.0


class GuardedProcess:
    """A command that runs until it ends, it is ended, or this process is gone.

    Args:
      command: the command line.
      log: where its output goes; unset: where that of this process goes.
      held: files that stay open until nothing of it is left, such as a lock.
      variables: of its environment, beside those of this process.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: IO | None = None,
        held: Sequence[IO] = (),
        variables: Mapping[str, str] | None = None,
    ):
        self._guard = subprocess.Popen(
            [sys.executable, '-m', 'realm_tf.guarded_process', *command],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=os.environ | (variables or {}),
            pass_fds=[file.fileno() for file in held],
            # A Ctrl-C is for the starter, which ends the command in its own time.
            start_new_session=True,
        )

    def poll(self) -> int | None:
        """The status that it ended with, 128 and the signal's number if one ended it; None while it runs."""
        return self._guard.poll()

    def end(self) -> None:
        """Ends it, and returns when nothing of it is left."""
        self._guard.stdin.close()
        try:
            self._guard.wait(3 * GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            # A process that even SIGKILL does not end hangs in the kernel, on a disk that is gone.
            self._guard.kill()


def main(command: Sequence[str]) -> int:
    """Runs the command as its guard; gives its status."""
    job = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)

    def end_with_starter() -> None:
        os.read(sys.stdin.fileno(), 1)
        _signal_all(job, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            job.wait(GRACE_SECONDS)
        _signal_all(job, signal.SIGKILL)

    signal.signal(signal.SIGTERM, lambda *_: _signal_all(job, signal.SIGTERM))
    threading.Thread(target=end_with_starter, daemon=True).start()
    status = job.wait()
    _signal_all(job, signal.SIGKILL)
    return status if status >= 0 else 128 - status


def _signal_all(job: subprocess.Popen, number: int) -> None:
    """Signals the job and what it started; it leads a group of its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(job.pid, number)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
