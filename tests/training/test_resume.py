"""Pre-training killed in the middle, by the command that a user runs."""

import dataclasses
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from etils import epath

from realm_tf.config import recipe
from realm_tf.training import pretrain
from realm_tf.training.runs import prepare_run
from realm_tf.weights.encoder_artifact import KNOWLEDGE_AUGMENTED_ENCODER, RETRIEVER
from realm_tf.weights.tensor_files import read_tensors
from tests.training.published import publish_same

STEPS = 45
CHECKPOINT_EVERY = 15
# Metrics that are of the clock.
TIMES = (
    'seconds',
    'waited_seconds',
    'waited_share',
    'examples_per_second',
    'staleness_minutes',
    'index_waited_seconds',
)


def pretrain_command(paths, run, refresh):
    settings = {
        'encoder.dropout': 0.1,
        'pretrain.steps': STEPS,
        'pretrain.checkpoint_every': CHECKPOINT_EVERY,
        'pretrain.refresh': refresh,
        'pretrain.refresh_every': 25,
        # One generation is made while the training waits, in use before and after the second kill.
        'index.searcher': 'exact',
    }
    command = [sys.executable, '-m', 'realm_tf.cli', 'pretrain', '--preset', 'tiny', '--output', str(run)]
    command += [part for role, path in paths.items() for part in (f'--{role}', str(path))]
    return command + [part for name, value in settings.items() for part in ('--set', f'{name}={value}')]


def metrics_of(run):
    path = run / 'metrics.jsonl'
    lines = [json.loads(line) for line in path.read_text().splitlines() if line.endswith('}')] if path.exists() else []
    return [{name: value for name, value in line.items() if name not in TIMES} for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize('refresh', ['none', 'synchronous'])
def test_a_killed_pretraining_goes_on_as_if_it_had_not_been(tmp_path, tiny_corpus, tiny_spans, first, refresh):
    paths = {'corpus': tiny_corpus, 'spans': tiny_spans, 'encoder': first.encoder}
    paths |= {'embeddings': first.embeddings, 'index': first.index}
    whole, killed = tmp_path / 'whole', tmp_path / 'killed'
    subprocess.run(pretrain_command(paths, whole, refresh), check=True)
    expected = metrics_of(whole)
    assert [line['step'] for line in expected] == list(range(1, STEPS + 1))
    assert {line['generation'] for line in expected} == ({0} if refresh == 'none' else {0, 25})

    # Before there is a checkpoint, so that it begins again; then after some.
    for steps_made in (4, 32):
        with subprocess.Popen(pretrain_command(paths, killed, refresh)) as training:
            try:
                while len(metrics_of(killed)) < steps_made:
                    assert training.poll() is None
                    time.sleep(0.002)
            finally:
                training.kill()
        assert training.returncode == -signal.SIGKILL
        assert len(metrics_of(killed)) < STEPS and not (killed / 'encoder').exists()
        assert any((killed / 'checkpoints').glob('*/manifest.json')) == (steps_made > CHECKPOINT_EVERY)
    gone_on = subprocess.run(pretrain_command(paths, killed, refresh), check=True, capture_output=True, text=True)
    assert f'REALM pre-training: 0/{STEPS}' not in gone_on.stderr
    assert metrics_of(killed) == expected
    for name in (RETRIEVER, KNOWLEDGE_AUGMENTED_ENCODER):
        tensors = [read_tensors(run / 'encoder' / name) for run in (whole, killed)]
        assert tensors[0].keys() == tensors[1].keys()
        for key in tensors[0]:
            np.testing.assert_array_equal(tensors[0][key], tensors[1][key])


def test_an_index_that_was_in_use_and_is_gone_is_said_to_be_so(
    tmp_path, tiny_corpus, tiny_spans, first, tiny_config, capsys
):
    # Time enough to open the generation, which is published before it is looked for.
    settings = {'steps': 150, 'checkpoint_every': 150, 'batch_size': 2, 'refresh': 'external', 'refresh_every': 1000}
    config = dataclasses.replace(tiny_config, pretrain=dataclasses.replace(tiny_config.pretrain, **settings))
    prepare_run(tmp_path, 'encoder', configuration=recipe(config, *pretrain.RECIPE), inputs={})
    inputs = (tiny_corpus, tiny_spans, first.encoder, first.embeddings, first.index)
    generation = publish_same(epath.Path(tmp_path), 2, first)
    pretrain.train(*inputs, tmp_path, config)
    assert metrics_of(tmp_path)[-1]['generation'] == 2
    pretrain.train(*inputs, tmp_path, config)
    assert 'is gone' not in capsys.readouterr().err
    generation.remove()
    pretrain.train(*inputs, tmp_path, config)
    assert 'The index of step 2, which was in use at step 150, is gone.' in capsys.readouterr().err
