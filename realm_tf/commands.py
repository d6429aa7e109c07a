"""Commands of this library that others of it run: each is printed, so that a user can run it alone."""

import shlex
import signal
import subprocess
import sys
from collections.abc import Container, Mapping

from realm_tf.errors import RealmError


def realm_command(*arguments) -> list[str]:
    """The command line of `realm ARGUMENTS`, by the Python that runs this."""
    return [sys.executable, '-m', 'realm_tf.cli', *map(str, arguments)]


def print_realm(*arguments) -> None:
    """Prints `realm ARGUMENTS` as a user would type it."""
    print(f'$ realm {shlex.join(map(str, arguments))}', flush=True)


def run_realm(*arguments, accepted: Container[int] = (0,)) -> None:
    """Prints `realm ARGUMENTS` and runs it.

    Args:
      arguments: of the command; what is no string is made one.
      accepted: exit statuses that are no failure.

    Raises:
      KeyboardInterrupt: if it was interrupted.
      RealmError: if it ended with another status.
    """
    print_realm(*arguments)
    status = subprocess.run(realm_command(*arguments)).returncode
    if status in (130, -signal.SIGINT):
        raise KeyboardInterrupt
    if status not in accepted:
        raise RealmError(f'Status {status} from realm {shlex.join(map(str, arguments))}; what it said is above.')


def setting_arguments(values: Mapping, section: str = '') -> list[str]:
    """The arguments `--set NAME=VALUE` for these settings, of one section if it is named."""
    prefix = f'{section}.' if section else ''
    return [part for name, value in values.items() for part in ('--set', f'{prefix}{name}={value}')]
