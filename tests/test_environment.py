"""What TensorFlow is told of this process."""

import os
import subprocess
import sys

import numpy as np
import pytest

from realm_tf.environment import assume_frozen_weights
from realm_tf.errors import RealmError
from realm_tf.training.train_step import make_train_step

VARIABLE = 'TF_ONEDNN_ASSUME_FROZEN_WEIGHTS'
# An encoder in bfloat16 over batches of different shapes, and over one of them again.
PROGRAM = """
import sys
import keras, numpy as np, tensorflow as tf
from realm_tf.models.bert_encoder import BertEncoder
keras.utils.set_random_seed(1)
sizes = dict(num_layers=2, hidden_size=64, num_heads=2, intermediate_size=256)
encoder = BertEncoder(**sizes, vocabulary_size=100, dtype='bfloat16')
encoder.build()
call = tf.function(lambda *ids: encoder(*ids), input_signature=[tf.TensorSpec([None, None], tf.int32)] * 2)
hidden = []
for rows, length in [(4, 16), (64, 48), (1, 32), (4, 16)]:
    ids = np.random.default_rng(length).integers(1, 100, (rows, length), np.int32)
    hidden.append(tf.cast(call(ids, np.zeros_like(ids)), tf.float32).numpy().reshape(-1))
np.save(sys.argv[1], np.concatenate(hidden))
"""


def test_frozen_weights_compute_the_same(tmp_path):
    found = {}
    for value in '01':
        file = tmp_path / f'{value}.npy'
        command = [sys.executable, '-c', PROGRAM, str(file)]
        subprocess.run(command, env=os.environ | {VARIABLE: value, 'TF_CPP_MIN_LOG_LEVEL': '3'}, check=True)
        found[value] = np.load(file)
    # A unit of bfloat16 at the largest value, over two layers.
    np.testing.assert_allclose(found['1'], found['0'], atol=0.06)
    assert np.abs(found['0']).mean() > 0.5


def test_weights_that_are_taken_for_frozen_are_not_trained(monkeypatch):
    # A copy, as what is put into it must not stay.
    monkeypatch.setattr(os, 'environ', {})
    assume_frozen_weights('float32')
    assert not os.environ
    assume_frozen_weights('mixed_bfloat16')
    assert os.environ == {VARIABLE: '1'}
    with pytest.raises(RealmError, match=f'{VARIABLE} is set, with which TensorFlow would not see the weights change'):
        make_train_step(lambda batch: None, None, None)
    # As a user wants it.
    os.environ[VARIABLE] = '0'
    assume_frozen_weights('mixed_bfloat16')
    assert os.environ == {VARIABLE: '0'}
