"""What the index refresh costs the trainer beyond the processor it uses.

    python -m benchmarks.refresh_cost --workdir refresh-cost

The preset `small` of the quickstart, started from its imported encoder. The trainer has one processor, the builder of
the index another, so that what is left is the memory and the disk that they share, and what the trainer itself does for
a refresh: it publishes snapshots, and takes in generations. Pre-training runs without a refresh and with one, in turn;
snapshots follow each other so fast that the builder always has work, and the trainer does not wait for it. Prints a
table in Markdown.
"""

import json
import os
import pathlib
import shutil
import subprocess
import time

import click
import numpy as np
import psutil

from benchmarks.machine import machine
from benchmarks.timing import with_spread
from realm_tf.commands import realm_command, run_realm, setting_arguments
from realm_tf.config import load_config
from realm_tf.quickstart.stages import stages

PRESET = 'small'
NEEDED = ('World Factbook', 'Corpus', 'Salient spans', 'Encoder', 'Embedding before ICT')
REFRESHES = {'without a refresh': 'none', 'with a refresh': 'asynchronous'}
# So often that the builder always has work: it needs longer for one.
SNAPSHOT_EVERY = 8
# In them TensorFlow traces the step, the first snapshot is published, and the builder starts to embed.
WARM_UP = 8
_POLL_SECONDS = 0.05


@click.command()
@click.option('--workdir', required=True, type=click.Path(path_type=pathlib.Path), help='Directory for everything.')
@click.option('--steps', default=20, show_default=True, help='Steps that are counted of each run.')
@click.option('--rounds', default=1, show_default=True, help='How often each of the two runs.')
@click.option('--prepare', is_flag=True, help='Only make what the trainings start from.')
def main(workdir, steps, rounds, prepare):
    """Measures the trainer without and with a refresh."""
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) < 2:
        raise click.ClickException('Two processors are needed: one for the trainer and one for the builder.')
    for stage in stages(workdir, load_config(PRESET)):
        if stage.name in NEEDED:
            run_realm(*stage.arguments, '--preset', PRESET)
    embeddings = ('--embeddings', workdir / 'before-ict/embeddings')
    run_realm('index', *embeddings, '--output', workdir / 'index', '--preset', PRESET)
    if prepare:
        return
    figures = {name: [] for name in REFRESHES}
    for _ in range(rounds):
        for name, runs in figures.items():
            runs.append(measured(workdir, steps, REFRESHES[name], processors[:2]))
    print(f'\n{machine()}. Trainer and builder have a processor each.\n')
    print('| training | steps/s | seconds a step | waiting for its batch | generations used |\n|---|---|---|---|---|')
    for name, runs in figures.items():
        rates, seconds, waits, generations = zip(*runs, strict=True)
        print(
            f'| {name} | {with_spread(rates, digits=3)} | {with_spread(seconds, digits=2)} | '
            f'{100 * max(waits):.3f} % | {max(generations)} |'
        )


def measured(workdir: pathlib.Path, steps: int, refresh: str, processors: list[int]) -> tuple:
    """Trains, with everything that pre-training does, until enough steps were counted.

    Returns:
      A tuple of steps a second, what happens between two steps included; the median of the seconds of a step; the share
      of their sum that was spent waiting for the batch, which retrieval is part of; and the generations used.
    """
    run = workdir / 'pretrain'
    shutil.rmtree(run, ignore_errors=True)
    total = steps + WARM_UP
    of_trainer, of_builder = processors
    settings = {'steps': total, 'refresh': refresh, 'refresh_every': SNAPSHOT_EVERY, 'when_stale': 'warn'}
    command = realm_command(
        *('pretrain', '--corpus', workdir / 'corpus', '--spans', workdir / 'spans', '--encoder', workdir / 'encoder'),
        *('--embeddings', workdir / 'before-ict/embeddings', '--index', workdir / 'index', '--output', run),
        *('--preset', PRESET, *setting_arguments(settings, 'pretrain')),
    )
    os.sched_setaffinity(0, [of_trainer])
    trainer = subprocess.Popen(command)
    os.sched_setaffinity(0, processors)
    if refresh != 'none':
        pin_builder(trainer, of_builder)
    times = {}
    while len(times) < total and trainer.poll() is None:
        time.sleep(_POLL_SECONDS)
        for step in range(len(times) + 1, len(lines_of(run)) + 1):
            times[step] = time.monotonic()
    if trainer.wait():
        raise click.ClickException(f'Pre-training ended with status {trainer.returncode}; what it said is above.')
    counted = lines_of(run)[WARM_UP:]
    seconds = [line['seconds'] for line in counted]
    return (
        steps / (times[total] - times[WARM_UP]),
        float(np.median(seconds)),
        sum(line['waited_seconds'] for line in counted) / sum(seconds),
        len({line['generation'] for line in counted}),
    )


def pin_builder(trainer: subprocess.Popen, processor: int) -> None:
    """Gives the index builder a processor as soon as the training has started it; what it starts inherits that."""
    while not (builder := [child for child in psutil.Process(trainer.pid).children() if 'refresh' in child.cmdline()]):
        if trainer.poll() is not None:
            return
        time.sleep(_POLL_SECONDS)
    # The first one is its guard, which may have started the builder itself by then.
    for process in (builder[0], *builder[0].children(recursive=True)):
        process.cpu_affinity([processor])


def lines_of(run: pathlib.Path) -> list[dict]:
    """The metrics of the steps that were made."""
    path = run / 'metrics.jsonl'
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith('\n')]


if __name__ == '__main__':
    main()
