"""Servers of a small export."""

import pytest

from tests.export.serving.parrot import write_parrot
from tests.export.serving.servers import started


@pytest.fixture(scope='session')
def parrot_base(tmp_path_factory):
    """An export that repeats the question, as version 1."""
    base = tmp_path_factory.mktemp('parrot') / 'model'
    write_parrot(base, 1)
    return base


@pytest.fixture(scope='session')
def parrot_server(parrot_base):
    """A server of it."""
    with started(parrot_base) as server:
        yield server
