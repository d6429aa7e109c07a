"""Progress of a job, by what is seen of it: by the files it has finished."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping

from etils import epath

from realm_tf.progress import Progress

_SECONDS_BETWEEN_LOOKS = 1.0


@contextlib.contextmanager
def progress_of_files(name: str, sizes: Mapping[str, int], unit: str) -> Iterator[None]:
    """Shows how much is done by looking for finished files, as workers are other processes, or other machines.

    Args:
      name: what is done.
      sizes: what each file counts for.
      unit: what they count.
    """
    awaited = {epath.Path(file): size for file, size in sizes.items()}

    def finished_since() -> int:
        finished = [path for path in awaited if path.exists()]
        return sum(awaited.pop(path) for path in finished)

    def show() -> None:
        progress.advance(finished_since())

    with Progress(name, sum(sizes.values()), unit, initial=finished_since()) as progress, looking(show):
        yield


@contextlib.contextmanager
def looking(look: Callable[[], None]) -> Iterator[None]:
    """Looks every second, in a thread, and once more at the end.

    Args:
      look: shows what there is to see.
    """
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_SECONDS_BETWEEN_LOOKS):
            # A storage that does not answer once does no harm.
            with contextlib.suppress(OSError):
                look()
        look()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
