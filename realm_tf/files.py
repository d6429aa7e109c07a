"""Whether a file is on a disk or an object store, how long it is, and when it was written.

`epath` says the last two of local files only where their owner has a name on this machine, which it has not in a
container that another user's folder is mounted in.
"""

import os

from etils import epath


def is_remote(path: epath.PathLike) -> bool:
    """Whether it is on an object store, such as `gs://`."""
    return '://' in str(path)


def length_of(path: epath.PathLike) -> int:
    """Its bytes.

    Raises:
      FileNotFoundError: if there is no such file.
    """
    return epath.Path(path).stat().length if is_remote(path) else os.stat(path).st_size


def written_at(path: epath.PathLike) -> float:
    """When it was written last, in seconds since the epoch; of an object store, in whole ones.

    Raises:
      FileNotFoundError: if there is no such file.
    """
    return epath.Path(path).stat().mtime if is_remote(path) else os.stat(path).st_mtime
