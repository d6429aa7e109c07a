"""One of several workers that train ICT together: a process of `test_workers`.

TF_CONFIG=… python tests/training/worker.py CORPUS ENCODER RUN STRATEGY STEPS
"""

import sys

from realm_tf.config import load_config, recipe
from realm_tf.training import ict
from realm_tf.training.runs import prepare_run
from realm_tf.training.strategies import is_chief, make_strategy


def main(corpus: str, encoder: str, run: str, strategy_name: str, steps: str) -> None:
    """Trains a few steps."""
    strategy = make_strategy(strategy_name)
    overrides = {'encoder.dropout': 0.0, 'corpus.block_length': 48, 'ict.steps': int(steps), 'ict.batch_size': 8}
    config = load_config('tiny', overrides=overrides)
    prepare_run(run, 'encoder', configuration=recipe(config, 'ict'), inputs={}, is_chief=is_chief(strategy))
    ict.train(corpus, encoder, run, config, strategy=strategy)


if __name__ == '__main__':
    main(*sys.argv[1:])
