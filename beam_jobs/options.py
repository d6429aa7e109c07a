"""What all Beam jobs share: their options, and how they run, locally or elsewhere."""

import argparse
import contextlib
import logging
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import (
    DirectOptions,
    PipelineOptions,
    StandardOptions,
    TestOptions,
    WorkerOptions,
)

from beam_jobs.local_workers import end_at_once, exit_code_of_failed, kill_workers, make_runner
from realm_tf.config import Config, load_config, parse_overrides
from realm_tf.errors import STOPPED_BY_SYSTEM, RealmError, sentence_of

LOCAL_RUNNER = 'FnApiRunner'
_SECONDS_UNTIL_SIGNAL = 1.0


class JobOptions(PipelineOptions):
    """Options of every job: the configuration, and what becomes of an artefact that is in the way."""

    @classmethod
    def _add_argparse_args(cls, parser) -> None:
        parser.add_argument('--preset', default='paper', help='Settings to start from: paper, base, small or tiny.')
        parser.add_argument('--config', help='YAML with settings, over the preset.')
        parser.add_argument(
            '--set',
            action='append',
            default=[],
            metavar='NAME=VALUE',
            help='A setting, over preset and file. All of them, explained: realm config.',
        )
        parser.add_argument(
            '--overwrite', action='store_true', help='Replace what was made with other settings or inputs.'
        )


def main(run: Callable[[PipelineOptions, Config], None], options_class: type[PipelineOptions]) -> None:
    """Runs a job from the command line.

    Without `--runner` it runs here, in `--num_workers` processes. Errors for people go to standard error as a sentence,
    with exit status 2, the system's with 1. No process that it started is left when it ends.

    Args:
      run: does the work, given pipeline options and configuration.
      options_class: the job's own options.
    """

    runner = LOCAL_RUNNER

    def stop(number: int, frame) -> None:
        end_at_once(_interrupted(runner), 128 + number)

    def child_ended(number: int, frame) -> None:
        code = exit_code_of_failed()
        if code is not None:
            how = f'signal {-code}, as when memory runs out' if code < 0 else f'exit status {code}'
            end_at_once(
                f'realm: A worker process ended ({how}). The same command goes on from here; fewer --num_workers need '
                'less memory.',
                2,
            )

    signal.signal(signal.SIGCHLD, child_ended)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        options = parse(sys.argv[1:], run.__module__, options_class)
        runner = options.view_as(StandardOptions).runner
        values = options.view_as(JobOptions)
        config = load_config(values.preset, values.config, parse_overrides(values.set))
        is_dry = options.view_as(TestOptions).dry_run
        with tempfile.TemporaryDirectory() if is_dry else contextlib.nullcontext() as nowhere:
            if is_dry:
                # What is there stays as it is, and nothing is begun.
                options.view_as(options_class).output = f'{nowhere}/output'
            run(options, config)
    except DryRun as message:
        print(message)
    # Beam makes errors of its own of what a worker raises.
    except Exception as error:
        if not isinstance(error, RealmError):
            # What is said of a worker that ended can be here before the signal.
            time.sleep(_SECONDS_UNTIL_SIGNAL)
        if (told := _told(error)) is None:
            raise
        sentence, status = told
        print(f'realm: {sentence}', file=sys.stderr)
        sys.exit(status)
    finally:
        kill_workers()


def _interrupted(runner: str) -> str:
    if runner == LOCAL_RUNNER:
        return 'Interrupted. The same command goes on from here.'
    return f'Interrupted, but the job of {runner} goes on: cancel it. Then the same command goes on from here.'


def _told(error: BaseException) -> tuple[str, int] | None:
    """What an error for people says, and its exit status, be it raised here, or in a worker and told by Beam.

    None for any other error.
    """
    if isinstance(error, OSError):
        return sentence_of(error), STOPPED_BY_SYSTEM
    if found := re.search(r'Error: \[Errno \d+\] (.+) \[while running ', str(error)):
        return f'{found[1]}.', STOPPED_BY_SYSTEM
    if isinstance(error, RealmError):
        said = str(error)
    elif found := re.search(rf'{RealmError.__module__}\.{RealmError.__name__}: (.+)', str(error)):
        said = found[1]
    else:
        return None
    # What Beam adds.
    return said.partition(' [while running ')[0], 2


def parse(arguments: Sequence[str], module: str, options_class: type[PipelineOptions]) -> PipelineOptions:
    """Parses a command line; what is neither the job's nor Beam's ends the program with status 2.

    Args:
      arguments: the command line.
      module: the job's module, shown in its help.
      options_class: the job's own options.

    Raises:
      RealmError: if an option of Beam's has a value that it cannot have.
    """
    own = argparse.ArgumentParser(
        prog=f'python -m {module}',
        description=sys.modules[module].__doc__.partition('\n')[0],
        epilog='All options of Apache Beam work too: --num_workers N (worker processes here, or machines elsewhere), '
        '--runner=DataflowRunner, …',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    for options in {options_class: None, JobOptions: None}:
        options._add_argparse_args(own)
    _, others = own.parse_known_args(arguments)
    of_beam = argparse.ArgumentParser(
        conflict_handler='resolve', add_help=False, allow_abbrev=False, exit_on_error=False
    )
    for options in PipelineOptions.__subclasses__():
        if options.__module__.startswith('apache_beam.'):
            options._add_argparse_args(of_beam)
    try:
        _, unknown = of_beam.parse_known_args(others)
    except argparse.ArgumentError as error:
        # Its own way would be to print all of Beam's options first.
        raise RealmError(f'The options do not make a job: {error}.') from error
    if unknown:
        own.error(f'unknown option {unknown[0]}')
    return _locally(PipelineOptions(list(arguments)))


def _locally(options: PipelineOptions) -> PipelineOptions:
    """Sets what a run on this machine needs; options for another runner stay as they are."""
    runner = options.view_as(StandardOptions).runner
    if runner is None or runner == LOCAL_RUNNER:
        # The default would try to download another runner and fall back; this one is the same everywhere.
        options.view_as(StandardOptions).runner = LOCAL_RUNNER
        # What it logs as an error it raises as well.
        logging.getLogger('apache_beam').setLevel(logging.CRITICAL)
        direct = options.view_as(DirectOptions)
        workers = options.view_as(WorkerOptions).num_workers
        if workers:
            direct.direct_num_workers = workers
            direct.direct_running_mode = 'multi_processing' if workers > 1 else 'in_memory'
        # For Beam, none are as many as there are cores.
        direct.direct_num_workers = direct.direct_num_workers or os.cpu_count()
    return options


class DryRun(Exception):
    """The job graph was built and nothing run, as `--dry_run` asks."""


@contextlib.contextmanager
def run_pipeline(
    options: PipelineOptions, progress: contextlib.AbstractContextManager, has_light_steps: bool = False
) -> Iterator[beam.Pipeline]:
    """A pipeline on the runner that the options name, to be filled; leaving the block runs it to its end.

    Args:
      options: of the pipeline.
      progress: shows it while it runs.
      has_light_steps: whether its first steps need no TensorFlow, and those that do have resource hints.

    Raises:
      RealmError: if the options do not make a job.
      DryRun: if nothing was to be run.
    """
    try:
        pipeline = _make_pipeline(options, has_light_steps)
    except ValueError as error:
        raise RealmError(f'The options do not make a job: {" ".join(str(error).split())}') from error
    yield pipeline
    is_dry = options.view_as(TestOptions).dry_run
    # Leaving the pipeline's own block runs it.
    with contextlib.nullcontext() if is_dry else progress, pipeline:
        pass
    if is_dry:
        steps = ', '.join(part.full_label for part in pipeline.transforms_stack[0].parts)
        raise DryRun(
            f'The job for {options.view_as(StandardOptions).runner} with {options.view_as(WorkerOptions).num_workers} '
            f'workers was built: {steps}. Nothing was run.'
        )


def _make_pipeline(options: PipelineOptions, has_light_steps: bool) -> beam.Pipeline:
    direct = options.view_as(DirectOptions)
    is_local = options.view_as(StandardOptions).runner == LOCAL_RUNNER
    if not is_local or direct.direct_running_mode != 'multi_processing':
        return beam.Pipeline(options=options)
    # Under its own mode the runner would start Beam's worker program, whatever environment it is given.
    direct.direct_running_mode = None
    return beam.Pipeline(make_runner(direct.direct_num_workers, has_light_steps), options=options)
