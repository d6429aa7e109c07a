"""Commands of this library that others of it run: each is printed, so that a user can run it alone."""

import contextlib
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Container, Mapping

import click
from click.core import ParameterSource

from realm_tf.errors import RealmError


def realm_command(*arguments) -> list[str]:
    """The command line of `realm ARGUMENTS`, by the Python that runs this."""
    return [sys.executable, '-m', 'realm_tf.cli', *map(str, arguments)]


def print_realm(*arguments) -> None:
    """Prints `realm ARGUMENTS` as a user would type it."""
    print(f'$ realm {shlex.join(map(str, arguments))}', flush=True)


def status_of(process: subprocess.Popen) -> int:
    """Waits for a command to end, and gives its status. On Ctrl-C, which it gets too, it is left to end in its own way.

    SIGTERM, which it does not get, is handed on to it.
    """
    # Signals come to the main thread; another waits until it has ended.
    if threading.current_thread() is not threading.main_thread():
        return process.wait()
    previous = signal.signal(signal.SIGTERM, lambda number, frame: process.terminate())
    try:
        while True:
            with contextlib.suppress(KeyboardInterrupt):
                return process.wait()
    finally:
        signal.signal(signal.SIGTERM, previous)


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
    status = status_of(subprocess.Popen(realm_command(*arguments)))
    if status in (130, -signal.SIGINT):
        raise KeyboardInterrupt
    if status not in accepted:
        raise RealmError(f'Status {status} from realm {shlex.join(map(str, arguments))}; what it said is above.')


def refuse_options_before_subcommand(context: click.Context) -> None:
    """Of a group that is a command too: refuses its own options where a subcommand follows, which has others.

    Raises:
      RealmError: if one is given.
    """
    for parameter in context.command.params:
        if context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE:
            name = context.invoked_subcommand
            raise RealmError(
                f'{parameter.opts[0]} before {name} has no effect on it. See {context.command_path} {name} --help.'
            )


def setting_arguments(values: Mapping, section: str = '') -> list[str]:
    """The arguments `--set NAME=VALUE` for these settings, of one section if it is named."""
    prefix = f'{section}.' if section else ''
    return [part for name, value in values.items() for part in ('--set', f'{prefix}{name}={value}')]
