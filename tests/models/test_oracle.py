"""Our networks, losses and gradients beside those of transformers' REALM classes, with the same weights.

`tests/oracle/make_golden.py` made the golden files; it says where the port differs from the method.
"""

import dataclasses
import functools
import json
import pathlib
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file

from beam_jobs import build_corpus
from beam_jobs.options import parse
from realm_tf.artifacts import make_artifact
from realm_tf.config import load_config, recipe
from realm_tf.corpus.block_store import BlockStore
from realm_tf.corpus.questions import Question
from realm_tf.errors import RealmError
from realm_tf.evaluation.answers import blocks_with_answers
from realm_tf.evaluation.predictor import Predictor
from realm_tf.models import losses
from realm_tf.models.bert_encoder import BertEncoder
from realm_tf.search.embeddings import Embeddings, shard_name
from realm_tf.search.exact import ExactSearcher
from realm_tf.text.packing import pack_documents, pack_queries, pack_reader_inputs
from realm_tf.text.ragged import Ragged
from realm_tf.text.vocabulary import Vocabulary
from realm_tf.text.wordpiece import WordPieceTokenizer
from realm_tf.training.finetuning_batch import FinetuningBatches
from realm_tf.training.finetuning_loss import finetuning_loss
from realm_tf.training.pretraining_loss import pretraining_loss
from realm_tf.weights import hugging_face
from realm_tf.weights.model_artifact import Model, write_model
from realm_tf.weights.networks import make_knowledge_augmented_encoder, make_reader, make_retriever
from realm_tf.weights.parameters import assign_parameters, named_parameters
from realm_tf.weights.principal_components import SCALE, project_identically

GOLDEN = pathlib.Path(__file__).parents[1] / 'oracle' / 'golden'
TEXTS = json.loads((GOLDEN / 'texts.json').read_text())
NUM_CANDIDATES = 3
READER_BLOCKS = 3


def golden(case):
    return load_file(GOLDEN / f'{case}.safetensors')


def assert_values(found, expected):
    np.testing.assert_allclose(np.asarray(found), expected, rtol=0, atol=1e-4)


def assert_gradients(found, expected):
    """Every element to 1e-3 relative, and 1e-5 of the largest: some are 0 but for rounding, as of keys' biases."""
    assert found.keys() == expected.keys()
    largest = max(np.abs(gradient).max() for gradient in expected.values())
    for name, gradient in expected.items():
        np.testing.assert_allclose(found[name], gradient, rtol=1e-3, atol=1e-5 * largest, err_msg=name)


read = functools.partial(hugging_face.read, allow_pickle=False)


def retriever_parameters(parts, shared):
    if shared:
        return {f'tower/{name}': value for name, value in parts['query_tower'].items()}
    return {
        f'{tower}/{name}': value for tower in ('query_tower', 'document_tower') for name, value in parts[tower].items()
    }


def configuration(marginal='token', shared=True):
    """The sizes of the golden networks."""
    directory = GOLDEN / 'openqa'
    heads = json.loads((directory / 'config.json').read_text())
    return load_config(
        'paper',
        overrides={
            'precision': 'float32',
            'encoder': dataclasses.asdict(read(directory).encoder) | {'dropout': 0.0},
            'retriever.projection_size': heads['retriever_proj_size'],
            'retriever.shared_towers': shared,
            'pretrain.num_candidates': heads['num_candidates'],
            'pretrain.marginal': marginal,
            'corpus.block_length': heads['max_position_embeddings'],
            'finetune.question_length': golden('finetuning')['question_ids'].shape[1],
            'finetune.num_candidates': heads['searcher_beam_size'],
            'finetune.reader_blocks': heads['reader_beam_size'],
            'finetune.reader_length': heads['reader_seq_len'],
            'finetune.max_answer_length': heads['max_span_width'],
            'finetune.reader_hidden_size': heads['span_hidden_size'],
        },
    )


def retriever_of(directory, shared=True):
    retriever = make_retriever(configuration(shared=shared))
    assign_parameters(retriever, retriever_parameters(read(GOLDEN / directory).parts, shared), directory)
    return retriever


def knowledge_augmented_encoder():
    encoder = make_knowledge_augmented_encoder(configuration())
    assign_parameters(encoder, read(GOLDEN / 'encoder').parts['knowledge_augmented_encoder'], 'encoder')
    return encoder


def span_reader():
    reader = make_reader(configuration())
    assign_parameters(reader, read(GOLDEN / 'openqa').parts['reader'], 'openqa')
    return reader


def mean(average):
    return average.total / average.weight


def gradients_of(loss_function, *networks):
    """The gradients of the parameters of each network, by name; 0 where one has no part in the loss."""
    variables = [named_parameters(network) for network in networks]
    with tf.GradientTape() as tape:
        loss = loss_function()
    flat = tape.gradient(
        loss,
        [variable.value for of_network in variables for variable in of_network.values()],
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
    )
    values = iter(tf.convert_to_tensor(gradient).numpy() for gradient in flat)
    return [{name: next(values) for name in of_network} for of_network in variables]


@pytest.fixture(scope='module')
def tokenizer():
    return WordPieceTokenizer(golden_vocabulary())


def golden_vocabulary():
    return Vocabulary.read(GOLDEN / 'openqa' / 'vocab.txt')


# The towers and the knowledge-augmented encoder.

TOWERS = {'shared': ('embedder', True), 'separate': ('scorer', False)}


@pytest.fixture(scope='module', params=TOWERS)
def towers(request):
    return request.param, retriever_of(*TOWERS[request.param])


def test_embeddings_and_scores(towers):
    case, retriever = towers
    inputs, expected = golden('pretraining_inputs'), golden(f'pretraining_{case}')
    queries = retriever.embed_queries(inputs['query_ids'])
    documents = retriever.embed_documents(inputs['document_ids'], inputs['document_segments'])
    documents = np.reshape(documents, expected['document_embeddings'].shape)
    assert_values(queries, expected['query_embeddings'])
    assert_values(documents, expected['document_embeddings'])
    assert_values(np.einsum('bd,bkd->bk', queries, documents), expected['scores'])
    assert_values(losses.candidate_log_probabilities(queries, documents), expected['log_candidates'])


def test_logits_of_masked_wordpieces():
    inputs, expected = golden('pretraining_inputs'), golden('pretraining_shared')
    positions = np.repeat(inputs['mask_positions'], NUM_CANDIDATES, axis=0)
    logits = knowledge_augmented_encoder()(inputs['joint_ids'], inputs['joint_segments'], positions)
    logits = np.reshape(logits, expected['mlm_logits'].shape)
    assert_values(logits, expected['mlm_logits'])
    assert_values(losses.gold_log_probabilities(logits, inputs['gold_ids']), expected['log_gold'])


@pytest.mark.parametrize('marginal', ['token', 'span'])
def test_marginal_loss(towers, marginal):
    case, retriever = towers
    loss = pretraining_loss(
        retriever, knowledge_augmented_encoder(), golden('pretraining_inputs'), configuration(marginal)
    )
    assert_values(mean(loss.loss), golden(f'pretraining_{case}')[f'{marginal}_loss'])


@pytest.mark.parametrize('case, marginal', [('shared', 'token'), ('shared', 'span'), ('separate', 'token')])
def test_gradients_of_the_marginal_loss(case, marginal):
    directory, shared = TOWERS[case]
    retriever, encoder = retriever_of(directory, shared), knowledge_augmented_encoder()
    inputs, config = golden('pretraining_inputs'), configuration(marginal, shared)
    of_retriever, of_encoder = gradients_of(
        lambda: mean(pretraining_loss(retriever, encoder, inputs, config).loss), retriever, encoder
    )
    expected = GOLDEN / 'gradients' / f'pretraining_{case}_{marginal}'
    assert_gradients(of_retriever, retriever_parameters(read(expected / directory).parts, shared))
    assert_gradients(of_encoder, read(expected / 'encoder').parts['knowledge_augmented_encoder'])


# The reader and the losses of fine-tuning.


def finetuning_inputs(rows):
    """The questions `rows` as `finetuning_batch` lays them out."""
    expected = {name: values[rows] for name, values in golden('finetuning').items()}
    block_embeddings = load_file(GOLDEN / 'openqa' / 'model.safetensors')['block_emb']
    length = expected['reader_ids'].shape[-1]
    return {
        'question_ids': expected['question_ids'],
        'candidate_embeddings': block_embeddings[expected['block_ids']],
        'is_candidate': np.ones_like(expected['has_answer']),
        'has_answer': expected['has_answer'],
        'reader_ids': expected['reader_ids'].reshape(-1, length),
        'reader_segments': expected['reader_segments'].reshape(-1, length),
        'is_gold': expected['is_gold'],
    }, expected


def test_span_logits_and_the_spans_chosen():
    reader, retriever = span_reader(), retriever_of('openqa')
    inputs, expected = finetuning_inputs(slice(None))
    logits, is_span = (np.asarray(output) for output in reader(inputs['reader_ids'], inputs['reader_segments']))
    logits, is_span = (np.reshape(output, expected['is_span'].shape) for output in (logits, is_span))
    np.testing.assert_array_equal(is_span, expected['is_span'])
    assert_values(np.where(is_span, logits, 0.0), expected['span_logits'])

    queries = np.asarray(retriever.embed_queries(inputs['question_ids']))
    scores = np.einsum('bd,bkd->bk', queries, inputs['candidate_embeddings'][:, :READER_BLOCKS])
    joint = np.where(is_span, logits + scores[:, :, None, None], -np.inf)
    blocks, starts, widths = np.unravel_index(joint.reshape(len(joint), -1).argmax(axis=1), joint.shape[1:])
    np.testing.assert_array_equal(blocks, expected['chosen_block'])
    np.testing.assert_array_equal(starts, expected['chosen_start'])
    np.testing.assert_array_equal(starts + widths, expected['chosen_end'])


# The answer is in a block that is read; only in another candidate, so that the reader learns nothing; and nowhere.
@pytest.mark.parametrize('question', [0, 1, 2])
def test_losses_of_fine_tuning(question):
    inputs, expected = finetuning_inputs([question])
    parts = finetuning_loss(retriever_of('openqa'), span_reader(), inputs, configuration()).metrics
    for loss in ('retriever_loss', 'reader_loss'):
        assert_values(mean(parts[loss]), expected[loss][0])
    assert (expected['retriever_loss'][0] > 0) == (question < 2)
    assert (expected['reader_loss'][0] > 0) == (question < 1)


@pytest.mark.parametrize('loss', ['retriever_loss', 'reader_loss'])
def test_gradients_of_fine_tuning(loss):
    retriever, reader = retriever_of('openqa'), span_reader()
    inputs, _ = finetuning_inputs(slice(None))
    of_retriever, of_reader = gradients_of(
        lambda: mean(finetuning_loss(retriever, reader, inputs, configuration()).metrics[loss]), retriever, reader
    )
    if loss == 'retriever_loss':
        expected = read(GOLDEN / 'gradients' / loss / 'embedder').parts
        assert all(not gradient.any() for gradient in of_reader.values())
    else:
        expected = read(GOLDEN / 'gradients' / loss / 'openqa').parts
        assert_gradients(of_reader, expected['reader'])
    assert_gradients(of_retriever, retriever_parameters(expected, shared=True))


def test_a_question_without_an_answer_has_no_gradient():
    retriever, reader = retriever_of('openqa'), span_reader()
    inputs, _ = finetuning_inputs([2])
    for gradients in gradients_of(
        lambda: mean(finetuning_loss(retriever, reader, inputs, configuration()).loss), retriever, reader
    ):
        assert all(not gradient.any() for gradient in gradients.values())


# Inputs: the same texts are packed as the port's tokenizer packs them.


def test_masked_sentences_and_candidates_are_packed_alike(tokenizer):
    inputs, vocabulary = golden('pretraining_inputs'), golden_vocabulary()
    query_length, block_length = inputs['query_ids'].shape[1], inputs['document_ids'].shape[1]
    examples = TEXTS['masked_sentences']
    sentences = tokenizer.tokenize_to_ragged([example['sentence'] for example in examples])
    masked = sentences.rows()
    for row in range(len(examples)):
        count = int(inputs['mask_weights'][row].sum())
        # [CLS] stands before the sentence.
        positions = inputs['mask_positions'][row, :count] - 1
        np.testing.assert_array_equal(masked[row][positions], inputs['gold_ids'][row, :count])
        masked[row][positions] = vocabulary.mask_id
    queries = Ragged.of(masked)
    np.testing.assert_array_equal(pack_queries(queries, query_length, vocabulary), inputs['query_ids'])

    pairs = [pair for example in examples for pair in [('', ''), *example['candidates']]]
    titles, bodies = (tokenizer.tokenize_to_ragged(texts) for texts in zip(*pairs, strict=True))
    documents = pack_documents(titles, bodies, block_length, vocabulary)
    np.testing.assert_array_equal(documents.token_ids, inputs['document_ids'])
    np.testing.assert_array_equal(documents.segment_ids, inputs['document_segments'])
    joint = pack_reader_inputs(
        queries.take(np.repeat(np.arange(len(examples)), NUM_CANDIDATES)),
        bodies,
        query_length + block_length,
        vocabulary,
        question_length=query_length,
    )
    np.testing.assert_array_equal(joint.token_ids, inputs['joint_ids'])
    np.testing.assert_array_equal(joint.segment_ids, inputs['joint_segments'])


# The whole of RealmForOpenQA: what is retrieved, labelled, packed, read and answered.


class World(NamedTuple):
    """Blocks, embeddings and networks of the golden `RealmForOpenQA`, as a user of ours has them."""

    corpus: BlockStore
    embeddings: Embeddings
    searcher: ExactSearcher
    model: Model


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    directory, openqa = tmp_path_factory.mktemp('openqa'), GOLDEN / 'openqa'
    blocks = [json.dumps({'id': str(row), 'title': 'Sea', 'text': text}) for row, text in enumerate(TEXTS['blocks'])]
    (directory / 'blocks.jsonl').write_text('\n'.join(blocks))
    arguments = ['--input', str(directory / 'blocks.jsonl'), '--vocabulary', str(openqa / 'vocab.txt')]
    arguments += ['--output', str(directory / 'corpus')]
    config = configuration()
    build_corpus.run(parse(arguments, build_corpus.__name__, build_corpus.BuildCorpusOptions), config)
    corpus = BlockStore.open(directory / 'corpus')
    with make_artifact(directory / 'embeddings', 'embeddings', configuration={}, inputs={}) as draft:
        np.save(draft.path / shard_name(0, 1), load_file(openqa / 'model.safetensors')['block_emb'])
        draft.counts['blocks'] = len(TEXTS['blocks'])
    embeddings = Embeddings.open(directory / 'embeddings')
    write_model(
        directory / 'model',
        configuration=recipe(config, 'finetune'),
        vocabulary=corpus.vocabulary,
        retriever=retriever_of('openqa'),
        reader=span_reader(),
        inputs={},
        step=0,
    )
    searcher = ExactSearcher.build(embeddings.shards)
    return World(corpus, embeddings, searcher, Model.open(directory / 'model'))


def test_a_batch_of_questions_is_retrieved_labelled_and_packed_alike(world, tokenizer):
    config = configuration()
    questions = [Question(question['question'], tuple(question['answers'])) for question in TEXTS['questions']]
    batches = FinetuningBatches(world.corpus, questions, blocks_with_answers(world.corpus, questions), config)
    retriever = world.model.retriever()
    made = batches.of_questions(
        np.arange(len(questions)),
        lambda ids: np.asarray(retriever.embed_queries(ids)),
        world.embeddings,
        world.searcher,
    )
    expected, golden_arrays = finetuning_inputs(slice(None))
    assert made.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(made[name], array, err_msg=name)
    # The longest block is cut.
    assert (golden_arrays['reader_ids'] > 0).all(axis=-1).any()


def test_the_same_answers(world, tokenizer):
    expected = golden('finetuning')
    predictor = Predictor.of_model(world.model, world.corpus, world.embeddings, world.searcher)
    predictions = predictor.predict([question['question'] for question in TEXTS['questions']])
    for row, prediction in enumerate(predictions):
        block = int(expected['chosen_block'][row])
        answer = expected['reader_ids'][row, block, expected['chosen_start'][row] : expected['chosen_end'][row] + 1]
        assert prediction.spans[0].block_id == expected['block_ids'][row, block]
        assert prediction.read == tuple(expected['block_ids'][row, :READER_BLOCKS])
        np.testing.assert_array_equal(tokenizer.tokenize_to_ragged([prediction.answer]).row(0), answer)


# BERT, and a sentence encoder made of it.


def test_bert_with_exact_gelu():
    pretrained, expected = read(GOLDEN / 'bert'), golden('bert')
    assert pretrained.encoder.activation == 'gelu'
    encoder = BertEncoder(**dataclasses.asdict(pretrained.encoder), name='encoder')
    encoder.build()
    assign_parameters(encoder, pretrained.body('bert'), 'bert')
    assert_values(encoder(expected['token_ids'], expected['segment_ids']), expected['hidden'])


def test_the_masked_language_model_head_of_bert():
    pretrained, expected = read(GOLDEN / 'bert_mlm'), golden('bert')
    bert = make_knowledge_augmented_encoder(dataclasses.replace(configuration(), encoder=pretrained.encoder))
    assign_parameters(bert, pretrained.parts['bert'], 'bert_mlm')
    batch, length = expected['token_ids'].shape
    everywhere = np.tile(np.arange(length, dtype=np.int32), (batch, 1))
    assert_values(bert(expected['token_ids'], expected['segment_ids'], everywhere), expected['mlm_logits'])


def test_sentence_embeddings_of_minilm(pretrained_directory, vocabulary):
    """all-MiniLM-L6-v2 as sentence-transformers runs it, to 1e-5."""
    pretrained = read(pretrained_directory)
    retriever = make_retriever(dataclasses.replace(load_config('small'), encoder=pretrained.encoder))
    assign_parameters(retriever.query_tower.encoder, pretrained.body('bert'), str(pretrained_directory))
    sentences = WordPieceTokenizer(vocabulary).tokenize_to_ragged(TEXTS['sentences'])
    token_ids = pack_queries(sentences, int(sentences.lengths.max()) + 2, vocabulary)
    pooled = np.asarray(retriever.query_tower.pool(token_ids, np.zeros_like(token_ids)))
    embeddings = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    np.testing.assert_allclose(embeddings, golden('sentence_embeddings')['embeddings'], rtol=0, atol=1e-5)


def test_a_projection_that_is_the_identity_keeps_the_cosines_of_minilm(pretrained_directory, vocabulary):
    pretrained = read(pretrained_directory)
    config = load_config('small', overrides={'retriever.projection_size': 384})
    retriever = make_retriever(dataclasses.replace(config, encoder=pretrained.encoder))
    assign_parameters(retriever.query_tower.encoder, pretrained.body('bert'), str(pretrained_directory))
    project_identically(retriever)
    sentences = WordPieceTokenizer(vocabulary).tokenize_to_ragged(TEXTS['sentences'])
    queries = np.asarray(retriever.embed_queries(pack_queries(sentences, int(sentences.lengths.max()) + 2, vocabulary)))
    expected = golden('sentence_embeddings')['embeddings']
    # The LayerNorm takes off the mean of each embedding.
    np.testing.assert_allclose(queries @ queries.T / SCALE, expected @ expected.T, rtol=0, atol=5e-3)
    with pytest.raises(RealmError, match=r'projection_size = 384, the width of the encoder; it is 128'):
        project_identically(make_retriever(load_config('small')))
