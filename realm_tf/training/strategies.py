"""Where a training runs: on one device, on those of a machine, of several machines, or on a Cloud TPU."""

import json
import os
from collections.abc import Callable

import tensorflow as tf

from realm_tf.config import Config, require_fixed_shapes
from realm_tf.errors import RealmError


def make_strategy(name: str = 'default', tpu: str | None = None) -> tf.distribute.Strategy:
    """Makes a strategy; call it before anything else of TensorFlow.

    Args:
      name: `default`, one device; `mirrored`, the GPUs of this machine (its CPU devices where it has none);
        `multiworker`, the machines that the environment variable TF_CONFIG names; `tpu`.
      tpu: with `tpu`, the name of a Cloud TPU, or `local` on its own machine.

    Returns:
      The strategy, whose replicas share a global batch.

    Raises:
      RealmError: if TF_CONFIG names no workers, or there is no such TPU.
    """
    if name == 'mirrored':
        devices = tf.config.list_logical_devices('GPU') or tf.config.list_logical_devices('CPU')
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    if name == 'multiworker':
        _require_workers()
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == 'tpu':
        return _tpu_strategy(tpu or 'local')
    return tf.distribute.get_strategy()


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes what a run leaves: of several workers, the first."""
    return is_in_one_process(strategy) or is_first_worker()


def is_first_worker() -> bool:
    """Whether this process is the first of those that TF_CONFIG names.

    Raises:
      RealmError: if TF_CONFIG names no workers.
    """
    _require_workers()
    names = json.loads(os.environ['TF_CONFIG'])
    task = names.get('task', {})
    first = ('chief', 0) if 'chief' in names['cluster'] else ('worker', 0)
    return (task.get('type'), int(task.get('index', 0))) == first


def require_shapes(config: Config, strategy: tf.distribute.Strategy) -> None:
    """Checks that the shapes of a training's networks are what the strategy's devices can compute with.

    Raises:
      RealmError: if padding is to be skipped on a TPU.
    """
    if isinstance(strategy, tf.distribute.TPUStrategy):
        require_fixed_shapes(config)


def is_in_one_process(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process runs all replicas; with several workers, each runs its own."""
    return not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def in_this_process(strategy: tf.distribute.Strategy) -> tf.distribute.Strategy:
    """The strategy for what each of several workers computes by itself, as each makes the whole batch."""
    return strategy if is_in_one_process(strategy) else tf.distribute.get_strategy()


def in_any_worker(strategy: tf.distribute.Strategy) -> Callable[[bool], bool]:
    """Gives a function that says whether something is so in any worker.

    Of several workers each calls it at the same places of its training, and waits for the others there.
    """
    if is_in_one_process(strategy):
        return bool

    def on_replica(here):
        # On the replica's device, by which the others are found.
        here = tf.identity(here)
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, here)

    @tf.function
    def in_workers(here):
        return strategy.run(on_replica, args=(here,))

    def anywhere(here: bool) -> bool:
        summed = in_workers(tf.constant(float(here)))
        return bool(strategy.experimental_local_results(summed)[0].numpy() > 0)

    return anywhere


def _require_workers() -> None:
    try:
        workers = json.loads(os.environ.get('TF_CONFIG', '{}')).get('cluster', {}).get('worker', [])
    except (json.JSONDecodeError, AttributeError) as error:
        raise RealmError(f'TF_CONFIG is not JSON of a cluster ({error}).') from error
    if not workers:
        raise RealmError(
            'The strategy multiworker needs TF_CONFIG, which names every worker and says which one this is: '
            '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}.'
        )


def _tpu_strategy(tpu: str) -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=tpu)
        if tpu != 'local':
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    # A name that is looked up at the cloud's metadata server may fail by the network too.
    except (ValueError, OSError, tf.errors.OpError) as error:
        raise RealmError(
            f'There is no TPU {tpu!r} that can be used from here ({" ".join(str(error).split())[:300]}). '
            'See docs/cloud-tpu.md.'
        ) from error
    return tf.distribute.TPUStrategy(resolver)
