"""An export of the tiny model."""

import subprocess
import sys

import pytest


@pytest.fixture(scope='session')
def tiny_export(tmp_path_factory, tiny_corpus, tiny_embeddings, tiny_model):
    """The tiny model, exported with exact search, as version 1."""
    path = tmp_path_factory.mktemp('tiny-export') / 'model'
    paths = [('--model', tiny_model), ('--corpus', tiny_corpus), ('--embeddings', tiny_embeddings), ('--output', path)]
    subprocess.run([sys.executable, '-m', 'export', *(str(part) for pair in paths for part in pair)], check=True)
    return path
