"""Two workers, processes of their own with a port each, make the steps of one."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from realm_tf.training.checkpoints import steps_below
from realm_tf.weights.encoder_artifact import RETRIEVER
from realm_tf.weights.tensor_files import read_tensors

ROOT = pathlib.Path(__file__).parents[2]


def free_ports(number):
    sockets = [socket.socket() for _ in range(number)]
    for one in sockets:
        one.bind(('localhost', 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def start(corpus, encoder, run, strategy, environment=None, steps=4):
    command = [sys.executable, str(pathlib.Path(__file__).with_name('worker.py'))]
    command += [str(corpus), str(encoder), str(run), strategy, str(steps)]
    path = {'PYTHONPATH': str(ROOT)}
    return subprocess.Popen(command, cwd=ROOT, env=os.environ | path | (environment or {}))


def start_two(corpus, encoder, run, **named):
    """Starts two workers that train together, the chief first."""
    workers = [f'localhost:{port}' for port in free_ports(2)]
    tasks = [{'cluster': {'worker': workers}, 'task': {'type': 'worker', 'index': index}} for index in range(2)]
    return [start(corpus, encoder, run, 'multiworker', {'TF_CONFIG': json.dumps(task)}, **named) for task in tasks]


@pytest.mark.slow
def test_two_workers_equal_one(tiny_corpus, tiny_encoder, tmp_path):
    processes = [start(tiny_corpus, tiny_encoder, tmp_path / 'alone', 'default')]
    processes += start_two(tiny_corpus, tiny_encoder, tmp_path / 'together')
    try:
        assert [process.wait(timeout=180) for process in processes] == [0, 0, 0]
    finally:
        for process in processes:
            process.kill()
    runs = [tmp_path / 'alone', tmp_path / 'together']
    alone, together = ([json.loads(line) for line in (run / 'metrics.jsonl').read_text().splitlines()] for run in runs)
    # The chief alone wrote: a line a step.
    assert [line['step'] for line in together] == [1, 2, 3, 4]
    np.testing.assert_allclose([line['loss'] for line in together], [line['loss'] for line in alone], rtol=1e-6)
    one, other = (read_tensors(run / 'encoder' / RETRIEVER) for run in runs)
    for name, values in one.items():
        np.testing.assert_allclose(other[name], values, atol=1e-6, err_msg=name)


@pytest.mark.slow
def test_two_workers_of_which_one_is_stopped_end_after_the_same_step(tiny_corpus, tiny_encoder, tmp_path):
    run, steps = tmp_path / 'run', 2000
    metrics = run / 'metrics.jsonl'
    processes = start_two(tiny_corpus, tiny_encoder, run, steps=steps)
    try:
        while not (metrics.exists() and metrics.read_text().count('\n') >= 3):
            assert [process.poll() for process in processes] == [None, None]
            time.sleep(0.05)
        # The one that writes nothing.
        processes[1].terminate()
        assert [process.wait(timeout=60) for process in processes] == [-signal.SIGINT, -signal.SIGINT]
    finally:
        for process in processes:
            process.kill()
    made = metrics.read_text().count('\n')
    assert steps_below(run / 'checkpoints')[-1] == made < steps
