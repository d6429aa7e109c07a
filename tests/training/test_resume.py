"""Pre-training killed in the middle, by the command that a user runs."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from realm_tf.weights.encoder_artifact import KNOWLEDGE_AUGMENTED_ENCODER, RETRIEVER
from realm_tf.weights.tensor_files import read_tensors

STEPS = 60
CHECKPOINT_EVERY = 15
# Metrics that are of the clock.
TIMES = ('seconds', 'waited_seconds', 'waited_share', 'staleness_minutes')


def pretrain_command(paths, run):
    settings = {
        'encoder.dropout': 0.1,
        'pretrain.steps': STEPS,
        'pretrain.checkpoint_every': CHECKPOINT_EVERY,
        'pretrain.refresh_every': 1000,
    }
    command = [sys.executable, '-m', 'realm_tf.cli', 'pretrain', '--preset', 'tiny', '--output', str(run)]
    command += [part for role, path in paths.items() for part in (f'--{role}', str(path))]
    return command + [part for name, value in settings.items() for part in ('--set', f'{name}={value}')]


def metrics_of(run):
    path = run / 'metrics.jsonl'
    lines = [json.loads(line) for line in path.read_text().splitlines() if line.endswith('}')] if path.exists() else []
    return [{name: value for name, value in line.items() if name not in TIMES} for line in lines]


@pytest.mark.slow
def test_a_killed_pretraining_goes_on_as_if_it_had_not_been(
    tmp_path, tiny_corpus, tiny_spans, tiny_encoder, tiny_embeddings, tiny_index
):
    paths = {'corpus': tiny_corpus, 'spans': tiny_spans, 'encoder': tiny_encoder}
    paths |= {'embeddings': tiny_embeddings, 'index': tiny_index}
    whole, killed = tmp_path / 'whole', tmp_path / 'killed'
    subprocess.run(pretrain_command(paths, whole), check=True)
    expected = metrics_of(whole)
    assert [line['step'] for line in expected] == list(range(1, STEPS + 1))

    # Before there is a checkpoint, so that it begins again; then after some.
    for steps_made in (4, 40):
        with subprocess.Popen(pretrain_command(paths, killed)) as training:
            try:
                while len(metrics_of(killed)) < steps_made:
                    assert training.poll() is None
                    time.sleep(0.002)
            finally:
                training.kill()
        assert training.returncode == -signal.SIGKILL
        assert len(metrics_of(killed)) < STEPS and not (killed / 'encoder').exists()
        assert any((killed / 'checkpoints').glob('*/manifest.json')) == (steps_made > CHECKPOINT_EVERY)
    gone_on = subprocess.run(pretrain_command(paths, killed), check=True, capture_output=True, text=True)
    assert f'REALM pre-training: 0/{STEPS}' not in gone_on.stderr
    assert metrics_of(killed) == expected
    for name in (RETRIEVER, KNOWLEDGE_AUGMENTED_ENCODER):
        tensors = [read_tensors(run / 'encoder' / name) for run in (whole, killed)]
        assert tensors[0].keys() == tensors[1].keys()
        for key in tensors[0]:
            np.testing.assert_array_equal(tensors[0][key], tensors[1][key])
