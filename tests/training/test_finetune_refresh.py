"""Fine-tuning that trains the document tower too, with an index that is refreshed."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from etils import epath

from realm_tf.artifacts import open_artifact
from realm_tf.config import load_config, recipe, sections_of_finetuning
from realm_tf.corpus.block_store import BlockStore
from realm_tf.corpus.questions import read_questions
from realm_tf.errors import RealmError
from realm_tf.evaluation.answers import blocks_with_answers
from realm_tf.search.embeddings import Embeddings
from realm_tf.search.index import open_index
from realm_tf.text.packing import pack_documents
from realm_tf.training import finetune
from realm_tf.training.finetuning_batch import FinetuningBatches
from realm_tf.training.finetuning_loss import finetuning_loss
from realm_tf.training.runs import prepare_run
from realm_tf.weights.encoder_artifact import RETRIEVER, Encoder
from realm_tf.weights.model_artifact import Model
from realm_tf.weights.networks import make_reader, make_retriever
from realm_tf.weights.parameters import assign_parameters, named_parameters
from realm_tf.weights.tensor_files import read_tensors
from tests.embedded import write_embeddings

SETTINGS = {
    'encoder.dropout': 0.0,
    'index.searcher': 'exact',
    'finetune.reader_length': 72,
    'finetune.refresh': 'synchronous',
    'finetune.refresh_every': 2,
    'finetune.optimizer.warmup_steps': 1,
}
TIMES = (
    'seconds',
    'waited_seconds',
    'waited_share',
    'examples_per_second',
    'retrieval_seconds',
    'staleness_minutes',
    'index_waited_seconds',
)


def metrics_of(run):
    path = run / 'metrics.jsonl'
    lines = [json.loads(line) for line in path.read_text().splitlines() if line.endswith('}')] if path.exists() else []
    return [{name: value for name, value in line.items() if name not in TIMES} for line in lines]


def final(run, part):
    return epath.Path(run) / 'generations' / 'final' / part


# The step.


@pytest.fixture(scope='module')
def two_towers(tiny_encoder):
    """A retriever of two towers, both with the weights that the tiny embeddings were made with."""
    one = named_parameters(Encoder.open(tiny_encoder).retriever().query_tower)
    retriever = make_retriever(load_config('tiny', overrides=SETTINGS | {'retriever.shared_towers': False}))
    for tower in (retriever.query_tower, retriever.document_tower):
        assign_parameters(tower, {name: np.asarray(value) for name, value in one.items()}, source='the tiny encoder')
    return retriever


@pytest.fixture(scope='module')
def step(two_towers, tiny_corpus, tiny_embeddings, first, tiny_questions):
    """Gives a function of settings that makes the loss of a batch, and its gradients of either tower."""
    corpus, embeddings = BlockStore.open(tiny_corpus), Embeddings.open(tiny_embeddings)
    searcher = open_index(first.index, embeddings.artifact)
    questions = read_questions(tiny_questions).questions

    def make(**settings):
        config = load_config('tiny', overrides=SETTINGS | {f'finetune.{name}': v for name, v in settings.items()})
        batch = FinetuningBatches(corpus, questions, blocks_with_answers(corpus, questions), config).of_questions(
            np.arange(4), lambda ids: np.asarray(two_towers.embed_queries(ids)), embeddings, searcher
        )
        reader = make_reader(config) if config.finetune.objective == 'joint' else None
        with tf.GradientTape() as tape:
            made = finetuning_loss(two_towers, reader, {name: tf.constant(a) for name, a in batch.items()}, config)
        towers = {name: getattr(two_towers, name).trainable_variables for name in ('query_tower', 'document_tower')}
        return batch, made, tape.gradient(made.loss.total, towers)

    return make


def norm(gradients):
    return sum(float(tf.norm(tf.convert_to_tensor(gradient))) for gradient in gradients if gradient is not None)


@pytest.mark.parametrize('objective', ['joint', 'retriever'])
def test_the_gradient_reaches_the_document_tower_with_a_refresh_alone(step, two_towers, objective):
    batch, frozen, gradients = step(refresh='none', objective=objective)
    assert 'fresh_ids' not in batch
    assert norm(gradients['query_tower']) > 0
    assert all(gradient is None for gradient in gradients['document_tower'])

    batch, trained, gradients = step(objective=objective)
    assert norm(gradients['query_tower']) > 0 and norm(gradients['document_tower']) > 0
    # Those that are read, unless it is set.
    assert len(batch['fresh_ids']) == 4 * 3
    # By the weights of the index, what is embedded again is what the index has.
    embedded = np.asarray(two_towers.embed_documents(batch['fresh_ids'], batch['fresh_segments']))
    of_index = batch['candidate_embeddings'][:, :3].reshape(embedded.shape)
    np.testing.assert_allclose(embedded, of_index, atol=1e-4)
    np.testing.assert_allclose(trained.loss.total, frozen.loss.total, rtol=1e-4)


def test_as_many_candidates_are_embedded_again_as_is_said(step):
    batch_of_few, few, _ = step(objective='retriever', fresh_candidates=1)
    batch_of_many, many, _ = step(objective='retriever', fresh_candidates=40)
    assert len(batch_of_few['fresh_ids']) == 4 and len(batch_of_many['fresh_ids']) == 4 * 40
    np.testing.assert_allclose(few.loss.total, many.loss.total, rtol=1e-4)
    # More than there are blocks: none stands for those that are missing.
    batch, all_blocks, gradients_of_all = step(objective='retriever', num_candidates=100, fresh_candidates=100)
    assert (batch['fresh_blocks'].reshape(4, 100) < 0).sum(axis=1).min() > 0
    assert np.isfinite(all_blocks.loss.total) and np.isfinite(norm(gradients_of_all['document_tower']))


# The training.


def train(paths, questions, run, config, development=()):
    inputs = {role: open_artifact(path, role).digest for role, path in paths.items()}
    configuration = recipe(config, *sections_of_finetuning(config))
    if prepare_run(run, 'model', configuration=configuration, inputs=inputs):
        finetune.train(*paths.values(), questions, run, config, inputs, development=development)
        return True
    return False


@pytest.fixture(scope='module')
def paths(tiny_corpus, first):
    return {'corpus': tiny_corpus, 'encoder': first.encoder, 'embeddings': first.embeddings, 'index': first.index}


def require_own_embeddings(run, corpus_path):
    """Checks that the model's embeddings are those of its document tower, and its index that of the embeddings."""
    model, corpus = Model.open(run / 'model'), BlockStore.open(corpus_path)
    embeddings = Embeddings.open(final(run, 'embeddings'))
    model.artifact.require_input('embeddings', embeddings.artifact)
    model.artifact.require_input('index', open_artifact(final(run, 'index'), 'index'))
    model.require_embeddings(embeddings.artifact)
    blocks = np.arange(len(corpus))
    packed = pack_documents(corpus.title_ids(blocks), corpus.body_ids(blocks), corpus.block_length, corpus.vocabulary)
    embedded = np.asarray(model.retriever().embed_documents(packed.token_ids, packed.segment_ids))
    np.testing.assert_allclose(embeddings.as_array(), embedded, atol=1e-5)
    # By the same tower, it can answer from other corpora.
    encoder = open_artifact(final(run, 'encoder'), 'encoder')
    assert model.artifact.inputs['encoder'] == encoder.digest == embeddings.artifact.inputs['encoder']
    assert model.artifact.counts['step'] == encoder.counts['step']
    return model


@pytest.mark.slow
def test_a_refreshed_finetuning_ends_in_embeddings_of_its_own(tmp_path, paths, tiny_questions, tiny_encoder):
    config = load_config('tiny', overrides=SETTINGS | {'finetune.max_steps': 7, 'finetune.measure_every': 3})
    questions = read_questions(tiny_questions).questions
    assert train(paths, questions, tmp_path / 'run', config, development=questions[:4])
    metrics = metrics_of(tmp_path / 'run')
    # Two steps after a snapshot the first batch is made with its generation.
    assert [line['generation'] for line in metrics] == [0, 0, 0, 2, 2, 4, 4]
    assert all(line['staleness_steps'] == line['step'] - line['generation'] for line in metrics)
    assert [line['step'] for line in metrics if 'drift' in line] == [2, 4, 6]
    assert all(line['drift'] < 0.9999 for line in metrics if 'drift' in line)
    assert [line['step'] for line in metrics if 'dev/exact_match' in line] == [3, 6, 7]
    model = require_own_embeddings(tmp_path / 'run', paths['corpus'])
    start, end = (read_tensors(path / RETRIEVER) for path in (tiny_encoder, model.artifact.path))
    assert any((start[name] != end[name]).any() for name in start)
    # The run is finished, though its model does not answer with what it was begun with.
    assert not train(paths, questions, tmp_path / 'run', config)

    # And is gone on with from there, with its documents or without.
    model.require_document_tower()
    paths = paths | {part: final(tmp_path / 'run', part) for part in ('embeddings', 'index')}
    del paths['encoder']
    again = {'corpus': paths.pop('corpus'), 'model': tmp_path / 'run' / 'model', **paths}
    config = load_config('tiny', overrides=SETTINGS | {'finetune.refresh': 'none', 'finetune.max_steps': 1})
    assert train(again, questions, tmp_path / 'again', config)
    frozen = Model.open(tmp_path / 'again' / 'model')
    frozen.artifact.require_input('embeddings', open_artifact(final(tmp_path / 'run', 'embeddings'), 'embeddings'))
    with pytest.raises(RealmError, match='one tower for queries and documents'):
        frozen.require_document_tower()
    assert 'generation' not in metrics_of(tmp_path / 'again')[0]


@pytest.mark.slow
def test_of_two_towers_both_are_trained(tmp_path, two_towers, paths, tiny_corpus, tiny_encoder, tiny_questions):
    from realm_tf.search.index import build_index
    from realm_tf.weights.encoder_artifact import write_encoder

    overrides = {'retriever.shared_towers': False, 'finetune.max_steps': 4, 'finetune.objective': 'retriever'}
    config = load_config('tiny', overrides=SETTINGS | overrides)
    one = Encoder.open(tiny_encoder)
    write_encoder(
        tmp_path / 'encoder',
        configuration=recipe(config),
        vocabulary=one.vocabulary,
        retriever=two_towers,
        knowledge_augmented_encoder=one.knowledge_augmented_encoder(),
        inputs={},
        step=0,
    )
    vectors = Embeddings.open(paths['embeddings']).as_array()
    write_embeddings(tmp_path / 'embeddings', tiny_corpus, tmp_path / 'encoder', vectors)
    build_index(tmp_path / 'embeddings', tmp_path / 'index', config.index)
    paths = {'corpus': tiny_corpus} | {name: tmp_path / name for name in ('encoder', 'embeddings', 'index')}
    assert train(paths, read_questions(tiny_questions).questions, tmp_path / 'run', config)
    model = require_own_embeddings(tmp_path / 'run', tiny_corpus)
    before, after = (read_tensors(path / RETRIEVER) for path in (tmp_path / 'encoder', model.artifact.path))
    changed = {name.partition('/')[0] for name in before if (before[name] != after[name]).any()}
    assert changed == {'query_tower', 'document_tower'}


def test_documents_are_not_trained_by_a_tower_that_was_trained_on_queries(tmp_path, paths, tiny_model, tiny_questions):
    others = {name: path for name, path in paths.items() if name != 'encoder'}
    paths = {'corpus': others.pop('corpus'), 'model': tiny_model, **others}
    config = load_config('tiny', overrides=SETTINGS | {'finetune.max_steps': 6})
    with pytest.raises(RealmError, match=r'fine-tuned with frozen documents.*shared_towers=false'):
        train(paths, read_questions(tiny_questions).questions, tmp_path / 'run', config)


def test_a_training_that_would_never_be_refreshed_is_refused(tmp_path, paths, tiny_questions):
    config = load_config('tiny', overrides=SETTINGS | {'finetune.refresh_every': 9, 'finetune.max_steps': 10})
    with pytest.raises(RealmError, match='never be refreshed: the training has 10 steps'):
        train(paths, read_questions(tiny_questions).questions, tmp_path / 'run', config)


@pytest.mark.slow
def test_a_killed_refreshed_finetuning_goes_on_as_if_it_had_not_been(tmp_path, paths, tiny_questions):
    settings = SETTINGS | {'encoder.dropout': 0.1, 'finetune.refresh_every': 3, 'finetune.checkpoint_every': 4}
    settings |= {'finetune.measure_every': 4}
    command = [sys.executable, '-m', 'realm_tf.cli', 'finetune', '--preset', 'tiny']
    options = paths | {'questions': tiny_questions, 'dev': tiny_questions}
    command += [part for role, path in options.items() for part in (f'--{role}', str(path))]
    command += [part for name, value in settings.items() for part in ('--set', f'{name}={value}')]
    whole, killed = tmp_path / 'whole', tmp_path / 'killed'
    subprocess.run([*command, '--output', str(whole)], check=True)
    expected = metrics_of(whole)
    assert [line['generation'] for line in expected] == [0, 0, 0, 0, 3, 3, 3, 6, 6, 6]

    def kill_when(moment):
        with subprocess.Popen([*command, '--output', str(killed)]) as training:
            try:
                while not moment():
                    assert training.poll() is None
                    time.sleep(0.002)
            finally:
                training.kill()
        assert training.returncode == -signal.SIGKILL and not (killed / 'model').exists()

    # After a checkpoint, with a generation that the training went on from; then in the wait for its end.
    kill_when(lambda: len(metrics_of(killed)) > 5)
    kill_when((final(killed, 'encoder') / 'manifest.json').exists)
    subprocess.run([*command, '--output', str(killed)], check=True)
    assert metrics_of(killed) == expected
    # Of the encoder, the SavedModel is written in other bytes each time.
    for path in ('model', 'generations/final/embeddings', 'generations/final/index'):
        assert open_artifact(whole / path).files == open_artifact(killed / path).files
