"""The retriever of one encoder with the reader of another."""

import dataclasses

import numpy as np
import pytest

from realm_tf.errors import RealmError
from realm_tf.weights.combine import combine
from realm_tf.weights.encoder_artifact import KNOWLEDGE_AUGMENTED_ENCODER, RETRIEVER, Encoder
from realm_tf.weights.import_weights import import_weights
from realm_tf.weights.tensor_files import read_tensors


@pytest.fixture(scope='module')
def other_encoder(tmp_path_factory, pretrained_directory, tiny_config):
    """Like the tiny encoder, from another seed."""
    output = tmp_path_factory.mktemp('other') / 'encoder'
    import_weights([pretrained_directory], output, dataclasses.replace(tiny_config, seed=1), random=True)
    return output


def test_each_network_is_that_of_its_source(tmp_path, tiny_encoder, other_encoder):
    made = combine(tiny_encoder, other_encoder, tmp_path / 'encoder')
    for file, source in ((RETRIEVER, tiny_encoder), (KNOWLEDGE_AUGMENTED_ENCODER, other_encoder)):
        expected = read_tensors(source / file)
        found = read_tensors(made.path / file)
        assert found.keys() == expected.keys()
        assert all(np.array_equal(found[name], expected[name]) for name in expected)
    # The two sources do differ.
    kernels = [read_tensors(path / RETRIEVER)['tower/projection/kernel'] for path in (tiny_encoder, other_encoder)]
    assert not np.array_equal(*kernels)
    assert Encoder.open(made.path).artifact.digest == combine(tiny_encoder, other_encoder, made.path).digest


def test_encoders_that_do_not_fit_are_refused(tmp_path, pretrained_directory, tiny_config, tiny_encoder):
    small = dataclasses.replace(tiny_config, encoder=dataclasses.replace(tiny_config.encoder, num_layers=1))
    import_weights([pretrained_directory], tmp_path / 'small', small, random=True)
    with pytest.raises(RealmError, match=r'differ in their networks: .*num_layers=2.* is not .*num_layers=1'):
        combine(tiny_encoder, tmp_path / 'small', tmp_path / 'encoder')
    assert not (tmp_path / 'encoder').exists()
