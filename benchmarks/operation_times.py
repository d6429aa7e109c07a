"""Where the time of a computation goes, by operation.

    python -m benchmarks.operation_times encoder --case MiniLM --precision bfloat16
    python -m benchmarks.operation_times training-step --precision bfloat16
    python -m benchmarks.operation_times finetuning-step --preset small --set finetune.batch_size=8
    python -m benchmarks.operation_times serving --corpus simplewiki/corpus

Operations that TensorFlow has fused carry the name of the fused kernel. One runs after another, so that the times add
up. Prints a table in Markdown.
"""

import collections
import pathlib
import tempfile
from collections.abc import Callable

import click
import numpy as np
from etils import epath

from benchmarks import encoder_cases, training_cases
from benchmarks.encoder import token_ids
from benchmarks.machine import machine
from realm_tf.artifacts import open_artifact
from realm_tf.corpus.block_store import BlockStore
from realm_tf.environment import assume_frozen_weights

_SMALLEST_SHARE = 0.01
_QUESTION = 'who was the first man on the moon'


_passes = click.option('--passes', default=5, show_default=True, help='How often it is done while it is looked at.')


@click.group()
def main():
    """Profiles a computation with TensorFlow's profiler."""


@main.command()
@click.option('--case', 'name', type=click.Choice(list(encoder_cases.CASES)), default='MiniLM', show_default=True)
@click.option('--precision', type=click.Choice(encoder_cases.PRECISIONS), default='bfloat16', show_default=True)
@_passes
def encoder(name, precision, passes):
    """A forward pass of the encoder, which embedding is."""
    one_at_a_time()
    assume_frozen_weights(precision)
    from benchmarks.encoder_forward import forward_pass

    case = encoder_cases.CASES[name]
    print_times(
        f'{name} {case.batch}×{case.length}, {precision}',
        forward_pass(case, precision, token_ids(case)),
        passes,
    )


@main.command()
@click.option('--case', 'name', type=click.Choice(list(training_cases.CASES)), default='REALM, batch 1')
@click.option('--precision', type=click.Choice(training_cases.PRECISIONS), default='bfloat16', show_default=True)
@_passes
def training_step(name, precision, passes):
    """A training step of BERT-base: forward, backward and update."""
    one_at_a_time()
    from benchmarks.our_training_step import step_of

    step = step_of(training_cases.CASES[name], precision)
    print_times(f'{name}, {precision}', step, passes)


@main.command()
@click.option('--preset', default='paper', show_default=True, help='Settings to start from.')
@click.option('--set', 'assignments', multiple=True, metavar='NAME=VALUE', help='A setting, over the preset.')
@_passes
def finetuning_step(preset, assignments, passes):
    """A step of fine-tuning, of query tower and reader: forward, backward and update. Its inputs hold no padding."""
    one_at_a_time()
    import tensorflow as tf

    from benchmarks.tpu_step import batch_specs, training_step
    from realm_tf.config import load_config, parse_overrides

    config = load_config(preset, overrides=parse_overrides(assignments))
    batch = {name: tf.ones(spec.shape, spec.dtype) for name, spec in batch_specs('finetune', config).items()}
    step = training_step('finetune', config, tf.distribute.get_strategy())
    print_times(f'{config.finetune.batch_size} questions, {config.precision}', lambda: step(batch), passes)


@main.command()
@click.option('--model', help='An export; unset: one of BERT-base, over blocks of a corpus.')
@click.option('--corpus', 'corpus_path', help='The corpus, where there is no model.')
@click.option('--blocks', default=20_000, show_default=True, help='How many of its blocks are searched.')
@click.option('--precision', type=click.Choice(encoder_cases.PRECISIONS), default='bfloat16', show_default=True)
@_passes
def serving(model, corpus_path, blocks, precision, passes):
    """A question, answered by an export, which is the one of `benchmarks.question_answering` if none is given."""
    if model:
        print_times_of_a_question(model, passes)
        return
    if not corpus_path:
        raise click.UsageError('Give --model or --corpus.')
    from benchmarks.question_answering import blocks_of, exported

    corpus = BlockStore.open(corpus_path)
    ids = np.resize(blocks_of(corpus, shortest=0), blocks)
    with exported(corpus, ids, [precision]) as systems:
        print_times_of_a_question(systems.export(precision).parent, passes)


def print_times_of_a_question(model: epath.PathLike, passes: int) -> None:
    """Profiles an export."""
    one_at_a_time()
    import tensorflow as tf
    import tensorflow_text  # noqa: F401

    from export.versions import version_of

    path = version_of(model)
    assume_frozen_weights(open_artifact(path).configuration['precision'])
    loaded = tf.saved_model.load(str(path))
    answer = loaded.signatures['serving_default']
    question = tf.constant([_QUESTION])
    print_times('A question', lambda: answer(question=question), passes)


def one_at_a_time() -> None:
    """Has TensorFlow run one operation after another."""
    import tensorflow as tf

    tf.config.threading.set_inter_op_parallelism_threads(1)


def print_times(title: str, call: Callable[[], object], passes: int) -> None:
    """Profiles some calls, after two that are not looked at, and prints what they spent on what."""
    import tensorflow as tf

    call()
    call()
    with tempfile.TemporaryDirectory() as directory:
        with tf.profiler.experimental.Profile(directory):
            for _ in range(passes):
                call()
        milliseconds, counts = times_by_operation(pathlib.Path(directory), passes)
    total = sum(milliseconds.values())
    print(f'{machine()}. {title}: {total:.4g} ms of operations.\n')
    print('| operation | times | ms | share |\n|---|---|---|---|')
    for operation, spent in milliseconds.most_common():
        if spent > _SMALLEST_SHARE * total:
            print(f'| {operation} | {counts[operation]:.0f} | {spent:.4g} | {spent / total:.0%} |')


def times_by_operation(directory: pathlib.Path, passes: int) -> tuple[collections.Counter, collections.Counter]:
    """Milliseconds and calls a pass of each kind of operation, from a profile."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace()
    (file,) = directory.glob('plugins/profile/*/*.xplane.pb')
    space.ParseFromString(file.read_bytes())
    milliseconds, counts = collections.Counter(), collections.Counter()
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                # Kernels are named `name of the node:operation`; what has no such name is not one.
                _, _, operation = plane.event_metadata[event.metadata_id].name.partition(':')
                if operation.isidentifier():
                    milliseconds[operation] += event.duration_ps / 1e9 / passes
                    counts[operation] += 1 / passes
    return milliseconds, counts


if __name__ == '__main__':
    main()
