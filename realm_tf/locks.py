"""Locks between processes: who works in a directory says so, and another is told.

They are the file system's, so that one ends with its process, however that ends. Object stores have none, and some
network file systems neither: there the user sees to it that two processes do not work in one directory.
"""

import errno
import fcntl
import functools
import math
import os
import socket
import sys
import time
from typing import IO

from etils import epath

from realm_tf.errors import RealmError
from realm_tf.files import is_remote

# Processes that were made by one that was killed end a moment after it.
_PATIENCE_SECONDS = 3.0
_POLL_SECONDS = 0.1
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)


class InUseError(RealmError):
    """Another process works in the directory."""


def lock(path: epath.PathLike, patience: float = _PATIENCE_SECONDS) -> IO | None:
    """Locks a file in the directory that is to be worked in, until what is returned is closed or this process ends.

    A child that is forked meanwhile has the lock too, until it ends.

    Args:
      path: the file, which is made; it says which process has it.
      patience: seconds that another process is waited for.

    Returns:
      The open file; None where there are no locks, which standard error is told on a file system that lacks them.

    Raises:
      InUseError: if another process has it.
      OSError: if the file cannot be written.
    """
    if is_remote(path):
        return None
    path = epath.Path(path)
    give_up = time.monotonic() + patience
    while True:
        try:
            file = path.open('a')
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # It may have been removed by the one that had it, and then is not what others find.
            if is_at(file, path):
                file.truncate(0)
                file.write(f'process {os.getpid()} on {socket.gethostname()}')
                file.flush()
                return file
        except BlockingIOError as error:
            if time.monotonic() >= give_up:
                raise InUseError(
                    f'{path.parent} is in use by {_holder(path)}. Wait until it ends, stop it, or name another '
                    'directory.'
                ) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            _say_once(f'There are no locks on the disk of {path.parent}: see to it that no other process works there.')
            return None
        file.close()
        time.sleep(_POLL_SECONDS)


@functools.cache
def _say_once(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def wait_for_lock(path: epath.PathLike, sentence: str) -> IO | None:
    """`lock`, however long it takes; where another process has it, `sentence` goes to standard error."""
    try:
        return lock(path, patience=0)
    except InUseError:
        print(sentence, file=sys.stderr, flush=True)
        return lock(path, patience=math.inf)


def is_at(file: IO, path: epath.PathLike) -> bool:
    """Whether an open file is the one that is found by a path now."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _holder(path: epath.Path) -> str:
    try:
        return path.read_text() or 'another process'
    except FileNotFoundError:
        return 'another process'
