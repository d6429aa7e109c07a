"""What all Beam jobs share: their options, and how they run, locally or elsewhere."""

import argparse
import contextlib
import signal
import sys
from collections.abc import Callable, Sequence

import psutil
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions, WorkerOptions

from realm_tf.config import Config, load_config, parse_overrides
from realm_tf.errors import RealmError

LOCAL_RUNNER = 'FnApiRunner'


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
    with exit status 2. No process that it started is left when it ends.

    Args:
      run: does the work, given pipeline options and configuration.
      options_class: the job's own options.
    """
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    try:
        options = parse(sys.argv[1:], run.__module__, options_class)
        values = options.view_as(JobOptions)
        run(options, load_config(values.preset, values.config, parse_overrides(values.set)))
    except RealmError as error:
        print(f'realm: {error}', file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print('Interrupted. The same command goes on from here.', file=sys.stderr)
        sys.exit(130)
    finally:
        _kill_workers()


def _stop(number: int, frame) -> None:
    # First the workers: Beam would wait for ever for one that has started and not yet reported.
    _kill_workers()
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


def _kill_workers() -> None:
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def parse(arguments: Sequence[str], module: str, options_class: type[PipelineOptions]) -> PipelineOptions:
    """Parses a command line; what is neither the job's nor Beam's ends the program with status 2.

    Args:
      arguments: the command line.
      module: the job's module, shown in its help.
      options_class: the job's own options.
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
    of_beam = argparse.ArgumentParser(conflict_handler='resolve', add_help=False, allow_abbrev=False)
    for options in PipelineOptions.__subclasses__():
        if options.__module__.startswith('apache_beam.'):
            options._add_argparse_args(of_beam)
    _, unknown = of_beam.parse_known_args(others)
    if unknown:
        own.error(f'unknown option {unknown[0]}')
    return _locally(PipelineOptions(list(arguments)))


def _locally(options: PipelineOptions) -> PipelineOptions:
    """Sets what a run on this machine needs; options for another runner stay as they are."""
    runner = options.view_as(StandardOptions).runner
    if runner is None or runner == LOCAL_RUNNER:
        # The default would try to download another runner and fall back; this one is the same everywhere.
        options.view_as(StandardOptions).runner = LOCAL_RUNNER
        direct = options.view_as(DirectOptions)
        workers = options.view_as(WorkerOptions).num_workers
        if workers:
            direct.direct_num_workers = workers
            direct.direct_running_mode = 'multi_processing' if workers > 1 else 'in_memory'
    return options
