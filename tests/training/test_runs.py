"""ICT and fine-tuning end to end, on a corpus of a few towns: resume, lineage. Pre-training is in test_refresh.py."""

import concurrent.futures
import dataclasses
import functools
import json
import os
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from realm_tf.artifacts import open_artifact
from realm_tf.config import config_from_dict, config_to_dict, recipe
from realm_tf.corpus.questions import read_questions
from realm_tf.errors import RealmError
from realm_tf.locks import lock
from realm_tf.training import finetune, ict, loop, runs
from realm_tf.training.checkpoints import steps_below
from realm_tf.training.runs import prepare_run
from realm_tf.weights.encoder_artifact import RETRIEVER, Encoder, write_encoder
from realm_tf.weights.tensor_files import read_tensors


def with_settings(config, section, **settings):
    return dataclasses.replace(config, **{section: dataclasses.replace(getattr(config, section), **settings)})


def prepared(run, result, config, *sections):
    assert prepare_run(run, result, configuration=recipe(config, *sections), inputs={}, overwrite=True)
    return run


def losses(run):
    return [json.loads(line)['loss'] for line in (run / 'metrics.jsonl').read_text().splitlines()]


def test_ict_learns_and_a_killed_run_goes_on_as_if_it_had_not_been(
    tmp_path, tiny_corpus, tiny_encoder, tiny_config, capsys
):
    config = with_settings(tiny_config, 'ict', steps=12, batch_size=8, checkpoint_every=5)
    config = with_settings(config, 'encoder', dropout=0.1)
    whole = prepared(tmp_path / 'whole', 'encoder', config, 'ict')
    ict.train(tiny_corpus, tiny_encoder, whole, config)
    assert np.mean(losses(whole)[-4:]) < np.mean(losses(whole)[:4])

    killed = prepared(tmp_path / 'killed', 'encoder', config, 'ict')
    program = (
        'import json, os, pathlib, sys, signal, time\n'
        'from realm_tf.config import config_from_dict\n'
        'from realm_tf.training import ict, loop\n'
        'class Killing(loop.Progress):\n'
        '    def advance(self, *arguments, **figures):\n'
        '        super().advance(*arguments, **figures)\n'
        '        self.made = getattr(self, "made", 0) + 1\n'
        '        if self.made < 8: return\n'
        '        while not list(pathlib.Path(sys.argv[3]).glob("checkpoints/*/manifest.json")): time.sleep(0.01)\n'
        '        os.kill(os.getpid(), signal.SIGKILL)\n'
        'loop.Progress = Killing\n'
        'ict.train(*sys.argv[1:4], config_from_dict(json.loads(sys.argv[4])))\n'
    )
    arguments = [str(tiny_corpus), str(tiny_encoder), str(killed), json.dumps(config_to_dict(config))]
    ended = subprocess.run([sys.executable, '-c', program, *arguments], env=os.environ, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not (killed / 'encoder').exists()
    assert steps_below(killed / 'checkpoints') == [5]
    capsys.readouterr()
    ict.train(tiny_corpus, tiny_encoder, killed, config)
    assert 'ICT: 5/12' in capsys.readouterr().err
    assert losses(killed) == losses(whole)
    for name, tensor in read_tensors(whole / 'encoder' / RETRIEVER).items():
        np.testing.assert_array_equal(tensor, read_tensors(killed / 'encoder' / RETRIEVER)[name])


def test_a_training_asked_to_stop_says_so_and_ends_with_a_checkpoint(
    tmp_path, tiny_corpus, tiny_encoder, tiny_config, monkeypatch, capfd
):
    config = with_settings(tiny_config, 'ict', steps=6, batch_size=8, checkpoint_every=5)
    whole = prepared(tmp_path / 'whole', 'encoder', config, 'ict')
    ict.train(tiny_corpus, tiny_encoder, whole, config)

    class Stopping(loop.Progress):
        def advance(self, *arguments, **figures):
            super().advance(*arguments, **figures)
            signal.raise_signal(signal.SIGTERM)

    stopped = prepared(tmp_path / 'stopped', 'encoder', config, 'ict')
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, 'Progress', Stopping)
        ict.train(tiny_corpus, tiny_encoder, stopped, config)
    assert 'The training ends with a checkpoint after this step' in capfd.readouterr().err
    assert steps_below(stopped / 'checkpoints') == [1]
    ict.train(tiny_corpus, tiny_encoder, stopped, config)
    assert losses(stopped) == losses(whole)


@pytest.mark.parametrize(
    'limit, checkpoint_every, written',
    # The curves are longer than the metrics are.
    [(20_000, 100, 'tensorboard'), (1_000_000, 1, 'checkpoints/step-00000001')],
)
def test_a_disk_that_takes_no_more_ends_a_training_with_a_sentence(
    tmp_path, tiny_corpus, tiny_encoder, limit, checkpoint_every, written
):
    settings = {'ict.steps': 100, 'ict.batch_size': 2, 'ict.checkpoint_every': checkpoint_every}
    command = [sys.executable, '-m', 'realm_tf.cli', 'ict', '--preset', 'tiny', '--output', str(tmp_path / 'run')]
    command += ['--corpus', str(tiny_corpus), '--encoder', str(tiny_encoder)]
    command += [part for name, value in settings.items() for part in ('--set', f'{name}={value}')]
    # A limit for the files of a process stands in for the end of the disk: a write fails in the same way.
    limited = functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (limit, limit))
    ended = subprocess.run(command, preexec_fn=limited, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == f'realm: {tmp_path}/run/{written}: File too large.'
    assert 'Traceback' not in ended.stderr


def test_finetuning_learns_to_answer(
    tmp_path, tiny_corpus, tiny_encoder, tiny_embeddings, tiny_index, tiny_questions, tiny_config
):
    config = with_settings(tiny_config, 'finetune', epochs=3, batch_size=4, num_candidates=100, reader_length=72)
    run = prepared(tmp_path / 'run', 'model', config, 'finetune')
    questions = read_questions(tiny_questions).questions
    finetune.train(tiny_corpus, tiny_encoder, tiny_embeddings, tiny_index, questions, run, config, inputs={})
    assert np.mean(losses(run)[-5:]) < np.mean(losses(run)[:5])
    assert config_from_dict(open_artifact(run / 'model', 'model').configuration).finetune == config.finetune


def test_embeddings_of_another_encoder_are_refused(
    tmp_path, tiny_corpus, pretrained_directory, tiny_embeddings, tiny_index, tiny_config
):
    from realm_tf.weights.import_weights import import_weights

    other = dataclasses.replace(tiny_config, seed=1)
    import_weights([pretrained_directory], tmp_path / 'encoder', other, random=True)
    with pytest.raises(RealmError, match='was not made from the encoder'):
        finetune.train(tiny_corpus, tmp_path / 'encoder', tiny_embeddings, tiny_index, [], tmp_path, other, inputs={})


def test_ict_refuses_an_encoder_without_a_reader_at_once(tmp_path, tiny_corpus, tiny_encoder, tiny_config):
    whole = Encoder.open(tiny_encoder)
    write_encoder(
        tmp_path / 'encoder',
        configuration=whole.artifact.configuration,
        vocabulary=whole.vocabulary,
        retriever=whole.retriever(),
        knowledge_augmented_encoder=None,
        inputs={},
        step=0,
    )
    run = prepared(tmp_path / 'run', 'encoder', tiny_config, 'ict')
    with pytest.raises(RealmError, match='has a retriever only: name an encoder that has'):
        ict.train(tiny_corpus, tmp_path / 'encoder', run, tiny_config)
    assert not (run / 'metrics.jsonl').exists()


def test_a_run_with_other_settings_is_not_thrown_away_unasked(tmp_path, tiny_config):
    prepared(tmp_path / 'run', 'encoder', tiny_config, 'ict')
    (tmp_path / 'run' / 'checkpoints').mkdir()
    other = recipe(with_settings(tiny_config, 'ict', steps=3), 'ict')
    with pytest.raises(RealmError, match='other settings or inputs'):
        prepare_run(tmp_path / 'run', 'encoder', configuration=other, inputs={})
    assert (tmp_path / 'run' / 'checkpoints').exists()


def test_two_processes_do_not_train_in_one_directory(tmp_path):
    prepare = "prepare_run(sys.argv[1], 'encoder', configuration={'ict': 1}, inputs={}); print(flush=True); input()"
    program = f'import sys; from realm_tf.training.runs import prepare_run; {prepare}'
    run = tmp_path / 'run'
    command = [sys.executable, '-c', program, str(run)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline()
        (run / 'checkpoints').mkdir()
        for wanted, overwrite in (({'ict': 1}, False), ({'ict': 1}, True), ({'ict': 2}, True)):
            with pytest.raises(RealmError, match=f'is in use by process {other.pid} on'):
                prepare_run(run, 'encoder', configuration=wanted, inputs={}, overwrite=overwrite)
        assert (run / 'checkpoints').exists()
        other.kill()
    for wanted, kept in (({'ict': 1}, True), ({'ict': 2}, False)):
        assert prepare_run(run, 'encoder', configuration=wanted, inputs={}, overwrite=True)
        assert (run / 'checkpoints').exists() == kept


def test_of_several_workers_the_first_makes_the_directory_ready(tmp_path, monkeypatch):
    run, settings = tmp_path / 'run', {'configuration': {'ict': 2}, 'inputs': {}, 'overwrite': True}
    assert prepare_run(run, 'encoder', configuration={'ict': 1}, inputs={})
    (run / 'checkpoints').mkdir()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        other = pool.submit(prepare_run, run, 'encoder', **settings, is_chief=False)
        time.sleep(0.5)
        assert not other.done() and (run / 'checkpoints').exists()
        assert prepare_run(run, 'encoder', **settings)
        assert other.result() and not (run / 'checkpoints').exists()
    monkeypatch.setattr(runs, '_SECONDS_UNTIL_CHIEF_COMES', 0.3)
    with pytest.raises(RealmError, match='The first worker has not written'):
        prepare_run(tmp_path / 'elsewhere', 'encoder', **settings, is_chief=False)


def test_a_run_is_not_thrown_away_under_its_builder(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, '_SECONDS_UNTIL_BUILDER_ENDS', 0.2)
    run = tmp_path / 'run'
    assert prepare_run(run, 'encoder', configuration={'ict': 1}, inputs={})
    (run / 'generations').mkdir()
    with lock(run / runs.REFRESH_LOCK), pytest.raises(RealmError, match='is in use by process'):
        prepare_run(run, 'encoder', configuration={'ict': 2}, inputs={}, overwrite=True)
    assert (run / 'generations').exists()
    assert prepare_run(run, 'encoder', configuration={'ict': 2}, inputs={}, overwrite=True)
    assert not (run / 'generations').exists()


def test_a_run_that_was_refused_is_not_in_the_way_of_the_right_one(
    tmp_path, tiny_corpus, tiny_encoder, tiny_embeddings, tiny_index, tiny_questions, tiny_config
):
    def tried(**settings):
        config = with_settings(tiny_config, 'finetune', epochs=1, batch_size=4, reader_length=72, **settings)
        assert prepare_run(tmp_path / 'run', 'model', configuration=recipe(config, 'finetune'), inputs={})
        questions = read_questions(tiny_questions).questions
        inputs = (tiny_corpus, tiny_encoder, tiny_embeddings, tiny_index, questions)
        return finetune.train(*inputs, tmp_path / 'run', config, inputs={})

    with pytest.raises(RealmError, match='3 accumulation steps'):
        tried(accumulation_steps=3)
    with pytest.raises(RealmError, match=r'cannot be read of finetune\.num_candidates = 1'):
        tried(num_candidates=1)
    assert tried(num_candidates=100).kind == 'model'
