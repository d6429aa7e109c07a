"""Where a training runs: what cannot be had is a sentence."""

import json

import numpy as np
import pytest
import tensorflow as tf

from realm_tf.errors import RealmError
from realm_tf.training.strategies import is_chief, is_first_worker, make_strategy
from realm_tf.training.train_step import require_divisible, shared_out


@pytest.mark.parametrize('value', ['', '{"cluster": {}}'])
def test_workers_are_named_by_the_environment(monkeypatch, value):
    monkeypatch.setenv('TF_CONFIG', value or '{}')
    with pytest.raises(RealmError, match='needs TF_CONFIG'):
        make_strategy('multiworker')


def test_an_environment_that_is_not_json(monkeypatch):
    monkeypatch.setenv('TF_CONFIG', '{worker')
    with pytest.raises(RealmError, match='TF_CONFIG is not JSON'):
        make_strategy('multiworker')


@pytest.mark.parametrize(
    ('others', 'task', 'is_first'),
    [
        ({}, {'type': 'worker', 'index': 0}, True),
        ({}, {'type': 'worker', 'index': '0'}, True),
        ({}, {'type': 'worker', 'index': 1}, False),
        ({'chief': ['host0:2222']}, {'type': 'worker', 'index': 0}, False),
        ({'chief': ['host0:2222']}, {'type': 'chief', 'index': 0}, True),
    ],
)
def test_one_of_several_workers_is_the_first(monkeypatch, others, task, is_first):
    cluster = {'worker': ['host1:2222', 'host2:2222'], **others}
    monkeypatch.setenv('TF_CONFIG', json.dumps({'cluster': cluster, 'task': task}))
    assert is_first_worker() == is_first


def test_a_machine_without_a_tpu():
    with pytest.raises(RealmError, match=r"no TPU 'local'.*docs/cloud-tpu.md"):
        make_strategy('tpu', 'local')


def test_one_device_is_chief_and_takes_the_whole_batch():
    strategy = make_strategy()
    assert is_chief(strategy)
    batch = {'ids': np.arange(6, dtype=np.int32).reshape(3, 2)}
    np.testing.assert_array_equal(shared_out(batch, strategy)['ids'], batch['ids'])


def test_a_batch_that_cannot_be_shared_out_is_refused():
    require_divisible(6, 'ict.batch_size', tf.distribute.get_strategy(), 3)
    with pytest.raises(RealmError, match=r'ict.batch_size = 6 is not a multiple of 4, 1 replicas times 4'):
        require_divisible(6, 'ict.batch_size', tf.distribute.get_strategy(), 4)
