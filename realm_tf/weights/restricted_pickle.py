"""Pickles of which every object they may make is known beforehand.

A pickle names functions and has them called: opened with `pickle.load`, it can run any code. Here, whatever is not on
the list is refused. Even so, such files are opened only where the user allows it.
"""

import pickle
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from etils import epath

from realm_tf.errors import RealmError


def require_allowed(path: epath.PathLike, allow_pickle: bool, instead: str) -> None:
    """Refuses a pickle that the user has not allowed.

    Args:
      path: the file.
      allow_pickle: whether it is allowed.
      instead: a sentence that says what needs no such trust.

    Raises:
      RealmError: if it is not.
    """
    if not allow_pickle:
        raise RealmError(
            f'{path} is a pickle, a format that can run code when it is opened. Only known objects are read from it '
            f'here, and yet: give --allow-pickle if you trust where it is from. {instead}'
        )


def load(
    file: BinaryIO,
    allowed: Mapping[tuple[str, str], Any],
    persistent: Callable[[Any], Any] | None = None,
) -> Any:
    """Reads a pickle that may name nothing but `allowed`.

    Args:
      file: the pickle.
      allowed: what it may name, by module and name.
      persistent: what gives the objects that are kept outside the pickle.

    Raises:
      RealmError: if it names anything else, or is no whole pickle.
    """
    try:
        return _Unpickler(file, allowed, persistent).load()
    except RealmError:
        raise
    except Exception as error:
        # A damaged pickle fails in whatever way it happens to.
        raise RealmError(f'it cannot be read as a pickle ({error!r}). Is it whole?') from error


class _Unpickler(pickle.Unpickler):
    def __init__(self, file, allowed, persistent):
        super().__init__(file)
        self._allowed = allowed
        self._persistent = persistent

    def find_class(self, module, name):
        if (module, name) not in self._allowed:
            raise RealmError(f'it asks for {module}.{name}, which no such file needs, and was not opened further.')
        return self._allowed[module, name]

    def persistent_load(self, pid):
        if self._persistent is None:
            raise RealmError('it refers to objects outside of it, which no such file does.')
        return self._persistent(pid)
