"""What is measured beside us, each in an environment of its own: PyTorch and TensorFlow do not share a process.

This file needs the standard library alone, as a peer imports it too.
"""

import pathlib
import subprocess
import sys
import venv

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
        print(f'Installing {", ".join(requirements)} in {environment}.', file=sys.stderr)
        venv.create(environment, with_pip=True, clear=True)
        command = [environment / 'bin' / 'python', '-m', 'pip', 'install', '--quiet', *requirements]
        subprocess.run(command, check=True, stdout=sys.stderr)
        installed.write_text('\n'.join(requirements))
    return str(environment / 'bin' / 'python')
