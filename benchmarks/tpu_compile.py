"""What a training step needs on a TPU, found without one: the TPU's own compiler runs on any machine.

    nice python -m benchmarks.tpu_compile

The step is the library's: traced by TensorFlow for one of so many replicas, whose exchanges become collectives of XLA,
and compiled for a TPU topology by libtpu, in an environment of its own. A step that compiles fits: the compiler lays
out the memory. A compilation takes minutes of processor time. Prints a table in Markdown.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import click

from benchmarks.machine import machine
from benchmarks.peers import python_of
from realm_tf.config import Config, config_to_dict, load_config, parse_overrides

TASKS = ('pretrain', 'ict', 'finetune')
# The paper fine-tunes with a batch of one, which one replica has for itself: choose `finetune.batch_size` for more.
DEFAULT_TASKS = ('pretrain', 'ict')
COMPILER = ('jax==0.10.2', 'libtpu==0.0.52')
# GiB of HBM for each device that TensorFlow sees: a core of v2 and v3, else a chip. From "System architecture" of each
# generation, cloud.google.com/tpu/docs/v2, /v3, /v4, /v5e, /v5p, /v6e.
HBM = {'v2': 8, 'v3': 16, 'v4': 32, 'v5e': 16, 'v5p': 95, 'v6e': 32}
TOPOLOGIES = ('v2:4x8', 'v3:4x8', 'v4:4x4x4', 'v5e:8x8', 'v5p:4x4x4', 'v6e:8x8')
_SCRIPT = pathlib.Path(__file__).parent / 'peers' / 'tpu_compiler.py'
_GIB = 2**30
_HEAD = """
| step | rematerialised | topology | arguments, GiB | temporaries, GiB | all of HBM | TFLOP | exchanged | compiled in |
|---|---|---|---|---|---|---|---|---|"""


@click.command()
@click.option('--task', 'tasks', multiple=True, type=click.Choice(TASKS), default=DEFAULT_TASKS, show_default=True)
@click.option('--topology', 'topologies', multiple=True, default=TOPOLOGIES, show_default=True)
@click.option('--replicas', default=64, show_default=True, help='That share the batch; as many as the topology has.')
@click.option('--rematerialize', 'choices', multiple=True, type=bool, default=(False, True), show_default=True)
@click.option('--preset', default='paper', show_default=True, help='The configuration.')
@click.option('--set', 'assignments', multiple=True, metavar='NAME=VALUE', help='A setting of it.')
def main(tasks, topologies, replicas, choices, preset, assignments):
    """Compiles every task for every topology, with rematerialisation and without."""
    unknown = sorted({generation(topology) for topology in topologies} - HBM.keys())
    if unknown:
        raise click.BadParameter(f'{", ".join(unknown)}: only {", ".join(HBM)} are known.', param_hint='--topology')
    compiler = python_of('tpu_compiler', COMPILER)
    print(f'{machine(("tensorflow", "keras"))}, {", ".join(COMPILER)}. {replicas} replicas; figures of one.')
    print(_HEAD, flush=True)
    with tempfile.TemporaryDirectory() as directory:
        step = pathlib.Path(directory) / 'step.hlo'
        for task in tasks:
            for rematerialize in choices:
                overrides = parse_overrides(assignments) | {'rematerialize': rematerialize, 'skip_padding': False}
                write_step(task, load_config(preset, overrides=overrides), replicas, step)
                for topology in topologies:
                    found = compiled(step, topology, replicas, compiler)
                    what = f'| {task} | {"yes" if rematerialize else "no"} | {topology} |'
                    print(what, ' | '.join(row(found, HBM[generation(topology)])), '|', flush=True)


def generation(topology: str) -> str:
    """`v3` of `v3:4x8`."""
    return topology.partition(':')[0]


def write_step(task: str, config: Config, replicas: int, path: pathlib.Path) -> None:
    """Writes the step of one of so many replicas, as `benchmarks.tpu_step` does, in a process of its own."""
    with tempfile.NamedTemporaryFile('w', suffix='.yaml') as file:
        # JSON is YAML.
        json.dump(config_to_dict(config), file)
        file.flush()
        command = [sys.executable, '-m', 'benchmarks.tpu_step', task, file.name, str(replicas), str(path)]
        subprocess.run(command, check=True)


def compiled(step: pathlib.Path, topology: str, replicas: int, compiler: str) -> dict:
    """What `benchmarks/peers/tpu_compiler.py` prints of it, run by the Python `compiler`."""
    command = [compiler, str(_SCRIPT), str(step), topology, str(replicas)]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(result.stdout.splitlines()[-1])


def row(found: dict, capacity: float) -> list[str]:
    """The cells of a table for it."""
    seconds = f'{found["seconds"]:.0f} s'
    if 'used' in found:
        needed = f'**does not fit**: {found["used"] / _GIB:.1f} of {capacity} GiB'
        return ['–', '–', needed, '–', '–', seconds]
    needed = sum(found[name] for name in ('arguments', 'outputs', 'temporaries', 'code')) / _GIB
    exchanged = [
        f'{count} {kind} of {tensors} tensors, {size / 2**20:.0f} MiB'
        for kind, (count, tensors, size) in found['collectives'].items()
    ]
    return [
        f'{found["arguments"] / _GIB:.2f}',
        f'{found["temporaries"] / _GIB:.2f}',
        f'{needed:.1f} of {capacity} GiB',
        f'{found["operations"] / 1e12:.2f}',
        '; '.join(exchanged),
        seconds,
    ]


if __name__ == '__main__':
    main()
