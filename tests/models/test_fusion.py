"""What TensorFlow's optimizer makes of the encoder on a CPU with oneDNN: the activation is part of the product."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework.test_util import IsMklEnabled

from benchmarks.operation_times import times_by_operation
from realm_tf.models.bert_encoder import BertEncoder


# On by default where the processor has AVX-512 VNNI, AVX VNNI or AMX.
@pytest.mark.skipif(not IsMklEnabled(), reason='TensorFlow does not use oneDNN on this processor')
@pytest.mark.parametrize('activation', ['gelu_tanh', 'gelu'])
@pytest.mark.parametrize('precision', ['float32', 'mixed_bfloat16'])
def test_the_activation_is_fused_into_its_product(activation, precision, tmp_path):
    encoder = BertEncoder(2, 32, 4, 64, 90, 16, activation=activation, dtype=precision)
    encoder.build()
    forward = tf.function(lambda *ids: encoder(*ids), input_signature=[tf.TensorSpec([None, None], tf.int32)] * 2)
    ids = np.ones((2, 8), np.int32)
    forward(ids, ids)
    with tf.profiler.experimental.Profile(str(tmp_path)):
        forward(ids, ids)
    milliseconds, _ = times_by_operation(pathlib.Path(tmp_path), passes=1)
    assert '_MklNativeFusedMatMul' in milliseconds
    assert not {'Tanh', 'Erf', 'Erfc'} & milliseconds.keys()
