"""The SavedModel answers as the host does, whatever it is asked, also where Python is not."""

import dataclasses
import importlib.util
import json
import pathlib
import subprocess
import sys

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies

from export import packing as in_graph
from export.ask import Answerer
from realm_tf.corpus.block_store import BlockStore
from realm_tf.evaluation.metrics import normalize_answer
from realm_tf.evaluation.predictor import Predictor
from realm_tf.search.embeddings import Embeddings
from realm_tf.search.index import build_index, open_index
from realm_tf.text import packing as on_host
from realm_tf.text.ragged import Ragged
from realm_tf.weights.encoder_artifact import Encoder
from realm_tf.weights.model_artifact import Model, write_model

QUESTIONS = ['When was Alba founded?', 'Who founded Elsö?', 'Which river runs through Dorn?']
HOSTILE = ['', ' ', '?', '\x00', '日本語の質問', 'é' * 3000, 'word ' * 2000, '[SEP] [MASK] [CLS]', '\ud7ff😀\u200b']


@pytest.fixture(scope='module', params=['exact', 'ivf', 'scann'])
def export_path(request, tmp_path_factory, tiny_corpus, tiny_encoder, tiny_embeddings, tiny_model, tiny_config):
    path = tmp_path_factory.mktemp('export') / request.param
    paths = [('--model', tiny_model), ('--corpus', tiny_corpus), ('--embeddings', tiny_embeddings), ('--output', path)]
    paths.append(('--encoder', tiny_encoder))
    if request.param != 'exact':
        index = path.with_name('index')
        build_index(tiny_embeddings, index, dataclasses.replace(tiny_config.index, searcher=request.param))
        paths.append(('--index', index))
    arguments = [str(part) for pair in paths for part in pair]
    command = [sys.executable, '-m', 'export', *arguments, '--searcher', request.param]
    subprocess.run(command, check=True)
    again = subprocess.run(command, check=True, capture_output=True, text=True)
    assert again.stdout == f'{path / "1"} is up to date.\n'
    return path


@pytest.fixture(scope='module')
def loaded(export_path):
    return tf.saved_model.load(str(export_path / '1'))


@pytest.fixture(scope='module')
def answerer(export_path):
    return Answerer(export_path)


def run(loaded, signature, **inputs):
    texts = {name: tf.constant(values, tf.string) for name, values in inputs.items()}
    return {name: values.numpy() for name, values in loaded.signatures[signature](**texts).items()}


def test_it_answers_as_the_host_does(export_path, answerer, tiny_corpus, tiny_embeddings, tiny_index, tiny_model):
    corpus = BlockStore.open(tiny_corpus)
    embeddings = Embeddings.open(tiny_embeddings)
    index = export_path.with_name('index') if export_path.name == 'ivf' else tiny_index
    model = Model.open(tiny_model)
    # The graph looks for no more blocks than are read.
    settings = dataclasses.replace(model.config.finetune, num_candidates=model.config.finetune.reader_blocks)
    model = dataclasses.replace(model, config=dataclasses.replace(model.config, finetune=settings))
    predictor = Predictor.of_model(model, corpus, embeddings, open_index(index, embeddings.artifact))
    for question, prediction in zip(QUESTIONS, predictor.predict(QUESTIONS), strict=True):
        # Alone, where the host had a batch.
        (answers,) = answerer.ask([question])
        expected = prediction.answers(len(answers))
        best = expected[0].best
        assert (answers[0].answer, answers[0].start, answers[0].limit) == (best.answer, best.start, best.limit)
        assert answers[0].text == corpus.texts(np.array([best.block_id]))[0]
        np.testing.assert_allclose(answers[0].score, best.score, rtol=1e-4)
        np.testing.assert_allclose(
            [answer.probability for answer in answers], [answer.probability for answer in expected], rtol=1e-3
        )


def test_whatever_is_asked_the_answer_is_a_piece_of_its_passage(answerer):
    answers = answerer.ask(HOSTILE)
    assert [bool(of_one) for of_one in answers] == [text not in ('', ' ', '\x00') for text in HOSTILE]
    for of_one in answers:
        probabilities = [answer.probability for answer in of_one]
        assert probabilities == sorted(probabilities, reverse=True) and sum(probabilities) <= 1.001
        assert len({normalize_answer(answer.answer) or answer.answer for answer in of_one}) == len(of_one)
        for answer in of_one:
            assert answer.answer and answer.text.encode()[answer.start : answer.limit].decode() == answer.answer
            assert answer.marked('<', '>').replace('<', '').replace('>', '') == answer.text


def test_batches_of_any_size_are_those_of_one(loaded):
    questions = [f'{question} {number}' for number in range(13) for question in QUESTIONS]
    together = run(loaded, 'serving_default', question=questions)
    assert {len(values) for values in together.values()} == {39}
    for row in (0, 19, 38):
        alone = run(loaded, 'serving_default', question=questions[row : row + 1])
        assert alone['answer'][0] == together['answer'][row]
        np.testing.assert_allclose(alone['top_score'][0], together['top_score'][row], rtol=1e-4, atol=1e-5)
    assert {len(values) for values in run(loaded, 'serving_default', question=[]).values()} == {0}


def require_embeddings_of_index(loaded, tiny_corpus, tiny_embeddings):
    """Checks that `embed_document` is what embedded the corpus."""
    corpus, rows = BlockStore.open(tiny_corpus), np.arange(20)
    found = run(loaded, 'embed_document', title=corpus.titles(rows), text=corpus.texts(rows))['embedding']
    np.testing.assert_allclose(found, Embeddings.open(tiny_embeddings).rows(rows), rtol=1e-3, atol=1e-4)


def test_embeddings_are_those_of_the_index(loaded, tiny_corpus, tiny_embeddings):
    require_embeddings_of_index(loaded, tiny_corpus, tiny_embeddings)
    retrieved = run(loaded, 'retrieve', question=QUESTIONS)
    queries = run(loaded, 'embed_query', question=QUESTIONS)['embedding']
    blocks = (
        Embeddings.open(tiny_embeddings).rows(retrieved['block_id'].reshape(-1)).reshape(*retrieved['score'].shape, -1)
    )
    np.testing.assert_allclose(np.einsum('bd,bkd->bk', queries, blocks), retrieved['score'], rtol=1e-4, atol=1e-5)


def test_a_text_of_ones_own_is_read(loaded):
    texts = ['Elsö was founded on 3 May 1803 by Émile Short.', '', '\x00', 'word ' * 50_000]
    found = run(loaded, 'read', question=['When was it founded?'] * len(texts), text=texts)
    for text, answer, start, limit in zip(texts, found['answer'], found['start'], found['limit'], strict=True):
        assert text.encode()[start:limit] == answer
    assert [bool(answer) for answer in found['answer']] == [True, False, False, True]
    assert (found['probability'] > 0).tolist() == [True, False, False, True]


def test_bytes_that_are_no_utf8_and_a_megabyte_are_answered_too(loaded):
    found = run(loaded, 'serving_default', question=[b'\xff\xfe', b'ok \xc3', b'x' * (1 << 20)])
    assert np.isfinite(found['score']).all()


def test_the_same_bits_in_a_batch_and_alone_up_to_rounding(answerer):
    together = answerer.ask(QUESTIONS)
    for question, of_one in zip(QUESTIONS, together, strict=True):
        alone = answerer.ask([question])[0]
        assert [answer.answer for answer in alone] == [answer.answer for answer in of_one]
        np.testing.assert_allclose([a.score for a in alone], [a.score for a in of_one], rtol=1e-4, atol=1e-5)


def test_the_blocks_that_are_read_are_sorted(loaded):
    assert set(loaded.signatures) == {'serving_default', 'retrieve', 'embed_query', 'embed_document', 'read'}
    found = run(loaded, 'retrieve', question=QUESTIONS)
    assert found['score'].shape == found['title'].shape == found['text'].shape
    assert (np.diff(found['score'], axis=1) <= 0).all()


def test_weights_are_stored_once(export_path, tiny_model, tiny_encoder, tiny_embeddings):
    files = (*tiny_model.glob('*.safetensors'), tiny_encoder / 'retriever.safetensors')
    weights = sum(path.stat().st_size for path in files)
    blocks = Embeddings.open(tiny_embeddings)
    # Vectors and, with an index, codes; texts; the graph has a vocabulary of some megabytes, and no weights.
    allowed = weights + 3 * len(blocks) * blocks.dimension * 4 + 2_000_000
    assert (export_path / '1' / 'variables' / 'variables.data-00000-of-00001').stat().st_size < allowed
    assert (export_path / '1' / 'saved_model.pb').stat().st_size < 10_000_000


def operations_of(package, pattern):
    """The libraries of operations that a package brings, which is not imported."""
    (directory,) = importlib.util.find_spec(package).submodule_search_locations
    return sorted(map(str, pathlib.Path(directory).glob(pattern)))


def answered_by_the_session_loader(path, libraries):
    """The first answers, by the loader that TensorFlow Serving has, in a process without Python's TensorFlow."""
    # The protocol buffers alone, so that the names of the tensors are not looked up by hand.
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString((path / 'saved_model.pb').read_bytes())
    signature = saved.meta_graphs[0].signature_def['serving_default']
    wanted = ('answer', 'score', 'start', 'title')
    request = {
        'path': str(path),
        'libraries': libraries,
        'inputs': {signature.inputs['question'].name: QUESTIONS},
        'outputs': {name: signature.outputs[name].name for name in wanted},
    }
    command = [sys.executable, '-m', 'tests.export.session_loader']
    ended = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def require_same(found, answers):
    """Checks answers of the Session loader against those of Python."""
    assert found['answer'] == [answer.answer for answer in answers]
    assert found['title'] == [answer.title for answer in answers]
    assert found['start'] == [answer.start for answer in answers]
    np.testing.assert_allclose(found['score'], [answer.score for answer in answers], rtol=1e-4)


def test_the_session_loader_of_the_c_api_opens_it(export_path, answerer):
    libraries = operations_of('tensorflow_text', 'python/ops/_*.so')
    if export_path.name == 'scann':
        # Which a plain server lacks.
        libraries += operations_of('scann', 'scann_ops/cc/_*.so')
    found = answered_by_the_session_loader(export_path / '1', libraries)
    require_same(found, [answers[0] for answers in answerer.ask(QUESTIONS)])


@pytest.fixture
def export_of_changed(tmp_path, tiny_corpus, tiny_embeddings, tiny_model):
    """Gives a function that exports the tiny model with other settings, and another retriever; gives its directory."""

    def export(settings, retriever=None):
        model = Model.open(tiny_model)
        write_model(
            tmp_path / 'model',
            configuration=dict(model.artifact.configuration) | settings,
            vocabulary=model.vocabulary,
            retriever=retriever or model.retriever(),
            reader=model.reader(),
            inputs=model.artifact.inputs,
            step=0,
        )
        paths = [('--model', tmp_path / 'model'), ('--corpus', tiny_corpus), ('--embeddings', tiny_embeddings)]
        arguments = [str(part) for pair in [*paths, ('--output', tmp_path / 'export')] for part in pair]
        subprocess.run([sys.executable, '-m', 'export', *arguments], check=True)
        return tmp_path / 'export'

    return export


def test_a_model_of_mixed_precision_has_its_weights_in_bfloat16(export_of_changed):
    exported = export_of_changed({'precision': 'mixed_bfloat16'})
    dtypes = tf.train.load_checkpoint(exported / '1' / 'variables' / 'variables').get_variable_to_dtype_map()
    weights = [dtype for name, dtype in dtypes.items() if '_weights' in name]
    # Float32 alone stays what is computed in float32: the projection and its LayerNorm.
    assert weights.count(tf.float32) == 4 and weights.count(tf.bfloat16) > 40
    libraries = operations_of('tensorflow_text', 'python/ops/_*.so')
    found = answered_by_the_session_loader(exported / '1', libraries)
    require_same(found, [answers[0] for answers in Answerer(exported).ask(QUESTIONS)])


def test_a_model_that_has_the_tower_of_its_documents_embeds_documents(
    tiny_corpus, tiny_encoder, tiny_embeddings, tiny_model, tiny_export, export_of_changed
):
    refreshed = Model.open(tiny_model).artifact.configuration['finetune'] | {'refresh': 'asynchronous'}
    exported = export_of_changed({'finetune': refreshed}, Encoder.open(tiny_encoder).retriever())
    require_embeddings_of_index(tf.saved_model.load(str(exported / '1')), tiny_corpus, tiny_embeddings)
    # One tower for both that was trained by queries alone is none of documents.
    assert 'embed_document' not in tf.saved_model.load(str(tiny_export / '1')).signatures


@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(
    questions=strategies.lists(strategies.lists(strategies.integers(200, 300), max_size=30), min_size=1, max_size=4),
    data=strategies.data(),
)
def test_packing_in_the_graph_is_packing_on_the_host(vocabulary, questions, data):
    ids = strategies.lists(strategies.integers(200, 300), max_size=60)
    bodies = data.draw(strategies.lists(ids, min_size=len(questions), max_size=len(questions)))
    length, question_length = data.draw(strategies.integers(16, 48)), data.draw(strategies.integers(4, 40))
    host_questions, host_bodies = (Ragged.of([np.array(row, np.int32) for row in rows]) for rows in (questions, bodies))
    graph_questions, graph_bodies = (
        tf.RaggedTensor.from_row_lengths(rows.values, rows.lengths) for rows in (host_questions, host_bodies)
    )
    np.testing.assert_array_equal(
        in_graph.pack_queries(graph_questions, question_length, vocabulary),
        on_host.pack_queries(host_questions, question_length, vocabulary),
    )
    expected = on_host.pack_reader_inputs(
        host_questions, host_bodies, length, vocabulary, question_length=question_length
    )
    token_ids, segment_ids, starts = in_graph.pack_reader_inputs(
        graph_questions, graph_bodies, length, vocabulary, question_length=question_length
    )
    # Columns that are padding in all rows are left out.
    width = token_ids.shape[1]
    np.testing.assert_array_equal(token_ids, expected.token_ids[:, :width])
    np.testing.assert_array_equal(segment_ids, expected.segment_ids[:, :width])
    assert (expected.token_ids[:, width:] == vocabulary.pad_id).all()
    np.testing.assert_array_equal(starts, expected.second_starts)
