"""Where the time of the encoder goes, by operation.

    python -m benchmarks.encoder_profile --case MiniLM --precision bfloat16

Operations that TensorFlow has fused carry the name of the fused kernel. Prints a table in Markdown.
"""

import collections
import pathlib
import tempfile

import click

from benchmarks.encoder import token_ids
from benchmarks.encoder_cases import CASES, PRECISIONS
from benchmarks.machine import machine

PASSES = 5
_SMALLEST_SHARE = 0.01


@click.command()
@click.option('--case', 'name', type=click.Choice(list(CASES)), default='MiniLM', show_default=True)
@click.option('--precision', type=click.Choice(PRECISIONS), default='bfloat16', show_default=True)
def main(name, precision):
    """Profiles some forward passes with TensorFlow's profiler."""
    import tensorflow as tf

    from benchmarks.encoder_forward import forward_pass

    # One operation after another, so that the times add up.
    tf.config.threading.set_inter_op_parallelism_threads(1)
    case = CASES[name]
    forward = forward_pass(case, precision, token_ids(case))
    forward()
    forward()
    with tempfile.TemporaryDirectory() as directory:
        with tf.profiler.experimental.Profile(directory):
            for _ in range(PASSES):
                forward()
        milliseconds, counts = times_by_operation(pathlib.Path(directory), PASSES)
    total = sum(milliseconds.values())
    print(f'{machine()}. {name} {case.batch}×{case.length}, {precision}: {total:.0f} ms a pass.\n')
    print('| operation | a pass | ms | share |\n|---|---|---|---|')
    for operation, spent in milliseconds.most_common():
        if spent > _SMALLEST_SHARE * total:
            print(f'| {operation} | {counts[operation]:.0f} | {spent:.1f} | {spent / total:.0%} |')


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
