"""What is measured beside us, each in an environment of its own: PyTorch and TensorFlow do not share a process."""

import pathlib
import subprocess
import sys
import venv

import click

DIRECTORY = pathlib.Path('build') / 'peers'


def python_of(peer: str, requirements: tuple[str, ...]) -> str:
    """The Python of a peer's environment, which is made where it is missing.

    Args:
      peer: names the environment.
      requirements: what pip installs there.
    """
    environment = DIRECTORY / peer
    installed = environment / 'installed.txt'
    if not installed.exists() or installed.read_text().split() != list(requirements):
        click.echo(f'Installing {", ".join(requirements)} in {environment}.', err=True)
        venv.create(environment, with_pip=True, clear=True)
        command = [environment / 'bin' / 'python', '-m', 'pip', 'install', '--quiet', *requirements]
        subprocess.run(command, check=True, stdout=sys.stderr)
        installed.write_text('\n'.join(requirements))
    return str(environment / 'bin' / 'python')
