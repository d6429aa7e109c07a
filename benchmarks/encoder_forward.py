"""Our encoder, in a process of its own; see `benchmarks.encoder`.

python -m benchmarks.encoder_forward CASE PRECISION TOKEN_IDS.npy REPETITIONS
"""

import json
import os
import sys
from collections.abc import Callable

os.environ.update(TF_CPP_MIN_LOG_LEVEL='3', KERAS_BACKEND='tensorflow')

import numpy as np
import tensorflow as tf

from benchmarks.encoder_cases import CASES, Case
from benchmarks.timing import median_seconds
from realm_tf.environment import assume_frozen_weights
from realm_tf.models.bert_encoder import BertEncoder


def main(name: str, precision: str, token_ids: str, repetitions: int) -> None:
    """Prints the seconds of a forward pass, and the gigaflops a second of a matrix product."""
    # As the jobs and the served model do.
    assume_frozen_weights(precision)
    case = CASES[name]
    seconds = median_seconds(forward_pass(case, precision, np.load(token_ids)), repetitions)
    print(json.dumps([seconds, gigaflops_of_product(case, precision, repetitions)]))


def forward_pass(case: Case, precision: str, token_ids: np.ndarray) -> Callable[[], tf.Tensor]:
    """An encoder with random weights, compiled for any batch and any length, as in the jobs and the served model.

    Args:
      case: the encoder.
      precision: of weights and arithmetic.
      token_ids: int32 `[batch, length]`.

    Returns:
      A call that encodes them.
    """
    encoder = BertEncoder(
        num_layers=case.num_layers,
        hidden_size=case.hidden_size,
        num_heads=case.num_heads,
        intermediate_size=case.intermediate_size,
        activation=case.activation,
        dtype=precision,
    )
    encoder.build()
    forward = tf.function(lambda *ids: encoder(*ids), input_signature=[tf.TensorSpec([None, None], tf.int32)] * 2)
    ids = tf.constant(token_ids)
    segments = tf.zeros_like(ids)
    return lambda: forward(ids, segments)


def gigaflops_of_product(case: Case, precision: str, repetitions: int) -> float:
    """What the feed-forward layer's first product reaches by itself, in 10⁹ operations a second.

    It is the product with a bias, which is the kernel that a dense layer runs on.
    """
    rows = case.batch * case.length
    left = tf.cast(tf.random.normal([rows, case.hidden_size]), precision)
    right = tf.Variable(tf.cast(tf.random.normal([case.hidden_size, case.intermediate_size]), precision))
    bias = tf.Variable(tf.zeros([case.intermediate_size], precision))
    product = tf.function(lambda left: tf.nn.bias_add(tf.matmul(left, right), bias))
    operations = 2 * rows * case.hidden_size * case.intermediate_size / 1e9
    return operations / median_seconds(lambda: product(left), repetitions)


if __name__ == '__main__':
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
