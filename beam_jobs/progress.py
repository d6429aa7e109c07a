"""Progress of a job by the files it has finished."""

import contextlib
import threading
from collections.abc import Iterator, Sequence

from etils import epath

from realm_tf.progress import Progress

_SECONDS_BETWEEN_LOOKS = 1.0


@contextlib.contextmanager
def progress_of_files(name: str, files: Sequence[str]) -> Iterator[None]:
    """Shows how many of the files are there; workers are other processes, or other machines."""
    paths = [epath.Path(file) for file in files]
    done = sum(path.exists() for path in paths)
    ended = threading.Event()

    def watch() -> None:
        seen = done
        while not ended.wait(_SECONDS_BETWEEN_LOOKS):
            now = sum(path.exists() for path in paths)
            progress.advance(now - seen)
            seen = now
        progress.advance(sum(path.exists() for path in paths) - seen)

    with Progress(name, len(paths), 'shard', initial=done) as progress:
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()
