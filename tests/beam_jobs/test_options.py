"""What the jobs make of their options."""

import os

from apache_beam.options.pipeline_options import DirectOptions

from beam_jobs.options import JobOptions, parse


def test_no_local_workers_are_as_many_as_there_are_cores():
    options = parse(['--direct_num_workers=0'], __name__, JobOptions)
    assert options.view_as(DirectOptions).direct_num_workers == os.cpu_count()
