"""The loop alone, on a training of one weight: what it logs."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from etils import epath
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from realm_tf.config import OptimizerConfig
from realm_tf.training.checkpoints import Checkpoints
from realm_tf.training.loop import run_training
from realm_tf.training.optimizer import BertAdamW
from realm_tf.training.replicas import mean_of
from realm_tf.training.train_step import Loss, make_train_step

# Of each step, `[examples]`.
VALUES = np.array([[1, 4], [2, 3], [0, 5]], np.float32)


def train(run, loss):
    """Trains a weight by the loss of its products with the values; gives the checkpoints, one a step."""
    weight = keras.Variable([4.0])
    optimizer = BertAdamW({'weight': weight}, OptimizerConfig(learning_rate=0.1, warmup_steps=0), len(VALUES))
    strategy = tf.distribute.get_strategy()
    step = make_train_step(lambda batch: Loss(mean_of(loss(weight.value * batch['values'])), {}), optimizer, strategy)
    checkpoints = Checkpoints(run / 'checkpoints', {}, optimizer)
    run_training(
        name='one weight',
        directory=run,
        steps=len(VALUES),
        batch_size=VALUES.shape[1],
        make_batch=lambda step: {'values': VALUES[step]},
        train_step=lambda batch: step(batch).metrics,
        checkpoints=checkpoints,
        checkpoint_every=1,
        first_step=0,
        strategy=strategy,
    )
    return checkpoints


def metrics_of(run):
    return [json.loads(line) for line in (run / 'metrics.jsonl').read_text().splitlines()]


def test_the_examples_of_a_second_are_in_the_metrics_and_the_curves(tmp_path):
    train(epath.Path(tmp_path), tf.square)
    metrics = metrics_of(tmp_path)
    assert len(metrics) == 3
    for line in metrics:
        assert line['examples_per_second'] == pytest.approx(2 / line['seconds'])
    curve = EventAccumulator(str(tmp_path / 'tensorboard')).Reload().Tensors('examples_per_second')
    drawn = [float(tf.make_ndarray(point.tensor_proto)) for point in curve]
    assert drawn == pytest.approx([line['examples_per_second'] for line in metrics])
