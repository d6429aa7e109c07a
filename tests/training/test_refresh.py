"""Pre-training with an index that is refreshed by another process, and what happens when either is killed."""

import contextlib
import dataclasses
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from etils import epath

from realm_tf.artifacts import make_artifact, open_artifact
from realm_tf.config import config_to_dict, recipe, to_yaml
from realm_tf.errors import RealmError
from realm_tf.locks import lock
from realm_tf.search.embeddings import Embeddings
from realm_tf.training import pretrain
from realm_tf.training.checkpoints import Checkpoints, step_directory
from realm_tf.training.current_index import CurrentIndex
from realm_tf.training.generations import (
    Generation,
    generation_of_step,
    newest_generation,
    newest_snapshot,
    publish_snapshot,
)
from realm_tf.training.index_builder import build_generation
from realm_tf.training.optimizer import BertAdamW
from realm_tf.training.refresh import Refresh
from realm_tf.training.runs import prepare_run
from realm_tf.weights.encoder_artifact import RETRIEVER, Encoder
from realm_tf.weights.tensor_files import read_tensors
from tests.interruption import blocked
from tests.training.published import look_until_open, publish_same


@pytest.fixture(scope='module')
def inputs(tiny_corpus, tiny_spans, first):
    """What a pre-training starts from, by the names of its options."""
    return {
        **{'corpus': tiny_corpus, 'spans': tiny_spans},
        **{'encoder': first.encoder, 'embeddings': first.embeddings, 'index': first.index},
    }


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


def wait_until(condition, process=None, seconds=240):
    """Returns as soon as the condition is true, within a thousandth of a second."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, 'it never came'
        assert process is None or process.poll() is None, 'the process ended before'
        time.sleep(0.001)


def require_no_process_at(run):
    """Waits for as long as a guard gives its job to end, and some more on a busy machine."""
    wait_until(lambda: not processes_at(run), seconds=60)


@pytest.fixture(scope='module')
def synchronous(tmp_path_factory, inputs, tiny_config):
    """A run whose training waited for each generation: its configuration and its directory."""
    config = with_refresh(tiny_config, refresh='synchronous')
    run = prepared(tmp_path_factory.mktemp('synchronous') / 'run', config)
    pretrain.train(*inputs.values(), run, config)
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
    assert [line['step'] for line in metrics if 'overlap_at_k' in line] == [5, 8]
    waits = {line['step']: line['index_waited_seconds'] for line in metrics}
    assert set(sorted(waits, key=waits.get)[-2:]) == {3, 6} and sum(waits.values()) > 1
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


def test_an_asynchronous_refresh_bounds_its_staleness(tmp_path, inputs, tiny_config):
    # However slow the builder is: the training waits before it becomes too stale, and looks for no generation else.
    bound = {'refresh_every': 2, 'max_stale_steps': 4, 'when_stale': 'wait'}
    config = with_refresh(tiny_config, steps=6, checkpoint_every=6, **bound)
    run = prepared(tmp_path / 'run', config)
    pretrain.train(*inputs.values(), run, config)
    assert not processes_at(run)
    metrics = metrics_of(run)
    assert [line['step'] for line in metrics] == list(range(1, 7))
    assert all(line['staleness_steps'] == line['step'] - line['generation'] <= 4 for line in metrics)
    generations = [line['generation'] for line in metrics]
    assert generations == sorted(generations) and generations[0] == 0 and generations[-1] >= 2


# The trainer's side alone.


@pytest.fixture
def refreshing(tmp_path, first, tiny_config, tiny_corpus):
    """Gives a function that makes the trainer's side with settings, and the steps of snapshots that it only counts."""
    run = epath.Path(tmp_path)
    retriever = Encoder.open(first.encoder).retriever()

    def make(*, writes=False, **settings):
        config = with_refresh(tiny_config, **{'refresh': 'external', 'steps': 100, **settings})
        current = CurrentIndex(run, retriever, first)
        published = []

        def snapshot(step, *, final=False):
            if final or writes:
                return lambda: publish(run, step, first, config, tiny_corpus, final=final)
            return lambda: published.append(step)

        optimizer = BertAdamW({}, config.pretrain.optimizer, config.pretrain.steps)
        refresh = Refresh(
            run,
            'corpus',
            config.pretrain,
            current,
            snapshot,
            Checkpoints(run / 'checkpoints', {}, optimizer),
            steps=config.pretrain.steps,
            first_step=0,
        )
        return refresh, current, published

    return run, make


def after_steps(refresh, current, steps, asked_to_stop=lambda: False):
    """Ends steps one after the other; gives the generation that each one's batch was made with."""
    generations = []
    for step in steps:
        current.swap(step - 1)
        generations.append(refresh.after_step(step, asked_to_stop)['generation'])
    return generations


def test_snapshots_are_published_by_the_schedule_while_they_are_of_use(refreshing):
    _, make = refreshing
    refresh, current, published = make(refresh_every='0-8:4,8-:6', steps=23)
    with refresh:
        after_steps(refresh, current, range(1, 24))
    # Of a snapshot of step 20 the last batch would be made, of one of step 22 none.
    assert published == [4, 8, 14, 20]
    refresh, current, published = make(refresh_every='0-8:4,8-:6', steps=21)
    with refresh:
        after_steps(refresh, current, range(1, 22))
    assert published == [4, 8, 14]


def test_without_a_refresh_nothing_is_published_or_looked_for(refreshing, first, capsys):
    run, make = refreshing
    publish_same(run, 2, first)
    refresh, current, published = make(refresh='none', refresh_every=2, max_stale_steps=3, when_stale='wait')
    with refresh:
        assert after_steps(refresh, current, range(1, 10)) == [0] * 9
    assert published == [] and capsys.readouterr().err == ''


def test_a_generation_that_could_not_be_made_is_said_once_and_the_training_goes_on(refreshing, first, capsys):
    run, make = refreshing
    generation_of_step(run, 2).report_problem('A problem of the run before.')
    refresh, current, _ = make(refresh_every=2)
    with refresh:
        after_steps(refresh, current, [1, 2])
        generation_of_step(run, 2).report_problem('The recall is too low.')
        after_steps(refresh, current, [3, 4, 5])
        publish_same(run, 4, first)
        look_until_open(current, 5, 4)
        assert after_steps(refresh, current, [6, 7]) == [4, 4]
    said = capsys.readouterr().err
    assert said.count('The recall is too low.') == 1
    assert 'with the weights of step 2' in said and 'The index of step 0 stays in use.' in said
    assert 'A problem of the run before' not in said


def test_a_stale_index_is_said_again_when_it_is_twice_as_stale(refreshing, capsys):
    _, make = refreshing
    refresh, current, _ = make(refresh_every=4, max_stale_steps=5)
    said = []
    with refresh:
        for step in range(1, 14):
            after_steps(refresh, current, [step])
            said.append('The index is stale' in capsys.readouterr().err)
    # The batch that is looked for after step 4 is trained on as step 6.
    assert [step for step, line in enumerate(said, 1) if line] == [4, 8, 13]


def test_a_training_that_waits_for_what_cannot_come_ends_with_a_sentence(refreshing):
    run, make = refreshing
    refresh, current, _ = make(refresh_every=2, max_stale_steps=4, when_stale='wait')
    with refresh:
        after_steps(refresh, current, [1, 2])
        generation_of_step(run, 2).report_problem('The recall is too low.')
        with pytest.raises(RealmError, match=r'waits at step 3 .* step 2 could not be made: The recall is too low'):
            after_steps(refresh, current, [3])


def refuse_snapshot(run, step):
    """Makes that the snapshot of a step cannot be written, as on a full disk."""
    path = step_directory(run / 'snapshots', step)
    path.parent.mkdir(exist_ok=True)
    path.write_text('no directory')


def test_a_snapshot_that_cannot_be_written_is_said_and_the_next_is_the_next_try(refreshing, capsys):
    run, make = refreshing
    refresh, current, _ = make(refresh_every=2, writes=True)
    with refresh:
        refuse_snapshot(run, 2)
        assert after_steps(refresh, current, range(1, 6)) == [0] * 5
    assert newest_snapshot(run).counts['step'] == 4
    said = capsys.readouterr().err
    assert 'the snapshot of step 2 could not be written ([Errno ' in said and said.count('could not') == 1


@pytest.mark.parametrize(
    ('settings', 'step'),
    [({'refresh': 'synchronous'}, 2), ({'max_stale_steps': 4, 'when_stale': 'wait'}, 3)],
    ids=['synchronous', 'stale'],
)
def test_a_training_that_waits_for_a_snapshot_that_cannot_be_written_ends_with_a_sentence(refreshing, settings, step):
    run, make = refreshing
    refresh, current, _ = make(refresh_every=2, writes=True, **settings)
    with refresh:
        refuse_snapshot(run, 2)
        with pytest.raises(RealmError, match=rf'waits at step {step} .* the snapshot of step 2 could not be written'):
            after_steps(refresh, current, [1, 2, 3])


def test_a_training_waits_for_the_index_of_a_snapshot_before_one_that_cannot_be_written(refreshing, first, capsys):
    run, make = refreshing
    refresh, current, _ = make(refresh_every=2, writes=True, max_stale_steps=5, when_stale='wait')
    said = []

    def publishes_when_it_is_said():
        said.append(capsys.readouterr().err)
        if 'the snapshot of step 4 could not be written' in ''.join(said) and newest_generation(run, 4) is None:
            publish_same(run, 2, first)
        return False

    with refresh:
        refuse_snapshot(run, 4)
        after_steps(refresh, current, [1, 2, 3])
        after_steps(refresh, current, [4], asked_to_stop=publishes_when_it_is_said)
        assert current.newest_step == 2
        # Nothing is left to be made.
        with pytest.raises(RealmError, match='could not be written'):
            refuse_snapshot(run, 6)
            after_steps(refresh, current, [5, 6])


def test_the_snapshot_of_a_result_that_cannot_be_written_ends_with_a_sentence(refreshing):
    run, make = refreshing
    refresh, _, _ = make()
    (run / 'snapshots').write_text('no directory')
    with pytest.raises(RealmError, match='the snapshot of its result could not be written'):
        refresh.build_final(3)


def test_a_training_of_a_single_step_waits_for_nothing(refreshing):
    _, make = refreshing
    refresh, current, published = make(refresh='synchronous', refresh_every=1, steps=1)
    with refresh:
        assert after_steps(refresh, current, [1]) == [0]
    assert published == []


def test_a_training_that_waits_can_be_asked_to_stop(refreshing, capsys):
    _, make = refreshing
    refresh, current, _ = make(refresh_every=2, max_stale_steps=4, when_stale='wait')
    asked = iter([False, False, True])
    with refresh:
        assert after_steps(refresh, current, [1, 2]) == [0, 0]
        assert after_steps(refresh, current, [3], asked_to_stop=lambda: next(asked)) == [0]
    assert 'Step 3 waits for a newer index than that of step 0.' in capsys.readouterr().err


def test_a_result_whose_index_cannot_be_made_ends_with_a_sentence_and_goes_on(refreshing, tiny_corpus):
    run, make = refreshing
    refresh, _, _ = make()
    final = run / 'generations' / 'final'
    with refresh:
        Generation(3, final / 'encoder', final / 'embeddings', final / 'index').report_problem('The disk is full.')
        with pytest.raises(RealmError, match=r'is over, .* of step 3 could not be made: The disk is full\.'):
            refresh.build_final(3)
    # Built elsewhere, it is what there is at once.
    build_generation(run, newest_snapshot(run), tiny_corpus, beam_options=[], lock=None)
    opened = refresh.build_final(3)
    assert opened.generation.encoder == final / 'encoder' and opened.generation.step == 3
    assert len(opened.searcher) == len(opened.embeddings) == 80


# Real processes, real signals.


def is_builder(process):
    line = process.info['cmdline']
    return 'realm_tf.cli' in line and 'refresh' in line and 'realm_tf.guarded_process' not in line


def kill(process):
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def command(name, **options):
    line = [sys.executable, '-m', 'realm_tf.cli', name]
    return line + [text for option, value in options.items() for text in (f'--{option}', str(value))]


@pytest.fixture
def start(tmp_path):
    """Gives a function that starts a command whose output goes to a log; what a failing test leaves is killed."""
    started = []

    def start(*arguments, **options):
        with (tmp_path / 'log').open('a') as log:
            started.append(subprocess.Popen(arguments, stdout=log, stderr=log, **options))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def snapshot_run(tmp_path, first, tiny_config, tiny_corpus):
    """A run with a snapshot of step 3, of the weights that the first generation was made with."""
    config = with_refresh(tiny_config)
    run = prepared(tmp_path / 'run', config)
    publish(run, 3, first, config, tiny_corpus)
    return run


def publish(run, step, first, config, corpus, **which):
    encoder = Encoder.open(first.encoder)
    configuration = recipe(config, *pretrain.RECIPE)
    parameters = read_tensors(encoder.artifact.path / RETRIEVER)
    arguments = parameters, encoder.vocabulary, configuration, open_artifact(corpus)
    return publish_snapshot(epath.Path(run), step, *arguments, **which)


def test_a_builder_ends_when_its_run_is_finished_or_removed(tmp_path, start, tiny_corpus):
    def start_builder(run):
        run.mkdir()
        return start(*command('refresh', run=run, corpus=tiny_corpus))

    finished = start_builder(tmp_path / 'finished')
    finetuned = start_builder(tmp_path / 'finetuned')
    removed = start_builder(tmp_path / 'removed')
    wait_until((tmp_path / 'removed' / 'refresh.lock').exists, removed)
    shutil.rmtree(tmp_path / 'removed')
    for run, kind in (('finished', 'encoder'), ('finetuned', 'model')):
        with make_artifact(tmp_path / run / kind, kind, configuration={}, inputs={}):
            pass
    assert (finished.wait(60), finetuned.wait(60), removed.wait(60)) == (0, 0, 2)
    assert f'{tmp_path}/removed was removed' in (tmp_path / 'log').read_text()

    run = tmp_path / 'removed while it waits'
    run.mkdir()
    with lock(run / 'refresh.lock'):
        waiting = start(*command('refresh', run=run, corpus=tiny_corpus))
        wait_until(lambda: f'Another builder is at work on {run}' in (tmp_path / 'log').read_text(), waiting)
        shutil.rmtree(run)
    assert waiting.wait(60) == 2 and f'{run} was removed' in (tmp_path / 'log').read_text()


def test_one_builder_waits_for_another_to_end(tmp_path, start, tiny_corpus):
    run, log = tmp_path / 'run', tmp_path / 'log'
    run.mkdir()
    line = command('refresh', run=run, corpus=tiny_corpus)
    first = start(*line)
    wait_until((run / 'refresh.lock').exists, first)
    time.sleep(0.2)
    second = start(*line)
    wait_until(lambda: 'Another builder is at work' in log.read_text(), second)
    kill(first)
    with make_artifact(run / 'encoder', 'encoder', configuration={}, inputs={}):
        pass
    assert second.wait(60) == 0


def test_a_corpus_that_the_run_is_not_trained_with_is_refused(snapshot_run, tmp_path):
    with make_artifact(tmp_path / 'corpus', 'corpus', configuration={}, inputs={}) as draft:
        (draft.path / 'blocks').write_text('other blocks')
    run = epath.Path(snapshot_run)
    with pytest.raises(RealmError, match='was not made from the corpus'):
        build_generation(run, newest_snapshot(run), tmp_path / 'corpus', beam_options=[], lock=None)
    assert newest_generation(run, until=100) is None


def test_a_builder_that_is_slower_than_snapshots_come_publishes(snapshot_run, first, tiny_config, tiny_corpus, start):
    run = epath.Path(snapshot_run)
    slow, next_one = generation_of_step(run, 3), generation_of_step(run, 7)
    builder = start(*command('refresh', run=run, corpus=tiny_corpus))
    wait_until((slow.embeddings / 'recipe.json').exists, builder)
    builder.send_signal(signal.SIGSTOP)
    assert not slow.is_published()
    for step in (4, 5, 6, 7):
        publish(run, step, first, with_refresh(tiny_config), tiny_corpus)
    builder.send_signal(signal.SIGCONT)
    # Then it is done with the one before.
    wait_until(next_one.encoder.exists, builder)
    assert slow.is_published()
    builder.terminate()
    assert builder.wait() == 128 + signal.SIGTERM
    require_no_process_at(run)


@pytest.mark.slow
def test_a_builder_killed_at_any_moment_leaves_nothing_half_and_goes_on(
    snapshot_run, first, tiny_corpus, tiny_config, tmp_path, start
):
    run = snapshot_run
    generation = generation_of_step(epath.Path(run), 3)
    embeddings, index = pathlib.Path(generation.embeddings), pathlib.Path(generation.index)
    log = tmp_path / 'log'
    shards = [embeddings / name for name in open_artifact(first.embeddings).files]

    def start_builder(*beam_options, **options):
        return start(*command('refresh', run=run, corpus=tiny_corpus), '--', *beam_options, **options)

    def fails(builder, sentence):
        wait_until(lambda: sentence in (generation_of_step(epath.Path(run), 3).problem() or ''), builder)
        assert sentence in log.read_text()
        assert newest_generation(epath.Path(run), until=100) is None
        builder.terminate()
        assert builder.wait() == 128 + signal.SIGTERM
        require_no_process_at(run)

    def kill_at(builder, moment):
        wait_until(moment, builder)
        # Time to come to where it waits.
        time.sleep(0.3)
        kill(builder)
        require_no_process_at(run)
        assert newest_generation(epath.Path(run), until=100) is None

    # A full disk: no file may become longer than a megabyte.
    builder = start_builder(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)))
    fails(builder, 'File too large')

    # A job that fails: this one is given an option that nobody knows.
    fails(start_builder('--no_such_option'), 'The embedding job ended with status 2')
    assert 'unknown option --no_such_option' in log.read_text()

    # While it embeds.
    builder = start_builder()
    wait_until((embeddings / 'recipe.json').exists, builder)
    with blocked(*shards):
        kill_at(builder, lambda: True)
    assert not any(shard.exists() for shard in shards)

    # Between the embeddings and their manifest.
    builder = start_builder()
    with blocked(embeddings / 'manifest.json'):
        kill_at(builder, lambda: all(shard.exists() for shard in shards))
    embedded_at = [shard.stat().st_mtime_ns for shard in shards]

    # While it indexes, between two files.
    builder = start_builder()
    wait_until((embeddings / 'manifest.json').exists, builder)
    builder.send_signal(signal.SIGSTOP)
    with contextlib.suppress(KeyError):
        configuration = {**config_to_dict(with_refresh(tiny_config).index), 'seed': tiny_config.seed}
        digest = open_artifact(generation.embeddings).digest
        with make_artifact(index, 'index', configuration=configuration, inputs={'embeddings': digest}):
            # It is interrupted, so that its directory is there and goes on to be filled.
            raise KeyError
    (index / 'searcher').mkdir()
    os.mkfifo(index / 'searcher' / 'searcher.json')
    builder.send_signal(signal.SIGCONT)
    kill_at(builder, (index / 'searcher' / 'vectors-00001.npy').exists)
    (index / 'searcher' / 'searcher.json').unlink()

    # Before the manifest.
    with blocked(index / 'manifest.json'):
        builder = start_builder()
        kill_at(builder, (index / 'searcher' / 'searcher.json').exists)
    assert not (index / 'manifest.json').exists()

    # Undisturbed, it goes on: nothing was lost, and what it publishes is whole and right.
    builder = start_builder()
    wait_until(lambda: newest_generation(epath.Path(run), until=100), builder)
    assert [shard.stat().st_mtime_ns for shard in shards] == embedded_at
    for path in (generation.encoder, generation.embeddings, generation.index):
        open_artifact(path).verify()
    np.testing.assert_array_equal(
        Embeddings.open(generation.embeddings).as_array(), Embeddings.open(first.embeddings).as_array()
    )

    # It does not publish an index that finds too little, says so, and stays.
    config = with_refresh(tiny_config)
    publish(
        run,
        4,
        first,
        dataclasses.replace(config, index=dataclasses.replace(config.index, searcher='exact', minimum_recall=2)),
        tiny_corpus,
    )
    wait_until(lambda: generation_of_step(epath.Path(run), 4).problem(), builder)
    assert 'finds too little: recall@8 is 1.000' in generation_of_step(epath.Path(run), 4).problem()
    assert 'finds too little' in log.read_text()
    assert newest_generation(epath.Path(run), until=100).step == 3
    assert builder.poll() is None
    builder.terminate()
    assert builder.wait() == 128 + signal.SIGTERM
    require_no_process_at(run)


@pytest.mark.slow
def test_a_training_and_a_builder_killed_at_any_moment_make_what_they_would_have_made(
    tmp_path, inputs, synchronous, start
):
    config, whole = synchronous
    run = tmp_path / 'run'
    (tmp_path / 'config.yaml').write_text(to_yaml(config))
    third, sixth = (generation_of_step(epath.Path(run), step) for step in (3, 6))
    log = tmp_path / 'log'

    def start_training():
        return start(*command('pretrain', **inputs, output=run, config=tmp_path / 'config.yaml'))

    def builder():
        (process,) = [process for process in processes_at(run) if is_builder(process)]
        return process

    # The builder is killed while it embeds: the training starts another.
    training = start_training()
    wait_until((third.embeddings / 'recipe.json').exists, training)
    kill(builder())
    # The training is killed in the swap.
    wait_until((third.index / 'manifest.json').exists, training)
    kill(training)
    require_no_process_at(run)
    assert 'The index builder ended with status 137' in log.read_text()
    published_at = (third.index / 'manifest.json').stat().mtime

    # Both are killed.
    training = start_training()
    wait_until((sixth.embeddings / 'recipe.json').exists, training)
    both = builder(), training
    for process in both:
        process.send_signal(signal.SIGKILL)
    for process in both:
        process.wait()
    require_no_process_at(run)

    training = start_training()
    assert training.wait() == 0, log.read_text()
    require_no_process_at(run)
    assert 'REALM pre-training: 4/8' in log.read_text()
    # What was published was not made again.
    assert (third.index / 'manifest.json').stat().mtime == published_at
    for made, expected in zip(metrics_of(run), metrics_of(whole), strict=True):
        for name in ('step', 'loss', 'generation', 'gradient_norm'):
            assert made[name] == expected[name]
    for name, tensor in read_tensors(whole / 'encoder' / RETRIEVER).items():
        np.testing.assert_array_equal(tensor, read_tensors(run / 'encoder' / RETRIEVER)[name])
