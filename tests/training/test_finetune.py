"""Fine-tuning: what is trained, what is kept, and that a killed one goes on as if it had not been."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from realm_tf.artifacts import open_artifact
from realm_tf.config import load_config, recipe, sections_of_finetuning
from realm_tf.corpus.block_store import BlockStore
from realm_tf.corpus.questions import Question, read_questions
from realm_tf.errors import RealmError
from realm_tf.evaluation.answers import blocks_with_answers
from realm_tf.search.embeddings import Embeddings
from realm_tf.search.index import open_index
from realm_tf.training import finetune
from realm_tf.training.finetuning_batch import FinetuningBatches
from realm_tf.training.runs import prepare_run
from realm_tf.weights.encoder_artifact import RETRIEVER
from realm_tf.weights.model_artifact import READER, Model
from realm_tf.weights.tensor_files import read_tensors
from tests.embedded import write_embeddings

SETTINGS = {
    'encoder.dropout': 0.0,
    'finetune.reader_length': 72,
    'finetune.reader_blocks': 6,
    'finetune.optimizer.warmup_steps': 1,
}
TIMES = ('seconds', 'waited_seconds', 'waited_share', 'examples_per_second', 'retrieval_seconds')


@pytest.fixture(scope='module')
def train(tiny_corpus, tiny_encoder, tiny_embeddings, first, tiny_questions, tmp_path_factory):
    """Trains on the tiny questions with some settings; gives the directory of the run."""
    paths = {'corpus': tiny_corpus, 'embeddings': tiny_embeddings}
    inputs = {role: open_artifact(path, role).digest for role, path in paths.items()}
    questions = read_questions(tiny_questions).questions

    def run_with(start=tiny_encoder, development=(), **overrides):
        config = load_config('tiny', overrides=SETTINGS | {f'finetune.{name}': v for name, v in overrides.items()})
        run = tmp_path_factory.mktemp('finetune')
        prepare_run(run, 'model', configuration=recipe(config, *sections_of_finetuning(config)), inputs=inputs)
        finetune.train(
            tiny_corpus,
            start,
            tiny_embeddings,
            first.index,
            questions,
            run,
            config,
            inputs,
            development=questions[:8] if development else (),
        )
        return run

    return run_with


def metrics_of(run):
    path = run / 'metrics.jsonl'
    lines = [json.loads(line) for line in path.read_text().splitlines() if line.endswith('}')] if path.exists() else []
    return [{name: value for name, value in line.items() if name not in TIMES} for line in lines]


def test_the_best_weights_are_published_and_patience_ends(train):
    run = train(development=True, epochs=6, measure_every=2, patience=2, checkpoint_every=3)
    measured = {line['step']: line['dev/exact_match'] for line in metrics_of(run) if 'dev/exact_match' in line}
    best = max(measured, key=lambda step: (measured[step], -step))
    assert open_artifact(run / 'model', 'model').counts['step'] == best
    assert (run / 'checkpoints' / f'step-{best:08d}' / 'manifest.json').exists()
    last = max(measured)
    assert metrics_of(run)[-1]['step'] == last
    assert last == min(best + 4, 60)
    assert all('dev/recall' in line for line in metrics_of(run) if line['step'] % 2 == 0)
    curves = EventAccumulator(str(run / 'tensorboard')).Reload()
    assert [point.step for point in curves.Tensors('loss')] == [line['step'] for line in metrics_of(run)]
    assert [point.step for point in curves.Tensors('dev/exact_match')] == sorted(measured)


def test_the_retriever_alone_leaves_the_reader_and_a_model_is_gone_on_with(train):
    first_run = train(objective='retriever', max_steps=3, development=True)
    assert 'reader_loss' not in metrics_of(first_run)[0]
    # Fewer steps than an epoch has: measured after the last.
    assert 'dev/recall' in metrics_of(first_run)[-1] and 'dev/exact_match' not in metrics_of(first_run)[-1]
    second_run = train(start=first_run / 'model', max_steps=2)
    before, after = (read_tensors(run / 'model' / READER) for run in (first_run, second_run))
    # The body of the reader is that of the encoder until it is trained.
    assert any((before[name] != after[name]).any() for name in before)
    one, other = (read_tensors(run / 'model' / RETRIEVER) for run in (first_run, second_run))
    assert any((one[name] != other[name]).any() for name in one)


def test_the_reader_alone_leaves_the_retriever(train):
    first_run = train(objective='retriever', max_steps=3)
    second_run = train(start=first_run / 'model', objective='reader', max_steps=2, development=True)
    assert 'reader_loss' in metrics_of(second_run)[0] and 'dev/exact_match' in metrics_of(second_run)[-1]
    assert metrics_of(second_run)[0]['loss'] == metrics_of(second_run)[0]['reader_loss']
    before, after = (read_tensors(run / 'model' / RETRIEVER) for run in (first_run, second_run))
    assert all((before[name] == after[name]).all() for name in before)
    before, after = (read_tensors(run / 'model' / READER) for run in (first_run, second_run))
    assert any((before[name] != after[name]).any() for name in before)


def test_patterns_have_gold_spans_where_they_match(tiny_corpus, tiny_embeddings, first, tiny_encoder):
    from realm_tf.weights.encoder_artifact import Encoder

    corpus, embeddings = BlockStore.open(tiny_corpus), Embeddings.open(tiny_embeddings)
    questions = [Question('When?', (r'\d+ May 18\d\d',), True), Question('When?', ('1 May 1800', '2 May 1801'))]
    config = load_config('tiny', overrides=SETTINGS | {'finetune.reader_blocks': 80})
    retriever = Encoder.open(tiny_encoder).retriever(config)
    batch = FinetuningBatches(corpus, questions, blocks_with_answers(corpus, questions), config).of_questions(
        np.array([0, 1]),
        lambda ids: np.asarray(retriever.embed_queries(ids)),
        embeddings,
        open_index(first.index, embeddings.artifact),
    )
    is_gold = batch['is_gold'][0]
    texts = corpus.texts(np.arange(len(corpus)))
    assert batch['has_answer'][0].sum() == sum(' May 18' in text for text in texts)
    for block, has_answer in enumerate(batch['has_answer'][0, : config.finetune.reader_blocks]):
        assert is_gold[block].any() == has_answer
    assert is_gold.any()


def test_what_cannot_be_trained_is_refused(train):
    with pytest.raises(RealmError, match=r'reader_blocks = 6 blocks cannot be read'):
        train(num_candidates=2)
    with pytest.raises(RealmError, match=r'40 questions are fewer than a batch'):
        train(batch_size=64)
    with pytest.raises(
        RealmError, match=r'With finetune.reader_length an input has 600 wordpieces, and the encoder has'
    ):
        train(reader_length=600)


def test_of_two_towers_that_of_the_documents_stays(
    tmp_path, tiny_corpus, pretrained_directory, tiny_questions, tiny_embeddings, first
):
    from realm_tf.search.index import build_index
    from realm_tf.weights.import_weights import import_weights

    config = load_config('tiny', overrides=SETTINGS | {'retriever.shared_towers': False, 'finetune.max_steps': 2})
    import_weights([pretrained_directory], tmp_path / 'encoder', config, random=True)
    vectors = Embeddings.open(tiny_embeddings).as_array()
    write_embeddings(tmp_path / 'embeddings', tiny_corpus, tmp_path / 'encoder', vectors)
    build_index(tmp_path / 'embeddings', tmp_path / 'index', dataclasses.replace(config.index, searcher='exact'))
    prepare_run(tmp_path / 'run', 'model', configuration=recipe(config, *sections_of_finetuning(config)), inputs={})
    questions = read_questions(tiny_questions).questions
    paths = (tiny_corpus, tmp_path / 'encoder', tmp_path / 'embeddings', tmp_path / 'index')
    finetune.train(*paths, questions, tmp_path / 'run', config, {})
    before, after = (read_tensors(tmp_path / part / RETRIEVER) for part in ('encoder', 'run/model'))
    changed = {name.partition('/')[0] for name in before if (before[name] != after[name]).any()}
    assert changed == {'query_tower'}
    # Which can be trained on, documents too.
    Model.open(tmp_path / 'run' / 'model').require_document_tower()


@pytest.mark.slow
def test_a_killed_finetuning_goes_on_as_if_it_had_not_been(
    tmp_path, tiny_corpus, tiny_encoder, tiny_embeddings, first, tiny_questions
):
    # So many steps that the training is not over before it is killed, even where this process waits for a processor.
    settings = SETTINGS | {'encoder.dropout': 0.1, 'finetune.epochs': 8, 'finetune.measure_every': 5}
    settings |= {'finetune.checkpoint_every': 4}
    paths = {'corpus': tiny_corpus, 'encoder': tiny_encoder, 'embeddings': tiny_embeddings, 'index': first.index}
    # The last line is cut off: the others are trained on, and the status tells.
    questions = tmp_path / 'questions.jsonl'
    questions.write_text(tiny_questions.read_text() + '{"question": "Wh')
    paths |= {'questions': questions, 'dev': tiny_questions}
    command = [sys.executable, '-m', 'realm_tf.cli', 'finetune', '--preset', 'tiny']
    command += [part for role, path in paths.items() for part in (f'--{role}', str(path))]
    command += [part for name, value in settings.items() for part in ('--set', f'{name}={value}')]
    # Several threads do not always add up in the same order, and then the last bit of a sum is another.
    one_thread = os.environ | {'TF_NUM_INTRAOP_THREADS': '1', 'TF_NUM_INTEROP_THREADS': '1'}
    whole, killed = tmp_path / 'whole', tmp_path / 'killed'
    assert subprocess.run([*command, '--output', str(whole)], env=one_thread).returncode == 3
    expected = metrics_of(whole)
    for steps_made in (2, 13):
        with subprocess.Popen([*command, '--output', str(killed)], env=one_thread) as training:
            try:
                while len(metrics_of(killed)) < steps_made:
                    assert training.poll() is None
                    time.sleep(0.002)
            finally:
                training.kill()
        assert training.returncode == -signal.SIGKILL
        assert len(metrics_of(killed)) < len(expected)
    assert subprocess.run([*command, '--output', str(killed)], env=one_thread).returncode == 3
    assert metrics_of(killed) == expected
    manifests = [open_artifact(run / 'model', 'model') for run in (whole, killed)]
    assert manifests[0].digest == manifests[1].digest
