"""What the jobs make of their options, and what they say when they are interrupted."""

import functools
import os
import pathlib
import resource
import signal
import subprocess
import sys

import pytest
from apache_beam.options.pipeline_options import DirectOptions

from beam_jobs.options import JobOptions, parse

REPOSITORY = pathlib.Path(__file__).parents[2]


def test_no_local_workers_are_as_many_as_there_are_cores():
    options = parse(['--direct_num_workers=0'], __name__, JobOptions)
    assert options.view_as(DirectOptions).direct_num_workers == os.cpu_count()


def test_a_wrong_value_of_an_option_of_beam_is_a_sentence():
    command = [sys.executable, '-m', 'beam_jobs.tag_spans', '--corpus=c', '--output=o', '--num_workers=x']
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    said = "realm: The options do not make a job: argument --num_workers: invalid int value: 'x'.\n"
    assert (ended.stdout, ended.stderr) == ('', said)


WAITING_JOB = '''
"""Waits."""
import sys, time
from beam_jobs.options import JobOptions, main

def run(options, config):
    print('It runs.', flush=True)
    time.sleep(60)

main(run, JobOptions)
'''


@pytest.mark.parametrize(
    ('signal_number', 'more', 'said'),
    [
        (signal.SIGINT, [], 'Interrupted. The same command goes on from here.'),
        (
            signal.SIGTERM,
            ['--runner=DataflowRunner'],
            'Interrupted, but the job of DataflowRunner goes on: cancel it. Then the same command goes on from here.',
        ),
    ],
)
def test_an_interrupt_says_what_goes_on(signal_number, more, said):
    command = [sys.executable, '-c', WAITING_JOB, *more]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
        assert job.stdout.readline() == 'It runs.\n'
        job.send_signal(signal_number)
        _, errors = job.communicate()
    assert job.returncode == 128 + signal_number
    assert errors.strip() == said


WRITING_JOB = '''
"""Writes."""
import contextlib
import apache_beam as beam
from beam_jobs.options import JobOptions, main, run_pipeline
from realm_tf.artifacts import write_text_whole

def run(options, config):
    with run_pipeline(options, contextlib.nullcontext()) as pipeline:
        pipeline | beam.Create(['shard']) | 'Write' >> beam.Map(lambda path: write_text_whole(path, 100_000 * '.'))

main(run, JobOptions)
'''


@pytest.mark.parametrize('workers', [1, 2])
def test_a_disk_that_takes_no_more_is_told_in_a_sentence_with_status_1(workers, tmp_path):
    ended = subprocess.run(
        [sys.executable, '-c', WRITING_JOB, f'--num_workers={workers}'],
        cwd=tmp_path,
        env=os.environ | {'PYTHONPATH': str(REPOSITORY)},
        # A limit for the files of a process stands in for the end of the disk: a write fails in the same way.
        preexec_fn=functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (50_000, 50_000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr == "realm: File too large: 'shard'.\n"
