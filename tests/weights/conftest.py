"""What the tests of weights share."""

import importlib.util
import pathlib
import types

import pytest


@pytest.fixture(scope='session')
def bert_in_numpy() -> types.ModuleType:
    """The module beside this file."""
    path = pathlib.Path(__file__).with_name('bert_in_numpy.py')
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
