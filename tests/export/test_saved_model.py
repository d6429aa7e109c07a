"""The SavedModel answers as the host does, whatever it is asked, also where Python is not."""

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
from realm_tf.evaluation.predictor import Predictor
from realm_tf.search.embeddings import Embeddings
from realm_tf.search.index import open_index
from realm_tf.text import packing as on_host
from realm_tf.text.ragged import Ragged
from realm_tf.weights.model_artifact import Model

QUESTIONS = ['When was Alba founded?', 'Who founded Elsö?', 'Which river runs through Dorn?']
HOSTILE = ['', ' ', '?', '\x00', '日本語の質問', 'é' * 3000, 'word ' * 2000, '[SEP] [MASK] [CLS]', '\ud7ff😀\u200b']


@pytest.fixture(scope='module', params=['exact', 'scann'])
def export_path(request, tmp_path_factory, tiny_corpus, tiny_embeddings, tiny_model):
    path = tmp_path_factory.mktemp('export') / request.param
    paths = [('--model', tiny_model), ('--corpus', tiny_corpus), ('--embeddings', tiny_embeddings), ('--output', path)]
    arguments = [str(part) for pair in paths for part in pair]
    command = [sys.executable, '-m', 'export', *arguments, '--searcher', request.param]
    subprocess.run(command, check=True)
    again = subprocess.run(command, check=True, capture_output=True, text=True)
    assert again.stdout == f'{path / "1"} is up to date.\n'
    return path


@pytest.fixture(scope='module')
def answerer(export_path):
    return Answerer(export_path)


def test_it_answers_as_the_host_does(answerer, tiny_corpus, tiny_embeddings, tiny_index, tiny_model):
    corpus = BlockStore.open(tiny_corpus)
    embeddings = Embeddings.open(tiny_embeddings)
    predictor = Predictor.of_model(
        Model.open(tiny_model), corpus, embeddings, open_index(tiny_index, embeddings.artifact)
    )
    for question, prediction in zip(QUESTIONS, predictor.predict(QUESTIONS), strict=True):
        # Alone, where the host had a batch.
        (answers,) = answerer.ask([question])
        best = answers[0]
        span = prediction.spans[0]
        assert (best.answer, best.start, best.limit) == (span.answer, span.start, span.limit)
        assert best.text == corpus.texts(np.array([prediction.spans[0].block_id]))[0]
        np.testing.assert_allclose(best.score, prediction.score, rtol=1e-4)
        np.testing.assert_allclose(best.probability, prediction.probability, rtol=1e-3)
        assert {answer.text for answer in answers} == set(corpus.texts(np.array(prediction.read)))


def test_whatever_is_asked_the_answer_is_a_piece_of_its_passage(answerer):
    answers = answerer.ask(HOSTILE)
    assert len(answers) == len(HOSTILE)
    for of_one in answers:
        assert [answer.score for answer in of_one] == sorted((answer.score for answer in of_one), reverse=True)
        assert 0 < sum(answer.probability for answer in of_one) <= 1.001
        for answer in of_one:
            assert answer.answer and answer.text.encode()[answer.start : answer.limit].decode() == answer.answer
            assert answer.marked('<', '>').replace('<', '').replace('>', '') == answer.text


def test_bytes_that_are_no_utf8_are_answered_too(export_path, answerer):
    model = tf.saved_model.load(str(export_path / '1'))
    found = model.signatures['serving_default'](question=tf.constant([b'\xff\xfe', b'ok \xc3']))
    assert np.isfinite(found['score'].numpy()).all()


def test_the_same_bits_in_a_batch_and_alone_up_to_rounding(answerer):
    together = answerer.ask(QUESTIONS)
    for question, of_one in zip(QUESTIONS, together, strict=True):
        alone = answerer.ask([question])[0]
        assert [answer.answer for answer in alone] == [answer.answer for answer in of_one]
        np.testing.assert_allclose([a.score for a in alone], [a.score for a in of_one], rtol=1e-4, atol=1e-5)


def test_the_signatures_say_what_is_read(export_path):
    model = tf.saved_model.load(str(export_path / '1'))
    assert set(model.signatures) == {'serving_default', 'retrieve'}
    found = model.signatures['retrieve'](question=tf.constant(QUESTIONS))
    scores = found['score'].numpy()
    assert scores.shape == found['title'].shape == found['text'].shape
    assert (np.diff(scores, axis=1) <= 0).all()


def test_the_session_loader_of_the_c_api_opens_it(export_path, answerer):
    if export_path.name == 'scann':
        pytest.skip('ScaNN has operations of its own, which a plain server lacks')
    # The protocol buffers alone, so that the names of the tensors are not looked up by hand.
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString((export_path / '1' / 'saved_model.pb').read_bytes())
    signature = saved.meta_graphs[0].signature_def['serving_default']
    (text_directory,) = importlib.util.find_spec('tensorflow_text').submodule_search_locations
    wanted = ('answer', 'score', 'start', 'title')
    request = {
        'path': str(export_path / '1'),
        'libraries': sorted(map(str, pathlib.Path(text_directory).glob('python/ops/_*.so'))),
        'inputs': {signature.inputs['question'].name: QUESTIONS},
        'outputs': {name: signature.outputs[name].name for name in wanted},
    }
    command = [sys.executable, '-m', 'tests.export.session_loader']
    ended = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    expected = [answers[0] for answers in answerer.ask(QUESTIONS)]
    assert found['answer'] == [answer.answer for answer in expected]
    assert found['title'] == [answer.title for answer in expected]
    assert found['start'] == [answer.start for answer in expected]
    np.testing.assert_allclose(found['score'], [answer.score for answer in expected], rtol=1e-4)


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
    np.testing.assert_array_equal(token_ids, expected.token_ids)
    np.testing.assert_array_equal(segment_ids, expected.segment_ids)
    np.testing.assert_array_equal(starts, expected.second_starts)
