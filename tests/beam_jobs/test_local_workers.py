"""The processes that make a job's workers: they end if one of these fails, whenever that is."""

import os
import signal

import psutil
import pytest

from beam_jobs.local_workers import Nursery
from tests.beam_jobs.ended import assert_ended

# What happens between the moments at which the end of a process shows is a matter of luck.
TRIES = 30


@pytest.mark.parametrize('signal_number', [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_that_is_killed_ends_its_siblings_and_their_parent(signal_number):
    siblings = []
    for _ in range(TRIES):
        nursery = Nursery()
        parent = psutil.Process(nursery._process.pid)
        for _ in range(2):
            # The address is nobody's: the worker tries to reach it for longer than it lives.
            nursery.begin_worker({'WORKER_ID': 'one', 'CONTROL_API_SERVICE_DESCRIPTOR': 'url: "localhost:1"'})
        while len(workers := parent.children()) < 2:
            pass
        os.kill(workers[0].pid, signal_number)
        nursery._process.join(timeout=20)
        assert nursery.exit_code == -signal_number
        siblings += workers
    assert_ended(siblings)
