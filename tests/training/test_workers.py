"""Two workers, processes of their own with a port each, make the steps of one."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest

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


def start(corpus, encoder, run, strategy, environment=None):
    command = [sys.executable, str(pathlib.Path(__file__).with_name('worker.py'))]
    command += [str(corpus), str(encoder), str(run), strategy]
    path = {'PYTHONPATH': str(ROOT)}
    return subprocess.Popen(command, cwd=ROOT, env=os.environ | path | (environment or {}))


@pytest.mark.slow
def test_two_workers_equal_one(tiny_corpus, tiny_encoder, tmp_path):
    workers = [f'localhost:{port}' for port in free_ports(2)]
    processes = [start(tiny_corpus, tiny_encoder, tmp_path / 'alone', 'default')]
    for index in range(2):
        task = {'cluster': {'worker': workers}, 'task': {'type': 'worker', 'index': index}}
        environment = {'TF_CONFIG': json.dumps(task)}
        processes.append(start(tiny_corpus, tiny_encoder, tmp_path / 'together', 'multiworker', environment))
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
        np.testing.assert_allclose(other[name], values, atol=2e-6, err_msg=name)
