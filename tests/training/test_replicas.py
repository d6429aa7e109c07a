"""Several replicas make the step of one."""

import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize('task', ['ict', 'pretrain', 'finetune'])
def test_two_replicas_equal_one(task):
    # A process of its own: the devices of TensorFlow are settled once.
    command = [sys.executable, str(pathlib.Path(__file__).with_name('replicas_equal_one.py')), task]
    result = subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    found = json.loads(result.stdout.splitlines()[-1])
    # The weights changed, and gradients were clipped, by the norm of their sum over the replicas.
    assert found['metrics'][0]['loss'] != found['metrics'][-1]['loss']
    assert min(metrics['gradient_norm'] for metrics in found['metrics']) > 0.05
    for difference in found['differences'].values():
        assert difference['loss'] < 1e-6
        assert difference['weights'] < 2e-6
