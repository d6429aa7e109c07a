"""The plan of a refresh: its arithmetic, and what it measures."""

import json

import click.testing
import pytest

from realm_tf.cli import realm
from realm_tf.config import load_config
from realm_tf.errors import RealmError
from realm_tf.planning import run
from realm_tf.planning.measure import measure_index, seconds_of_step
from realm_tf.planning.plan import BuiltIndex, Figure, Known, make_plan
from realm_tf.search.scann_searcher import BLOCKS_AT_ONCE

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
    blocks_of_piece=150_000,
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


def test_memory_of_what_is_built_in_pieces_is_said_to_be_an_upper_bound():
    def basis(known):
        return next(line.basis for line in make_plan(known) if line.what == 'memory to build the index')

    said = 'an upper bound, as it is built in pieces of 150,000 blocks'
    assert said in basis(KNOWN)
    for known in (KNOWN._replace(blocks=150_000), KNOWN._replace(blocks_of_piece=None)):
        assert said not in basis(known)


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


def test_an_index_of_more_blocks_than_a_process_encodes_is_measured(tmp_path):
    """It is encoded by processes, which the one that measures starts."""
    built = measure_index(tmp_path, BLOCKS_AT_ONCE + 1, 16, load_config('tiny'))
    assert built.blocks == BLOCKS_AT_ONCE + 1 and built.seconds > 0
    # Vectors in float32, and ScaNN with its TensorFlow.
    assert built.disk > 64 * built.blocks and built.memory > 1e8


def test_the_command_measures_what_is_not_given(monkeypatch):
    monkeypatch.setattr(run, '_SECONDS_OF_EMBEDDING', 0.1)
    asked = ['--blocks', '1000000', '--preset', 'tiny', '--set', 'index.searcher=exact', '--index-sample', '1000']
    result = click.testing.CliRunner().invoke(realm, ['plan', *asked], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    lines = {line[:42].rstrip(): line[43:].lstrip() for line in result.output.splitlines()}
    assert 'measured here' in lines['blocks a second of a worker']
    assert 'with random weights' in lines['blocks a second of a worker']
    assert 'for 250 and' in lines['building the index (exact)'] and 'for 1,000 blocks' in lines['disk: index']
    assert lines['steps trained meanwhile'].startswith('not known')
