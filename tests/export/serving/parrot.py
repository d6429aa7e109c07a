"""An export that repeats the question: small, quick to open, and able to fail."""

import tensorflow as tf

from export.versions import KIND
from realm_tf.artifacts import make_artifact

BEFORE = '<script>document.title = "taken over"</script> Ünïcödé & "quotes": '
AFTER = ' <img src=x onerror=\'document.title="taken over"\'> </mark></details> end.'
TITLE = '<b>Title</b>'
# The graph fails for a batch with this question in it.
POISON = 'poison'


class Parrot(tf.Module):
    """Answers every question with itself, with the version as its score."""

    def __init__(self, version: int, weights: int):
        super().__init__()
        self._version = tf.Variable(float(version), trainable=False)
        self._weights = tf.Variable(tf.zeros([weights]), trainable=False)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name='question')])
    def answer(self, question):
        checks = [tf.debugging.assert_none_equal(question, POISON, message='the parrot is poisoned')]
        with tf.control_dependencies(checks):
            question = tf.identity(question)
        start = tf.fill(tf.shape(question), len(BEFORE.encode()))
        one = {
            'answer': question,
            'score': tf.fill(tf.shape(question), self._version + 0 * tf.reduce_sum(self._weights[:1])),
            'probability': tf.fill(tf.shape(question), 0.7),
            'block_id': tf.zeros(tf.shape(question), tf.int64),
            'title': tf.fill(tf.shape(question), TITLE),
            'text': tf.strings.join([BEFORE, question, AFTER]),
            'start': start,
            'limit': start + tf.strings.length(question),
        }
        return one | {f'top_{name}': tf.stack([values, values], axis=1) for name, values in one.items()}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name='question')])
    def embed(self, question):
        length = tf.cast(tf.strings.length(question), tf.float32)
        return {'embedding': tf.stack([length, length / 2], axis=1)}


def write_parrot(base, version: int, weights: int = 1) -> None:
    """Publishes a parrot as `base/<version>`."""
    with make_artifact(base / str(version), KIND, configuration={'searcher': 'exact'}, inputs={}) as draft:
        parrot = Parrot(version, weights)
        signatures = {'serving_default': parrot.answer, 'embed_query': parrot.embed}
        tf.saved_model.save(parrot, str(draft.path), signatures=signatures)
