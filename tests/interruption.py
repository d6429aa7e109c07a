"""Holds a process at a known moment, to be interrupted there."""

import contextlib
import os
import pathlib
from collections.abc import Iterator


@contextlib.contextmanager
def blocked(*files: pathlib.Path) -> Iterator[None]:
    """Makes whoever would write one of these whole wait, for ever, before its first byte."""
    pipes = [file.with_name(f'.{file.name}.writing') for file in files]
    for pipe in pipes:
        pipe.unlink(missing_ok=True)
        os.mkfifo(pipe)
    yield
    for pipe in pipes:
        pipe.unlink()
        # As it would be if the kill had come in the middle.
        pipe.write_bytes(b'half')
