"""The training loop that ICT, pre-training and fine-tuning share."""

import concurrent.futures
import contextlib
import json
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from etils import epath

from realm_tf.artifacts import write_text_whole
from realm_tf.errors import RealmError
from realm_tf.progress import Progress
from realm_tf.training.checkpoints import Checkpoints
from realm_tf.training.optimizer import BertAdamW

Batch = Mapping[str, np.ndarray]
Metrics = Mapping[str, tf.Tensor]


def make_train_step(
    loss_function: Callable[[Mapping[str, tf.Tensor]], tuple[tf.Tensor, Metrics]], optimizer: BertAdamW
) -> Callable[[Batch], Metrics]:
    """Compiles one training step: loss, gradients, update.

    Args:
      loss_function: gives the scalar loss of a batch, and more scalar metrics.
      optimizer: holds the variables, and updates them.

    Returns:
      A function of a batch that makes a step and returns the metrics, `loss`, `gradient_norm` and `learning_rate` among
      them.
    """

    @tf.function
    def train_step(batch):
        with tf.GradientTape() as tape:
            loss, metrics = loss_function(batch)
        learning_rate = optimizer.learning_rate()
        norm = optimizer.apply(tape.gradient(loss, optimizer.variables))
        return {'loss': loss, **metrics, 'gradient_norm': norm, 'learning_rate': learning_rate}

    return train_step


def run_training(
    *,
    name: str,
    directory: epath.Path,
    steps: int,
    make_batch: Callable[[int], Batch],
    train_step: Callable[[Batch], Metrics],
    checkpoints: Checkpoints,
    checkpoint_every: int,
    first_step: int,
    after_step: Callable[[int, Callable[[], bool]], Mapping[str, float]] = lambda step, asked_to_stop: {},
) -> None:
    """Trains from `first_step` to `steps`, one batch ahead on the host.

    While the devices run a step, a thread makes the next batch. Every step appends a line to `metrics.jsonl`:
    the metrics, the seconds of the step and the seconds it waited for its batch. SIGINT and SIGTERM end the training
    after the step in progress, with a checkpoint.

    Args:
      name: what is trained, for the progress bar.
      directory: the run; metrics are written there.
      steps: steps of the whole training.
      make_batch: makes the batch of a step; called in order, in a thread.
      train_step: see `make_train_step`.
      checkpoints: where state is saved.
      checkpoint_every: steps between two checkpoints.
      first_step: steps already made.
      after_step: called with the number of steps made, and a function that says whether the training was asked to
        stop, which whatever waits must heed; what it returns is added to the metrics.

    Raises:
      RealmError: if the loss is not finite; the batch is written aside.
      KeyboardInterrupt: if a signal asked for the end.
    """
    metrics_path = directory / 'metrics.jsonl'
    _keep_metrics_until(metrics_path, first_step)
    with (
        _asked_to_stop() as asked_to_stop,
        _one_ahead(make_batch, first_step, steps) as next_batch,
        Progress(name, steps, 'step', initial=first_step) as progress,
        metrics_path.open('a') as log,
    ):
        for step in range(first_step, steps):
            started = time.monotonic()
            batch = next_batch(step)
            waited = time.monotonic() - started
            metrics = {key: float(value) for key, value in train_step(batch).items()}
            if not np.isfinite(metrics['loss']):
                _write_aside(batch, directory, step, metrics['loss'])
            seconds = {'seconds': time.monotonic() - started, 'waited_seconds': waited}
            metrics |= seconds | after_step(step + 1, asked_to_stop)
            log.write(json.dumps({'step': step + 1, **metrics}) + '\n')
            log.flush()
            progress.advance(1, loss=metrics['loss'])
            stopping = asked_to_stop()
            if (step + 1) % checkpoint_every == 0 or stopping:
                checkpoints.save(step + 1)
            if stopping:
                checkpoints.wait()
                raise KeyboardInterrupt
    checkpoints.wait()


@contextlib.contextmanager
def _one_ahead(make_batch: Callable[[int], Batch], first_step: int, steps: int) -> Iterator[Callable[[int], Batch]]:
    """Gives a function that returns the batch of a step and starts to make the next one."""
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        pending = [thread.submit(make_batch, first_step)] if first_step < steps else []

        def next_batch(step: int) -> Batch:
            batch = pending.pop().result()
            if step + 1 < steps:
                pending.append(thread.submit(make_batch, step + 1))
            return batch

        yield next_batch


@contextlib.contextmanager
def _asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Gives a function that says whether SIGINT or SIGTERM came; a second signal acts at once."""
    received: list[int] = []
    previous = {}

    def remember(number, frame):
        received.append(number)
        signal.signal(number, previous[number])

    for number in (signal.SIGINT, signal.SIGTERM):
        previous[number] = signal.signal(number, remember)
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _keep_metrics_until(path: epath.Path, step: int) -> None:
    """Drops the lines of steps that are made again after a resume."""
    lines = path.read_text().splitlines() if path.exists() else []
    kept = [line for line in lines if line.endswith('}') and json.loads(line)['step'] <= step]
    write_text_whole(path, ''.join(line + '\n' for line in kept))


def _write_aside(batch: Batch, directory: epath.Path, step: int, loss: float) -> Any:
    path = directory / f'not-finite-step-{step + 1:08d}.npz'
    with path.open('wb') as file:
        np.savez(file, **batch)
    raise RealmError(
        f'The loss of step {step + 1} is {loss}. Its batch was written to {path}. '
        'Try a lower learning rate, or go on from a checkpoint with float32.'
    )
