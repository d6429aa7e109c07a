"""Our training step, in a process of its own; see `benchmarks.training_step`.

python -m benchmarks.our_training_step CASE PRECISION REPETITIONS SECONDS.json
"""

import json
import os
import pathlib
import sys
from collections.abc import Callable

os.environ.update(TF_CPP_MIN_LOG_LEVEL='3', KERAS_BACKEND='tensorflow')

import numpy as np
import tensorflow as tf

from benchmarks.timing import median_seconds
from benchmarks.tpu_step import batch_specs, training_step
from benchmarks.training_cases import CASES, Case
from realm_tf.config import Config, load_config

_LOWEST_ID = 1000


def main(name: str, precision: str, repetitions: str, output: str) -> None:
    """Writes the seconds of a step."""
    seconds = median_seconds(step_of(CASES[name], precision), int(repetitions))
    pathlib.Path(output).write_text(json.dumps(seconds))


def step_of(case: Case, precision: str) -> Callable[[], object]:
    """A call that makes a step, on a random batch."""
    config = load_config('paper', overrides=settings(case, precision))
    step = training_step(case.task, config, tf.distribute.get_strategy())
    batch = {name: tf.constant(array) for name, array in random_batch(case, config).items()}
    return lambda: tf.nest.map_structure(np.asarray, step(batch))


def settings(case: Case, precision: str) -> dict:
    """What differs from the preset `paper`."""
    overrides = {
        'precision': {'float32': 'float32', 'bfloat16': 'mixed_bfloat16'}[precision],
        'rematerialize': case.rematerialize,
        'corpus.block_length': case.block_length,
        f'{case.task}.batch_size': case.batch,
        f'{case.task}.query_length': case.query_length,
    }
    if case.task == 'pretrain':
        overrides |= {'pretrain.num_candidates': case.num_candidates, 'pretrain.max_masks': case.num_masks}
    return overrides


def random_batch(case: Case, config: Config) -> dict[str, np.ndarray]:
    """Random wordpieces, without padding."""
    random = np.random.default_rng(0)
    vocabulary = config.encoder.vocabulary_size
    batch = {}
    for name, spec in batch_specs(case.task, config).items():
        if name.endswith('segments') or name == 'mask_weights':
            batch[name] = np.ones(spec.shape, np.int32)
        elif name == 'mask_positions':
            batch[name] = random.integers(1, case.query_length, spec.shape, np.int32)
        else:
            batch[name] = random.integers(_LOWEST_ID, vocabulary, spec.shape, np.int32)
    return batch


if __name__ == '__main__':
    main(*sys.argv[1:])
