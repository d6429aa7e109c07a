"""What the tests of the trainings share."""

import pytest
from etils import epath

from realm_tf.config import IndexConfig


@pytest.fixture(scope='session')
def first(tmp_path_factory, tiny_encoder, tiny_embeddings):
    """The generation that a pre-training starts with, with an exact index, which needs no ScaNN to be loaded."""
    from realm_tf.search.index import build_index
    from realm_tf.training.generations import Generation

    index = tmp_path_factory.mktemp('first') / 'index'
    build_index(tiny_embeddings, index, IndexConfig(searcher='exact'))
    return Generation(0, *map(epath.Path, (tiny_encoder, tiny_embeddings, index)))
