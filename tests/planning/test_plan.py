"""The plan of a refresh: its arithmetic, and what it measures."""

import json

import pytest

from realm_tf.errors import RealmError
from realm_tf.planning.measure import seconds_of_step
from realm_tf.planning.plan import BuiltIndex, Figure, Known, make_plan

KNOWN = Known(
    blocks=1_000_000,
    workers=10,
    dimension=128,
    blocks_per_second=Figure(50.0, 'given'),
    worker_memory=Figure(1.5e9, 'measured here'),
    corpus_bytes_per_block=Figure(1000.0, 'bytes of a block of corpus'),
    # Time as blocks^1.5, and 600 bytes a block beside 0.5 GB; 200 on disk.
    indices=[BuiltIndex(10_000, 1.0, 0.506e9, 2e6), BuiltIndex(40_000, 8.0, 0.524e9, 8e6)],
    searcher='scann',
    seconds_per_step=Figure(4.0, 'given'),
    refresh_every=500,
)


def values(known):
    return {line.what: line.value for line in make_plan(known)}


def test_the_arithmetic():
    plan = values(KNOWN)
    # 1,000,000 / 10 / 50 s, and 8 s × 25^1.5
    assert plan['embedding 1,000,000 blocks'] == '33.3 minutes'
    assert plan['building the index (scann)'] == '16.7 minutes'
    assert plan['a refresh'] == '50.0 minutes'
    assert plan['memory of the workers'] == '10 × 1.50 GB'
    assert plan['memory to build the index'] == '1.10 GB'
    assert plan['disk: index'] == '0.20 GB'
    assert plan['disk: embeddings'] == '0.52 GB'
    assert plan['disk: corpus'] == '1.00 GB'
    assert plan['steps trained meanwhile'] == '750'
    # 2,000 s less 1,000 s for the index are left for 20,000 s of embedding.
    assert plan['workers for pretrain.refresh_every = 500'] == '20'


def test_a_cadence_that_the_index_alone_cannot_keep():
    assert values(KNOWN._replace(refresh_every=100))['workers for pretrain.refresh_every = 100'] == 'none are enough'


def test_what_is_not_known_is_not_guessed():
    plan = values(KNOWN._replace(seconds_per_step=None, corpus_bytes_per_block=None, worker_memory=None))
    assert plan['steps trained meanwhile'] == 'not known'
    assert not {'disk: corpus', 'memory of the workers'} & set(plan)


def test_every_line_says_what_it_rests_on():
    assert all(line.basis.startswith(('measured', 'given', 'computed', 'extrapolated')) for line in make_plan(KNOWN))


def test_the_seconds_of_a_step_are_those_of_a_run(tmp_path):
    steps = [{'step': step, 'seconds': seconds} for step, seconds in enumerate((30.0, 2.0, 4.0), start=1)]
    (tmp_path / 'metrics.jsonl').write_text(''.join(json.dumps(step) + '\n' for step in steps))
    assert seconds_of_step(tmp_path) == 4.0


def test_a_run_without_steps_is_refused(tmp_path):
    with pytest.raises(RealmError, match='tells of no step'):
        seconds_of_step(tmp_path)
