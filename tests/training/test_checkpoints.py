"""Checkpoints that a disk has damaged."""

import keras
import pytest
import tensorflow as tf
from etils import epath

from realm_tf.config import OptimizerConfig
from realm_tf.errors import RealmError
from realm_tf.training.checkpoints import Checkpoints, step_directory
from realm_tf.training.optimizer import BertAdamW


def damage(checkpoint):
    path = checkpoint / 'optimizer.safetensors'
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path, capsys):
    directory = epath.Path(tmp_path) / 'checkpoints'
    optimizer = BertAdamW({'weight': keras.Variable([1.0])}, OptimizerConfig(learning_rate=0.1), 10)
    checkpoints = Checkpoints(directory, {}, optimizer)
    for step in (1, 2, 3):
        optimizer.apply([tf.constant([0.5])])
        checkpoints.extra['step'] = step
        checkpoints.save(step)
    checkpoints.wait()
    assert checkpoints.restore() == 3 and not capsys.readouterr().err

    older, newest = step_directory(directory, 2), step_directory(directory, 3)
    damage(newest)
    assert checkpoints.restore() == 2
    assert optimizer.step.numpy() == checkpoints.extra['step'] == 2
    assert f'The checkpoint {newest} is passed over' in capsys.readouterr().err
    # It is made again.
    checkpoints.save(3)
    checkpoints.wait()
    assert checkpoints.restore() == 3

    damage(newest)
    (older / 'optimizer.safetensors').unlink()
    with pytest.raises(RealmError, match=rf'is whole: {newest}, {older}\. .* remove {directory}: the training then'):
        checkpoints.restore()
