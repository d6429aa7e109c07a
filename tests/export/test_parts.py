"""A function of a part of a batch becomes one of batches of any size."""

import numpy as np
import pytest
import tensorflow as tf

from export.parts import PART, in_parts
from export.serving.session import Session


class Doubler(tf.Module):
    def __init__(self):
        super().__init__()
        self.weight = tf.Variable(2.0)
        text = tf.TensorSpec([None], tf.string, name='text')
        self.double = in_parts(self._double, {'text': text}, 'double')

    def _double(self, text):
        length = tf.cast(tf.strings.length(text), tf.float32)
        # No part is larger than it may be.
        check = tf.debugging.assert_less_equal(tf.size(text), PART)
        with tf.control_dependencies([check]):
            return {'twice': text + text, 'lengths': self.weight * tf.stack([length, length + 1], axis=1)}


@pytest.fixture(scope='module')
def path(tmp_path_factory):
    path = str(tmp_path_factory.mktemp('doubler'))
    doubler = Doubler()
    tf.saved_model.save(doubler, path, signatures={'double': doubler.double})
    return path


@pytest.mark.parametrize('size', [0, 1, PART, PART + 1, 5 * PART - 1, 4096])
def test_batches_of_any_size(path, size):
    texts = [str(number) for number in range(size)]
    found = tf.saved_model.load(path).signatures['double'](text=tf.constant(texts, tf.string))
    assert [text.decode() for text in found['twice'].numpy()] == [text + text for text in texts]
    lengths = np.array([len(text) for text in texts], np.float32)
    np.testing.assert_array_equal(found['lengths'], np.stack([2 * lengths, 2 * lengths + 2], axis=1))


def test_the_session_loader_opens_it(path):
    session = Session(path)
    texts = np.array([b'a', b'bcd'] * PART, object)
    (lengths,) = session.run({'double_text:0': texts}, ['StatefulPartitionedCall:0'])
    np.testing.assert_array_equal(lengths, [[2, 4], [6, 8]] * PART)
    session.close()
