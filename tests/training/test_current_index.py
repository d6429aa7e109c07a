"""The index in use: swaps, what is refused, how old it is, how much of it is new."""

import json
import pathlib
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from etils import epath

from realm_tf.search.embeddings import Embeddings
from realm_tf.training.current_index import CurrentIndex, overlap
from realm_tf.weights.encoder_artifact import Encoder
from tests.training.published import look_until_open, publish_negative, publish_same

ROOT = pathlib.Path(__file__).parents[2]
QUERIES = np.array([[101, 2000 + row, 2100, 102] for row in range(6)], np.int32)


def everything(rows, block_ids):
    """The filter that keeps all that is found."""
    return block_ids >= 0


@pytest.fixture
def run(tmp_path):
    return epath.Path(tmp_path)


@pytest.fixture(scope='module')
def retriever(tiny_encoder):
    return Encoder.open(tiny_encoder).retriever()


def damage(path: epath.Path):
    """Changes one byte in the middle, as a bad disk does: name and size stay."""
    path = pathlib.Path(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def test_a_swap_is_for_the_batches_after_the_next(run, first, retriever):
    current = CurrentIndex(run, retriever, first)
    publish_same(run, 4, first)
    look_until_open(current, 4, 4)
    assert current.newest_step == 4
    # The batch that was being made when step 4 ended, and the one after it.
    current.swap(4)
    assert current.staleness(5)['generation'] == 0
    current.swap(5)
    assert current.staleness(6)['generation'] == 4


def test_a_generation_of_a_later_step_is_not_looked_at(run, first, retriever):
    publish_same(run, 2, first), publish_same(run, 4, first)
    current = CurrentIndex(run, retriever, first, step=3)
    assert current.newest_step == 2
    current.look(3)
    time.sleep(0.1)
    current.look(3)
    assert current.newest_step == 2


def test_overlap_is_of_the_same_queries_in_both_indices(run, first, retriever):
    blocks = len(Embeddings.open(first.embeddings))
    k = blocks // 2
    current = CurrentIndex(run, retriever, first)
    before = current.search(QUERIES, k, everything, margin=0)
    current.swap(0)
    assert 'overlap_at_k' not in current.staleness(1)
    publish_same(run, 2, first)
    look_until_open(current, 2, 2)
    current.swap(3)
    assert current.staleness(4)['overlap_at_k'] == 1
    publish_negative(run, 4, first)
    look_until_open(current, 4, 4)
    current.swap(5)
    after = current.search(QUERIES, k, everything, margin=0)
    expected = np.mean([len({*old} & {*new}) / k for old, new in zip(before, after, strict=True)])
    assert current.staleness(6)['overlap_at_k'] == pytest.approx(expected)
    assert expected < 0.5


def test_missing_blocks_do_not_count():
    before, after = np.array([[1, 2, -1], [3, -1, -1]]), np.array([[2, 5, -1], [3, 4, -1]])
    assert overlap(before, after) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    'file',
    ['index/searcher/vectors-00001.npy', 'embeddings/embeddings-00001-of-00002.npy', 'encoder/retriever.safetensors'],
)
def test_a_corrupt_generation_is_refused_said_and_the_last_good_one_stays(run, first, retriever, capsys, file):
    current = CurrentIndex(run, retriever, first)
    good = publish_same(run, 2, first)
    look_until_open(current, 2, 2)
    current.swap(3)
    expected = current.search(QUERIES, 3, everything, margin=0)
    bad = publish_negative(run, 4, first)
    damage(bad.index.parent / file)
    current.look(4)
    deadline = time.monotonic() + 30
    while bad.is_published() and time.monotonic() < deadline:
        time.sleep(0.01)
    current.look(4)
    current.look(4)
    current.swap(5)
    assert current.staleness(6)['generation'] == 2
    np.testing.assert_array_equal(current.search(QUERIES, 3, everything, margin=0), expected)
    said = capsys.readouterr().err
    assert 'generation of step 4 is not used' in said and f'{file} is corrupt' in said
    # Nobody opens it either, and the builder makes it again.
    assert not bad.is_published() and good.is_published()


def test_a_run_goes_on_with_the_newest_good_generation(run, first, retriever, capsys):
    publish_same(run, 2, first)
    damage(publish_same(run, 4, first).index / 'searcher' / 'vectors-00000.npy')
    current = CurrentIndex(run, retriever, first, step=6)
    assert current.newest_step == 2
    assert 'generation of step 4 is not used' in capsys.readouterr().err


def test_an_index_over_other_embeddings_is_refused(run, first, retriever, capsys):
    generation = publish_negative(run, 2, first)
    shutil.rmtree(generation.index)
    shutil.copytree(first.index, generation.index)
    assert CurrentIndex(run, retriever, first, step=3).newest_step == 0
    assert 'was not made from the embeddings' in capsys.readouterr().err


def test_blocks_are_shared_out_over_the_replicas_of_the_training(run, first):
    # A process of its own: the devices of TensorFlow are settled once.
    command = [sys.executable, '-m', 'tests.training.replicas_search_generations', run, first.encoder, first.embeddings]
    result = subprocess.run([*map(str, command)], check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    of_first, of_second = json.loads(result.stdout.splitlines()[-1])
    # That of the second generation was opened by another thread.
    assert of_first['step'] == 0 and of_second['step'] == 2
    assert [device[-5:] for device in of_first['devices']] == ['CPU:0', 'CPU:1']
    assert of_second['devices'] == of_first['devices'] and of_second['found'] == of_first['found']


def test_live_weights_stay_as_they_are(run, first, tiny_encoder):
    trained = Encoder.open(tiny_encoder).retriever()
    before = [np.array(variable) for variable in trained.trainable_variables]
    for variable in trained.trainable_variables:
        variable.assign_add(variable)
    current = CurrentIndex(run, trained, first, live=True)
    publish_same(run, 2, first)
    look_until_open(current, 2, 2)
    current.swap(3)
    assert current.staleness(4)['generation'] == 2
    for variable, value in zip(trained.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(np.array(variable), 2 * value)
    CurrentIndex(run, trained, first)
    np.testing.assert_array_equal(np.array(trained.trainable_variables[0]), before[0])
