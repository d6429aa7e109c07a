"""The machine and the versions a figure was measured with."""

import importlib.metadata
import platform

from realm_tf.environment import processor


def machine() -> str:
    """One line for the head of a table."""
    versions = ', '.join(
        f'{name} {importlib.metadata.version(name)}' for name in ('tensorflow', 'apache-beam', 'scann')
    )
    return f'{processor()}; Python {platform.python_version()}, {versions}'
