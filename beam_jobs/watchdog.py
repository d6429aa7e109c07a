"""Ends a job in which nothing happens any more."""

import signal

from beam_jobs.local_workers import end_at_once


class Watchdog:
    """Ends this process, with its workers, unless it hears of progress again and again.

    It prints a sentence and ends with status 2; what the job has finished stays. Enter it in the main thread, which may
    then wait for whatever a signal interrupts; progress may be told from any thread.

    Args:
      seconds: how long nothing may happen.
      sentence: what is printed.
    """

    def __init__(self, seconds: float, sentence: str):
        self._seconds = seconds
        self._sentence = sentence

    def __enter__(self) -> 'Watchdog':
        self._handler = signal.signal(signal.SIGALRM, self._bite)
        self.tell()
        return self

    def __exit__(self, *exception) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._handler)

    def tell(self) -> None:
        """Says that something has happened."""
        signal.setitimer(signal.ITIMER_REAL, self._seconds)

    def _bite(self, number: int, frame) -> None:
        end_at_once(f'realm: {self._sentence}', 2)
