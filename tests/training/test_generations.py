"""Snapshots and generations on disk: which is the newest, which are collected, which a killed process left."""

import concurrent.futures
import os
import pathlib
import subprocess
import sys
import time

import pytest
from etils import epath

from realm_tf.artifacts import MANIFEST, make_artifact, open_artifact
from realm_tf.training import leases
from realm_tf.training.checkpoints import step_directory, steps_below
from realm_tf.training.generations import (
    collect_generations,
    forget_problems,
    forget_snapshots_after,
    generation_from,
    generation_of_step,
    newest_generation,
    newest_problem,
    newest_snapshot,
    publish_snapshot,
)
from realm_tf.weights.encoder_artifact import Encoder
from realm_tf.weights.parameters import copied_parameters

LEASING = (
    'import sys, time\n'
    'from realm_tf.training.leases import lease_while_running\n'
    'lease_while_running(sys.argv[1])\n'
    'print("leased", flush=True)\n'
    'sys.stdin.read()\n'
)


def publish(run, step):
    generation = generation_of_step(run, step)
    for path, kind in ((generation.encoder, 'encoder'), (generation.index, 'index')):
        with make_artifact(path, kind, configuration={}, inputs={}) as draft:
            (draft.path / 'file').write_text('something')
    return generation


@pytest.fixture
def run(tmp_path):
    return epath.Path(tmp_path)


def collected(run, in_use):
    collect_generations(run, in_use=in_use)
    return steps_below(run / 'generations')


def seen_while(changes, look):
    """All that is seen by looking again and again while another thread makes changes."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        other = pool.submit(changes)
        seen = set()
        while not other.done():
            seen.add(look())
    return seen


def test_a_generation_without_its_index_does_not_exist(run):
    assert newest_generation(run, until=100) is None
    publish(run, 10)
    half = publish(run, 20)
    (half.index / MANIFEST).unlink()
    generation_of_step(run, 30).encoder.mkdir(parents=True)
    assert newest_generation(run, until=100).step == 10
    truncated = publish(run, 40)
    (truncated.index / 'file').write_text('some')
    assert newest_generation(run, until=100).step == 10


def test_a_generation_of_a_step_still_to_come_is_of_a_run_that_went_back(run):
    publish(run, 10), publish(run, 20)
    assert newest_generation(run, until=20).step == 20
    assert newest_generation(run, until=19).step == 10
    assert newest_generation(run, until=9) is None


def test_three_generations_are_kept_and_the_one_in_use(run):
    for step in range(10, 70, 10):
        publish(run, step)
    assert collected(run, in_use=20) == [20, 40, 50, 60]
    assert collected(run, in_use=60) == [40, 50, 60]


def test_what_the_builder_makes_is_kept_beside_generations_that_a_killed_run_left(run):
    for step in (14, 16, 18):
        publish(run, step)
    publish(run, 10)
    made = generation_of_step(run, 12).encoder / 'file'
    made.parent.mkdir(parents=True)
    made.write_text('being made')
    assert collected(run, in_use=10) == [10, 12, 14, 16, 18] and made.exists()
    # Past it, nobody makes it.
    assert collected(run, in_use=14) == [14, 16, 18]


def test_a_lease_may_be_given_back_while_it_is_looked_at(run):
    publish(run, 10)
    lease = run / 'generations' / 'step-00000010' / '.lease-here-1'

    def take_and_give_back():
        for _ in range(2000):
            lease.write_text('')
            lease.unlink()

    assert seen_while(take_and_give_back, lambda: leases.is_leased(lease.parent)) == {False, True}


def test_what_a_checkpoint_goes_on_with_is_kept(run):
    for step in range(10, 70, 10):
        publish(run, step)
    for checkpoint in (20, 25):
        step_directory(run / 'checkpoints', checkpoint).mkdir(parents=True)
    # The batch after step 20 was made with the generation before it: see cadence.STEPS_AHEAD.
    assert collected(run, in_use=60) == [10, 20, 40, 50, 60]


def test_what_the_builder_is_making_is_left_to_it_and_what_a_killed_one_left_is_not(run):
    for step in (10, 30, 40, 50):
        publish(run, step)
    for step in (20, 60):
        generation_of_step(run, step).encoder.mkdir(parents=True)
    assert collected(run, in_use=50) == [30, 40, 50, 60]


def test_what_another_process_reads_is_kept_until_it_ends(run):
    for step in range(10, 60, 10):
        publish(run, step)
    reader = subprocess.Popen(
        [sys.executable, '-c', LEASING, str(generation_of_step(run, 10).index)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert reader.stdout.readline() == 'leased\n'
    assert collected(run, in_use=50) == [10, 30, 40, 50]
    reader.communicate()
    assert reader.returncode == 0
    assert collected(run, in_use=50) == [30, 40, 50]


def test_the_lease_of_a_killed_process_is_void_after_a_while(run):
    for step in range(10, 60, 10):
        publish(run, step)
    directory = step_directory(run / 'generations', 10)
    reader = subprocess.Popen(
        [sys.executable, '-c', LEASING, str(directory / 'index')], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert reader.stdout.readline() == b'leased\n'
    reader.kill()
    reader.communicate()
    assert collected(run, in_use=50) == [10, 30, 40, 50]
    (lease,) = pathlib.Path(directory).glob('.lease-*')
    void = time.time() - leases.VOID_AFTER_SECONDS - 1
    os.utime(lease, (void, void))
    assert collected(run, in_use=50) == [30, 40, 50]


def test_no_lease_is_taken_on_what_is_no_generation(tmp_path):
    (tmp_path / 'index').mkdir()
    leases.lease_while_running(tmp_path / 'index')
    assert [child.name for child in tmp_path.iterdir()] == ['index']


def test_a_problem_is_told_until_it_is_forgotten(run):
    assert newest_problem(run) == 0
    generation_of_step(run, 20).report_problem('The disk is full.')
    generation_of_step(run, 10).report_problem('Too little is found.')
    assert newest_problem(run) == 20 and generation_of_step(run, 20).problem() == 'The disk is full.'
    assert newest_generation(run, until=100) is None
    forget_problems(run)
    assert newest_problem(run) == 0 and generation_of_step(run, 20).problem() is None


def test_a_problem_may_be_forgotten_by_another_while_it_is_read(run):
    generation = generation_of_step(run, 20)

    def tell_and_forget():
        for _ in range(2000):
            generation.report_problem('The disk is full.')
            generation.forget_problem()

    assert seen_while(tell_and_forget, generation.problem) == {None, 'The disk is full.'}


def test_a_generation_outlives_a_resume_only_if_it_is_of_the_same_weights(run, tiny_encoder, tiny_corpus):
    encoder = Encoder.open(tiny_encoder)
    retriever, corpus = encoder.retriever(), open_artifact(tiny_corpus)

    def publish_again(step):
        parameters = copied_parameters(retriever)
        return publish_snapshot(run, step, parameters, encoder.vocabulary, encoder.artifact.configuration, corpus)

    def publish_generation_of(snapshot):
        generation = generation_of_step(run, snapshot.counts['step'])
        for path, kind in ((generation.encoder, 'encoder'), (generation.index, 'index')):
            with make_artifact(path, kind, configuration={}, inputs={'snapshot': snapshot.digest}):
                pass

    for step in (10, 20, 30, 40):
        publish_generation_of(publish_again(step))
    # The run is stopped, and goes on from step 25.
    forget_snapshots_after(run, 25)
    assert newest_snapshot(run).counts['step'] == 20
    publish_again(30)
    assert newest_generation(run, until=30).step == 30
    retriever.trainable_variables[0].assign_add(retriever.trainable_variables[0])
    publish_again(40)
    assert newest_generation(run, until=40).step == 30
    assert not generation_of_step(run, 40).is_published()


def test_a_snapshot_is_kept_while_the_builder_may_look_for_it(run, tiny_encoder, tiny_corpus):
    encoder = Encoder.open(tiny_encoder)
    weights = copied_parameters(encoder.retriever()), encoder.vocabulary, encoder.artifact.configuration

    def kept_after(*steps):
        for step in steps:
            publish_snapshot(run, step, *weights, open_artifact(tiny_corpus))
        return steps_below(run / 'snapshots')

    assert kept_after(10, 20, 30, 40) == [20, 30, 40]
    being_made, given_up = generation_of_step(run, 20), generation_of_step(run, 40)
    for generation in (being_made, given_up):
        generation.encoder.mkdir(parents=True)
    given_up.report_problem('Too little is found.')
    assert kept_after(50, 60, 70, 80) == [20, 60, 70, 80]
    # It looks for it once more when it has published.
    publish(run, 20)
    assert kept_after(90) == [20, 70, 80, 90]
    for step in (70, 80, 90):
        publish(run, step)
    assert collected(run, in_use=90) == [70, 80, 90] and kept_after(100) == [70, 80, 90, 100]


def test_the_snapshot_of_the_result_comes_before_all_others(run, tiny_encoder, tiny_corpus):
    encoder = Encoder.open(tiny_encoder)
    weights = copied_parameters(encoder.retriever()), encoder.vocabulary, encoder.artifact.configuration
    for step, final in ((10, False), (20, False), (10, True)):
        publish_snapshot(run, step, *weights, open_artifact(tiny_corpus), final=final)
    snapshot = newest_snapshot(run)
    assert snapshot.path.name == 'final' and snapshot.counts['step'] == 10
    generation = generation_from(run, snapshot)
    assert generation.encoder == run / 'generations' / 'final' / 'encoder' and generation.step == 10
    # It is none that a training in progress uses, and outlives those.
    with make_artifact(generation.index, 'index', configuration={}, inputs={}):
        pass
    assert newest_generation(run, until=100) is None
    for step in range(10, 60, 10):
        publish(run, step)
    collect_generations(run, in_use=50)
    assert generation.is_published()
    generation.report_problem('The disk is full.')
    forget_problems(run)
    assert generation.problem() is None
    # A training that goes on is not at its end.
    forget_snapshots_after(run, 20)
    assert newest_snapshot(run).counts['step'] == 20
