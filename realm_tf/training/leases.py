"""Leases: a process that reads an index generation says so, and the generation is not collected under it.

A lease is a hidden file in the generation's directory that its holder writes again every minute. One that was not
written for ten minutes is void: its holder was killed, or is cut off.
"""

import atexit
import contextlib
import os
import socket
import sys
import threading
import time

from etils import epath

from realm_tf.files import is_remote, written_at

VOID_AFTER_SECONDS = 600.0
_RENEWED_EVERY_SECONDS = 60.0
_PREFIX = '.lease-'


def lease_while_running(artifact: epath.PathLike) -> None:
    """Keeps the index generation that an artefact belongs to until this process ends, if it belongs to one.

    Where its directory cannot be written to, a line on standard error says that it is not kept.
    """
    directory = epath.Path(artifact if is_remote(artifact) else os.path.abspath(artifact)).parent
    if directory.parent.name != 'generations':
        return
    lease = directory / f'{_PREFIX}{socket.gethostname()}-{os.getpid()}'
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(_RENEWED_EVERY_SECONDS):
            # A disk may be full for a while.
            with contextlib.suppress(OSError):
                lease.write_text(str(time.time()))

    def give_back() -> None:
        ended.set()
        lease.unlink(missing_ok=True)

    try:
        lease.write_text(str(time.time()))
    except OSError as error:
        print(f'{directory} may be removed while it is read: no lease can be written there ({error}).', file=sys.stderr)
        return
    atexit.register(give_back)
    threading.Thread(target=renew, daemon=True).start()


def is_leased(generation: epath.Path) -> bool:
    """Whether a process reads the generation in this directory, as far as its leases say."""
    return any(_is_valid(child) for child in generation.iterdir() if child.name.startswith(_PREFIX))


def _is_valid(lease: epath.Path) -> bool:
    try:
        return time.time() - written_at(lease) < VOID_AFTER_SECONDS
    except FileNotFoundError:
        # Given back in this moment.
        return False
