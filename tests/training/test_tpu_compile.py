"""The training step compiles for a TPU."""

import dataclasses
import subprocess

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.peers import python_of
from benchmarks.tpu_compile import COMPILER, compiled, write_step
from benchmarks.tpu_step import batch_specs
from realm_tf.config import load_config
from realm_tf.corpus.block_store import BlockStore
from realm_tf.corpus.questions import Question
from realm_tf.corpus.span_store import SpanStore
from realm_tf.evaluation.answers import blocks_with_answers
from realm_tf.search.embeddings import Embeddings
from realm_tf.search.index import open_index
from realm_tf.training.current_index import CurrentIndex
from realm_tf.training.finetuning_batch import FinetuningBatches
from realm_tf.training.generations import Generation
from realm_tf.training.ict import inverse_cloze_batch
from realm_tf.training.pretraining_batch import PretrainingBatches
from realm_tf.weights.encoder_artifact import Encoder

REPLICAS = 4


def test_the_batch_that_is_compiled_for_is_the_one_that_is_made(
    tmp_path, tiny_corpus, tiny_spans, tiny_encoder, tiny_embeddings, tiny_index, tiny_config
):
    corpus = BlockStore.open(tiny_corpus)
    spans = SpanStore.open(tiny_spans, corpus)
    retriever = Encoder.open(tiny_encoder).retriever(tiny_config)
    index = CurrentIndex(tmp_path, retriever, Generation(0, tiny_encoder, tiny_embeddings, tiny_index))
    generator = np.random.default_rng(0)
    embeddings = Embeddings.open(tiny_embeddings)
    searcher = open_index(tiny_index, embeddings.artifact)
    questions = [Question(f'Who founded {town}?', (town,)) for town in ('Alba', 'Brevo', 'Cardo', 'Dorn')]

    def batch_of_questions(config):
        batches = FinetuningBatches(corpus, questions, blocks_with_answers(corpus, questions), config)
        return batches.of_questions(
            np.arange(4), lambda ids: np.asarray(retriever.embed_queries(ids)), embeddings, searcher
        )

    batches = {
        'finetune': batch_of_questions(tiny_config),
        'pretrain': PretrainingBatches(corpus, corpus, spans, tiny_config).of_step(0, index),
        'ict': inverse_cloze_batch(
            corpus, np.arange(len(corpus))[: tiny_config.ict.batch_size], tiny_config, generator
        ),
    }
    for task, batch in batches.items():
        assert specs_of(batch) == batch_specs(task, tiny_config)
    refreshed = dataclasses.replace(tiny_config, finetune=dataclasses.replace(tiny_config.finetune, refresh='external'))
    assert specs_of(batch_of_questions(refreshed)) == batch_specs('finetune', refreshed)


def specs_of(batch):
    return {name: tf.TensorSpec(array.shape, array.dtype) for name, array in batch.items()}


@pytest.fixture(scope='module')
def compiler():
    try:
        return python_of('tpu_compiler', COMPILER)
    except subprocess.CalledProcessError as error:
        pytest.skip(f'libtpu cannot be installed here: {error}')


@pytest.mark.slow
@pytest.mark.parametrize('task', ['ict', 'pretrain', 'finetune'])
def test_the_step_compiles_for_a_tpu(tmp_path, compiler, task):
    config = load_config(
        'tiny',
        overrides={
            'precision': 'mixed_bfloat16',
            'rematerialize': True,
            'skip_padding': False,
            'encoder.num_layers': 1,
            'encoder.vocabulary_size': 512,
        },
    )
    write_step(task, config, REPLICAS, tmp_path / 'step.hlo')
    found = compiled(tmp_path / 'step.hlo', 'v4:2x2x1', REPLICAS, compiler)
    assert found['device'] == 'TPU v4'
    # Weights and two moments, of 4 bytes each.
    assert found['arguments'] > 12 * config.encoder.vocabulary_size * config.encoder.hidden_size
    assert found['temporaries'] > 0 and found['operations'] > 0
    assert found['collectives']['all-reduce'][0] >= 1


@pytest.mark.slow
def test_the_compiler_does_not_leave_out_what_is_computed_again(tmp_path, compiler):
    operations = {}
    for rematerialize in (False, True):
        overrides = {'rematerialize': rematerialize, 'skip_padding': False}
        sizes = {'encoder.num_layers': 2, 'encoder.vocabulary_size': 512}
        config = load_config('tiny', overrides=overrides | sizes)
        write_step('pretrain', config, REPLICAS, tmp_path / 'step.hlo')
        operations[rematerialize] = compiled(tmp_path / 'step.hlo', 'v4:2x2x1', REPLICAS, compiler)['operations']
    # A forward pass more, in all layers, of what is three of them.
    assert operations[True] > 1.2 * operations[False]
