"""What one call of the training step costs the host, whatever the step computes: what several steps a call would save.

    python -m benchmarks.step_call

A compiled function is called that holds as many variables as the step of pre-training does, and adds nothing to each.
Prints a line.
"""

import os

os.environ.update(TF_CPP_MIN_LOG_LEVEL='3', KERAS_BACKEND='tensorflow')

import click
import tensorflow as tf

from benchmarks.machine import machine
from benchmarks.timing import median_seconds
from realm_tf.config import load_config
from realm_tf.weights.networks import make_knowledge_augmented_encoder, make_retriever

_REPETITIONS = 500
# Weights and both moments.
_STATES = 3


@click.command()
@click.option('--preset', default='paper', show_default=True, help='The configuration.')
def main(preset):
    """Measures it for pre-training."""
    config = load_config(preset)
    networks = make_retriever(config), make_knowledge_augmented_encoder(config)
    # Their size does not matter.
    variables = [tf.Variable(0.0) for network in networks for _ in network.trainable_variables for _ in range(_STATES)]

    @tf.function
    def nothing():
        for variable in variables:
            variable.assign_add(0.0)

    milliseconds = 1000 * median_seconds(nothing, _REPETITIONS)
    print(f'{machine(("tensorflow",))}. Preset {preset}: {milliseconds:.1f} ms a call with {len(variables)} variables.')


if __name__ == '__main__':
    main()
