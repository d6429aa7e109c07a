"""Ours or the peer's, each in a process of its own: what it found, and the memory that took."""

import json
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from typing import Any

import click

from realm_tf.quickstart.measured import run_measured

_VERSIONS = 'import torch, transformers; print(f"torch {torch.__version__}, transformers {transformers.__version__}")'


def measured(python: str, module: str, arguments: Sequence[str]) -> tuple[Any, float]:
    """Runs a module, whose last argument is the file for what it finds.

    Args:
      python: the interpreter.
      module: its name.
      arguments: the others.

    Returns:
      What it wrote as JSON, None if the machine's memory was not enough, and the most gigabytes that the process had.
    """
    with tempfile.NamedTemporaryFile('r') as file:
        result = run_measured([python, '-m', module, *arguments, file.name])
        # So ends the system a process, for which there is no memory left.
        if result.status == -signal.SIGKILL:
            return None, result.peak_bytes / 1e9
        if result.status:
            raise click.ClickException(f'{module} {" ".join(arguments)} ended with status {result.status}.')
        return json.load(file), result.peak_bytes / 1e9


def versions_of(python: str) -> str:
    """The versions of a peer's PyTorch and transformers."""
    return subprocess.run([python, '-c', _VERSIONS], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
