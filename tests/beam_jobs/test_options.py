"""What the jobs make of their options, and what they say when they are interrupted."""

import os
import pathlib
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
