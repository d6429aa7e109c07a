"""What workers report of the shards they embed: how the driver knows of other processes, or of other machines.

There is a report beside each shard, written again every few seconds. Once it holds the checksums of the shard's files,
the shard is done.
"""

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from etils import epath

from beam_jobs.progress import looking
from beam_jobs.watchdog import Watchdog
from realm_tf.artifacts import write_text_whole
from realm_tf.progress import Progress

# What is counted: `padding` in wordpieces, as `tokens` are; `halved` are batches that memory had no room for.
COUNTS = ('blocks', 'reused', 'tokens', 'padding', 'halved', 'milliseconds')

_SECONDS_BETWEEN_REPORTS = 5.0


class Report(NamedTuple):
    """What has been done for a shard.

    Attributes:
      counts: by the names of `COUNTS`.
      checksums: of its files, by name; empty until they are written.
    """

    counts: Mapping[str, int]
    checksums: Mapping[str, str]


def read_report(path: epath.Path) -> Report:
    """Reads a report.

    Raises:
      FileNotFoundError: if there is none.
    """
    return Report(**json.loads(path.read_text()))


class Reporter:
    """Counts what a worker does for a shard, and reports it.

    Args:
      path: of the report.
    """

    def __init__(self, path: epath.Path):
        self._path = path
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._counts = Counter()
        self._report({})

    def add(self, counts: Mapping[str, int]) -> None:
        """Counts something done; may be called from several threads."""
        with self._lock:
            self._counts.update(counts)
            if time.monotonic() - self._reported >= _SECONDS_BETWEEN_REPORTS:
                self._report({})

    def finish(self, checksums: Mapping[str, str]) -> Report:
        """Reports that the shard is done."""
        with self._lock:
            return self._report(checksums)

    def _report(self, checksums: Mapping[str, str]) -> Report:
        self._reported = time.monotonic()
        self._counts['milliseconds'] = round(1000 * (self._reported - self._started))
        report = Report(dict(self._counts), checksums)
        write_text_whole(self._path, json.dumps(report._asdict()))
        return report


@contextlib.contextmanager
def progress_of_reports(paths: Sequence[epath.Path], num_blocks: int, done: int, watchdog: Watchdog) -> Iterator[None]:
    """Shows what is reported, and tells the watchdog of it.

    Args:
      paths: of the reports, in one directory.
      num_blocks: how many blocks there are.
      done: those of them that were done before.
      watchdog: hears whenever there is more.
    """
    awaited = {path.name: path for path in paths}
    finished = Counter()
    started = time.monotonic()

    def reported() -> Counter:
        counts = Counter()
        # A look into the directory, and not one at each report: there may be thousands that are not there yet.
        here = {path.name for path in paths[0].parent.iterdir()} if awaited else set()
        for name in [name for name in awaited if name in here]:
            report = read_report(awaited[name])
            if report.checksums:
                finished.update(report.counts)
                del awaited[name]
            else:
                counts.update(report.counts)
        return finished + counts

    def show() -> None:
        nonlocal before
        counts = reported()
        if counts != before:
            watchdog.tell()
        advance = counts['blocks'] + counts['reused'] - before['blocks'] - before['reused']
        embedded = max(1, counts['tokens'] + counts['padding'])
        figures = {'tokens/s': counts['tokens'] / (time.monotonic() - started), 'padding': counts['padding'] / embedded}
        if counts['halved']:
            figures['batches halved'] = counts['halved']
        progress.advance(advance, **figures)
        before = counts

    before = Counter()
    with watchdog, Progress('Embedding', num_blocks, 'block', initial=done) as progress, looking(show):
        yield
