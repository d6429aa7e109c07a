"""The training loop that ICT, pre-training and fine-tuning share: batches ahead, metrics, checkpoints, signals."""

import concurrent.futures
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import tensorflow as tf
from etils import epath

from realm_tf.artifacts import write_text_whole
from realm_tf.errors import RealmError
from realm_tf.files import is_remote, named_in_errors, open_binary
from realm_tf.progress import Progress
from realm_tf.training.checkpoints import Checkpoints
from realm_tf.training.strategies import in_any_worker, is_chief
from realm_tf.training.train_step import Batch

_STOPPING = (
    '\nThe training ends with a checkpoint after this step, and its measurement if it has one. Again: at once.\n'
)


def run_training(
    *,
    name: str,
    directory: epath.Path,
    steps: int,
    batch_size: int,
    make_batch: Callable[[int], Batch],
    train_step: Callable[[Batch], Mapping[str, float]],
    checkpoints: Checkpoints,
    checkpoint_every: int,
    first_step: int,
    after_step: Callable[[int, Callable[[], bool]], Mapping[str, float]] = lambda step, asked_to_stop: {},
    is_over: Callable[[], bool] = lambda: False,
    strategy: tf.distribute.Strategy,
) -> None:
    """Trains from `first_step` to `steps`, one batch ahead on the host.

    While the devices run a step, a thread makes the next batch. Every step appends a line to `metrics.jsonl` and a
    point to the curves in `tensorboard/`: the metrics, the seconds of the step, the seconds it waited for its batch,
    and the examples it trained on in a second. SIGINT and SIGTERM (preemption) end the training after the step in
    progress, `after_step` included, with a checkpoint.

    Args:
      name: what is trained, for the progress bar.
      directory: the run; metrics are written there.
      steps: steps of the whole training.
      batch_size: examples of a step, over all replicas.
      make_batch: makes the batch of a step; called in order, in a thread.
      train_step: makes a step on a batch, and returns metrics, `loss` and `gradient_norm` among them.
      checkpoints: where state is saved.
      checkpoint_every: steps between two checkpoints.
      first_step: steps already made.
      after_step: called with the number of steps made, and a function that says whether the training was asked to
        stop, which whatever waits must heed; what it returns is added to the metrics.
      is_over: whether the training ends before its last step; asked before each.
      strategy: where it runs; of several workers one writes metrics and checkpoints, and if one is asked to stop, or is
        over, all end after the same step.

    Raises:
      RealmError: if the loss or the gradient of a step is not finite; its batch is written aside, and no checkpoint.
      KeyboardInterrupt: if a signal asked for the end.
    """
    chief, anywhere = is_chief(strategy), in_any_worker(strategy)
    with (
        named_in_errors(directory),
        _asked_to_stop() as asked_to_stop,
        _one_ahead(make_batch, first_step, steps) as next_batch,
        Progress(name, steps, 'step', initial=first_step) as progress,
        _metrics_log(directory, first_step, chief, checkpoint_every) as log,
    ):
        for step in range(first_step, steps):
            if anywhere(is_over()):
                break
            started = time.monotonic()
            batch = next_batch(step)
            waited = time.monotonic() - started
            metrics = dict(train_step(batch))
            if not np.isfinite([metrics['loss'], metrics['gradient_norm']]).all():
                raise _not_finite(step + 1, metrics, batch, directory, chief)
            seconds = time.monotonic() - started
            timing = {
                'seconds': seconds,
                'waited_seconds': waited,
                'waited_share': waited / seconds,
                'examples_per_second': batch_size / seconds,
            }
            log(step + 1, metrics | timing | after_step(step + 1, asked_to_stop))
            progress.advance(1, loss=metrics['loss'])
            stopping = anywhere(asked_to_stop())
            if chief and ((step + 1) % checkpoint_every == 0 or stopping):
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
        # Past the buffer, which the interrupted code may be writing to. Whoever read it may be gone.
        with contextlib.suppress(OSError):
            os.write(sys.stderr.fileno(), _STOPPING.encode())

    for number in (signal.SIGINT, signal.SIGTERM):
        previous[number] = signal.signal(number, remember)
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _metrics_log(
    directory: epath.Path, first_step: int, writes: bool, checkpoint_every: int
) -> Iterator[Callable[[int, Mapping], None]]:
    """Gives a function that writes the metrics of a step; lines of steps that are made again are dropped."""
    if not writes:
        yield lambda step, metrics: None
        return
    path = directory / 'metrics.jsonl'
    lines = path.read_text().splitlines() if path.exists() else []
    kept = [line for line in lines if line.endswith('}') and json.loads(line)['step'] <= first_step]
    write_text_whole(path, ''.join(line + '\n' for line in kept))
    # An object store writes all of a file again.
    flush_every = checkpoint_every if is_remote(path) else 1
    drawn = directory / 'tensorboard'
    curves = tf.summary.create_file_writer(str(drawn))
    with path.open('a') as lines, curves.as_default():

        def log(step: int, metrics: Mapping[str, float]) -> None:
            lines.write(json.dumps({'step': step, **metrics}) + '\n')
            if step % flush_every == 0:
                lines.flush()
            with _as_python_would(drawn):
                for name, value in metrics.items():
                    tf.summary.scalar(name, value, step)

        yield log
        with _as_python_would(drawn):
            curves.flush()


@contextlib.contextmanager
def _as_python_would(path: epath.Path) -> Iterator[None]:
    """Raises what TensorFlow says of the files below a path as an error of the system."""
    try:
        yield
    except tf.errors.OpError as error:
        # Its first line: FILE; REASON
        raise OSError(None, error.message.partition('\n')[0].rpartition('; ')[2], str(path)) from error


def _not_finite(
    step: int, metrics: Mapping[str, float], batch: Batch, directory: epath.Path, writes: bool
) -> RealmError:
    """Writes the batch of a step aside, and says that the step left no weights to go on with."""
    path = directory / f'not-finite-step-{step:08d}.npz'
    if writes:
        with open_binary(path, 'wb') as file:
            np.savez(file, **batch)
    return RealmError(
        f'The training ends at step {step}: its loss is {metrics["loss"]}, and the norm of its gradient '
        f'{metrics["gradient_norm"]}. Its batch was written to {path}. No checkpoint was made of it: the same command '
        'goes on from the one before. If it ends here again, train anew, with --overwrite and a lower learning rate or '
        '--set precision=float32.'
    )
