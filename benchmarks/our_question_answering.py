"""Our question answering, in a process of its own; see `benchmarks.question_answering`.

python -m benchmarks.our_question_answering EXPORT QUESTIONS.json REPETITIONS FOUND.json
"""

import os
import sys

os.environ.update(TF_CPP_MIN_LOG_LEVEL='3', KERAS_BACKEND='tensorflow')

import tensorflow as tf
import tensorflow_text  # noqa: F401 — its operations are in the graph

from benchmarks.answering_measure import measure
from realm_tf.artifacts import open_artifact
from realm_tf.environment import assume_frozen_weights


def main(export: str, questions: str, repetitions: str, output: str) -> None:
    """Answers with the signatures of the SavedModel, a question a call."""
    assume_frozen_weights(open_artifact(export).configuration['precision'])
    model = tf.saved_model.load(export)

    def call(signature: str, question: str) -> dict[str, tf.Tensor]:
        return model.signatures[signature](question=tf.constant([question]))

    def answer(question: str) -> str:
        return call('serving_default', question)['answer'].numpy()[0].decode()

    def retrieve(question: str) -> list[int]:
        return call('retrieve', question)['block_id'].numpy()[0].tolist()

    measure(questions, repetitions, output, answer, retrieve)


if __name__ == '__main__':
    main(*sys.argv[1:])
