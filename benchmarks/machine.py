"""The machine and the versions a figure was measured with."""

import importlib.metadata
import platform
from collections.abc import Sequence

from realm_tf.environment import processor


def machine(packages: Sequence[str] = ('tensorflow', 'apache-beam', 'scann')) -> str:
    """One line for the head of a table."""
    versions = ', '.join(f'{name} {importlib.metadata.version(name)}' for name in packages)
    return f'{processor()}; Python {platform.python_version()}, {versions}'
