"""The loop alone, on a training of one weight: what it logs, and what it does with a step that is not finite."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from etils import epath
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from realm_tf.config import OptimizerConfig
from realm_tf.errors import RealmError
from realm_tf.training.checkpoints import Checkpoints
from realm_tf.training.loop import run_training
from realm_tf.training.optimizer import BertAdamW
from realm_tf.training.replicas import mean_of
from realm_tf.training.train_step import Loss, make_train_step

# Of each step, `[examples]`.
VALUES = np.array([[1, 4], [2, 3], [0, 5]], np.float32)


def make(run):
    """A weight, its optimizer and its checkpoints."""
    weight = keras.Variable([4.0])
    optimizer = BertAdamW({'weight': weight}, OptimizerConfig(learning_rate=0.1, warmup_steps=0), len(VALUES))
    return weight, optimizer, Checkpoints(run / 'checkpoints', {}, optimizer)


def train(run, made, loss, accumulation_steps=1):
    """Trains a weight by the loss of its products with the values, with a checkpoint after each step."""
    weight, optimizer, checkpoints = made
    strategy = tf.distribute.get_strategy()
    step = make_train_step(
        lambda batch: Loss(mean_of(loss(weight.value * batch['values'])), {}), optimizer, strategy, accumulation_steps
    )
    run_training(
        name='one weight',
        directory=run,
        steps=len(VALUES),
        batch_size=VALUES.shape[1],
        make_batch=lambda step: {'values': VALUES[step]},
        train_step=step,
        checkpoints=checkpoints,
        checkpoint_every=1,
        first_step=0,
        strategy=strategy,
    )


def metrics_of(run):
    return [json.loads(line) for line in (run / 'metrics.jsonl').read_text().splitlines()]


def test_the_examples_of_a_second_are_in_the_metrics_and_the_curves(tmp_path):
    run = epath.Path(tmp_path)
    train(run, make(run), tf.square)
    metrics = metrics_of(run)
    assert len(metrics) == 3
    for line in metrics:
        assert line['examples_per_second'] == pytest.approx(2 / line['seconds'])
    curve = EventAccumulator(str(run / 'tensorboard')).Reload().Tensors('examples_per_second')
    drawn = [float(tf.make_ndarray(point.tensor_proto)) for point in curve]
    assert drawn == pytest.approx([line['examples_per_second'] for line in metrics])


# At zero, the logarithm is infinite; of the square root only the derivative is.
@pytest.mark.parametrize('accumulation_steps', [1, 2])
@pytest.mark.parametrize('loss, said', [(tf.math.log, 'its loss is -inf'), (tf.sqrt, 'its loss is [0-9.]+')])
def test_a_step_that_is_not_finite_is_written_aside_and_is_in_no_checkpoint(tmp_path, loss, said, accumulation_steps):
    run = epath.Path(tmp_path)
    made = _, optimizer, checkpoints = make(run)
    with pytest.raises(RealmError, match=rf'ends at step 3: {said}, and the norm of its gradient (nan|inf)\.'):
        train(run, made, loss, accumulation_steps)
    with np.load(run / 'not-finite-step-00000003.npz') as aside:
        np.testing.assert_array_equal(aside['values'], VALUES[2])
    assert [line['step'] for line in metrics_of(run)] == [1, 2]
    checkpoints.wait()
    assert checkpoints.restore() == 2
    assert all(np.isfinite(values).all() for values in optimizer.state().values())
