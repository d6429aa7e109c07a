"""Pre-training with an index that is refreshed by another process, and what happens when either is killed."""

import dataclasses
import json
import time

import numpy as np
import psutil
import pytest

from realm_tf.artifacts import open_artifact
from realm_tf.config import recipe
from realm_tf.training import pretrain
from realm_tf.training.generations import generation_of_step
from realm_tf.training.runs import prepare_run
from realm_tf.weights.encoder_artifact import RETRIEVER, Encoder
from realm_tf.weights.tensor_files import read_tensors


@pytest.fixture(scope='module')
def inputs(tiny_corpus, tiny_spans, tiny_encoder, tiny_embeddings, tiny_index):
    """What a pre-training starts from."""
    return tiny_corpus, tiny_spans, tiny_encoder, tiny_embeddings, tiny_index


def with_refresh(config, **settings):
    """Few steps, and exact search, which needs no ScaNN to be loaded."""
    settings = {'steps': 8, 'batch_size': 2, 'refresh_every': 3, 'checkpoint_every': 4, **settings}
    return dataclasses.replace(
        config,
        pretrain=dataclasses.replace(config.pretrain, **settings),
        index=dataclasses.replace(config.index, searcher='exact'),
    )


def prepared(run, config):
    assert prepare_run(run, 'encoder', configuration=recipe(config, *pretrain.RECIPE), inputs={}, overwrite=True)
    return run


def metrics_of(run):
    return [json.loads(line) for line in (run / 'metrics.jsonl').read_text().splitlines()]


def processes_at(run):
    """The processes that have the run in their command line."""
    found = []
    for process in psutil.process_iter(['cmdline']):
        if str(run) in ' '.join(process.info['cmdline'] or ()):
            found.append(process)
    return found


def no_process_is_left(run):
    """Whether within a few seconds, of grace, no process is at work on the run."""
    deadline = time.monotonic() + 30
    while processes_at(run) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not processes_at(run)


@pytest.fixture(scope='module')
def synchronous(tmp_path_factory, inputs, tiny_config):
    """A run whose training waited for each generation: its configuration and its directory."""
    config = with_refresh(tiny_config, refresh='synchronous')
    run = prepared(tmp_path_factory.mktemp('synchronous') / 'run', config)
    pretrain.train(*inputs, run, config)
    return config, run


def test_a_synchronous_refresh_is_of_the_step_it_should_be_of(synchronous, tiny_encoder):
    config, run = synchronous
    # Neither the builder nor the job it was at outlives the training.
    assert not processes_at(run)
    metrics = metrics_of(run)
    assert [line['step'] for line in metrics] == list(range(1, 9))
    assert all(np.isfinite(line['loss']) and 0 <= line['null_probability'] <= 1 for line in metrics)
    # Two steps after a snapshot the first batch of its generation is trained on.
    assert [line['generation'] for line in metrics] == [0, 0, 0, 0, 3, 3, 3, 6]
    assert all(line['staleness_steps'] == line['step'] - line['generation'] for line in metrics)
    assert all(0 <= line['staleness_minutes'] < 60 for line in metrics)
    assert ['overlap_at_k' in line for line in metrics] == [False] * 4 + [True] * 4
    for step in (3, 6):
        generation = generation_of_step(run, step)
        embeddings = open_artifact(generation.embeddings, 'embeddings')
        embeddings.require_input('encoder', open_artifact(generation.encoder, 'encoder'))
        assert open_artifact(generation.index, 'index').counts['recall'] >= config.index.minimum_recall
    # The builder embedded with weights of its step: neither those of the start nor those of the end.
    name = 'tower/projection/kernel'
    built, start, end = (
        read_tensors(encoder / RETRIEVER)[name] for encoder in (generation.encoder, tiny_encoder, run / 'encoder')
    )
    assert np.abs(built - start).max() > 0 and np.abs(built - end).max() > 0
    assert Encoder.open(run / 'encoder').artifact.counts['step'] == 8
