"""Evaluation of a QA model by the command that a user runs."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from realm_tf.artifacts import open_artifact
from realm_tf.corpus.block_store import BlockStore
from realm_tf.evaluation.abstention import applied, area_under_curve, risk_coverage_curve, threshold_for
from realm_tf.evaluation.bm25 import bm25
from realm_tf.evaluation.metrics import question_word
from realm_tf.evaluation.predictor import Prediction, Span
from realm_tf.evaluation.retrieval import Retrieved, fused, hits_of_documents, write_trec_run
from realm_tf.search.embeddings import Embeddings
from tests.embedded import write_embeddings

ROOT = pathlib.Path(__file__).parents[2]
RETRIEVED_BY = [
    'fine-tuned',
    'encoder as it comes',
    'BM25',
    'fusion of these two',
    'fusion of BM25 and fine-tuned',
]


def realm(*arguments):
    command = [sys.executable, '-m', 'realm_tf.cli', *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True)


@pytest.fixture(scope='module')
def paths(tiny_corpus, tiny_model, tiny_embeddings, tiny_index):
    named = {'corpus': tiny_corpus, 'model': tiny_model, 'embeddings': tiny_embeddings, 'index': tiny_index}
    return [part for role, path in named.items() for part in (f'--{role}', path)]


@pytest.fixture(scope='module')
def evaluation(tmp_path_factory, paths, tiny_encoder, tiny_questions, tiny_corpus):
    directory = tmp_path_factory.mktemp('evaluation')
    lines = [
        json.loads(line) | {'document': str(row)} for row, line in enumerate(tiny_questions.read_text().splitlines())
    ]
    lines += ['{"question": "cut', json.dumps({'question': 'none?', 'answer': []})]
    text = '\n'.join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    (directory / 'questions.jsonl').write_text(text)
    arguments = [*paths, '--encoder', tiny_encoder, '--bm25', '--questions', directory / 'questions.jsonl']
    development = realm('evaluate', *arguments, '--output', directory / 'development', '--preset', 'tiny')
    assert development.returncode == 3, development.stderr
    arguments += ['--calibration', directory / 'development']
    ended = realm('evaluate', *arguments, '--output', directory / 'output', '--preset', 'tiny')
    assert ended.returncode == 3, ended.stderr
    return directory / 'output', ended


def test_lines_that_cannot_be_used_are_told(evaluation):
    _, ended = evaluation
    assert 'line 41: it is not JSON' in ended.stderr and 'line 42: it has no answers' in ended.stderr
    assert '2 lines are left out, 40 are used' in ended.stderr


def test_everything_is_measured_beside_everything(evaluation):
    output, ended = evaluation
    metrics = json.loads((output / 'metrics.json').read_text())
    comparison = metrics['comparison']
    assert list(comparison) == [*RETRIEVED_BY, 'closed book']
    assert comparison['closed book']['exact_match'] == comparison['closed book']['recall@1000'] == 0
    # Each question names a town in words that no other document has so often.
    assert comparison['BM25']['document_recall@5'] > 0.1
    for name, row in comparison.items():
        recalls = [row[f'recall@{k}'] for k in (1, 5, 20, 100, 1000)]
        assert recalls == sorted(recalls), name
        assert row['exact_match_interval_95'][0] <= row['exact_match'] <= row['exact_match_interval_95'][1]
        assert name == 'closed book' or recalls[-1] == 1
    assert metrics['exact_match'] == comparison['fine-tuned']['exact_match'] <= metrics['reader_oracle']
    assert metrics['reader_oracle'] <= metrics['recall@5']
    assert metrics['by_question_word']['when']['questions'] == 40
    assert len(metrics['abstention']) == 5
    assert '| BM25 |' in ended.stdout and '| BM25 |' in (output / 'report.md').read_text()


def test_blocks_found_by_several_are_read_as_if_each_had_been_read_alone(evaluation, tmp_path, paths, tiny_questions):
    output, _ = evaluation
    arguments = [*paths, '--questions', tiny_questions, '--output', tmp_path / 'alone', '--preset', 'tiny']
    assert realm('evaluate', *arguments).returncode == 0
    alone, beside = (
        [json.loads(line) for line in (path / 'predictions.jsonl').read_text().splitlines()]
        for path in (tmp_path / 'alone', output)
    )
    assert [record['read'] for record in alone] == [record['read'] for record in beside]
    assert [record['prediction'] for record in alone] == [record['prediction'] for record in beside]
    assert [record['score'] for record in alone] == pytest.approx([record['score'] for record in beside], abs=1e-3)


def test_retrieval_alone_is_that_of_the_whole_evaluation(evaluation, tmp_path, paths, tiny_encoder, tiny_questions):
    output, _ = evaluation
    arguments = [*paths, '--encoder', tiny_encoder, '--bm25', '--questions', tiny_questions, '--retrieval-only']
    ended = realm('evaluate', *arguments, '--output', tmp_path / 'output', '--preset', 'tiny')
    assert ended.returncode == 0, ended.stderr
    whole, alone = (json.loads((path / 'metrics.json').read_text()) for path in (output, tmp_path / 'output'))
    assert list(alone['comparison']) == RETRIEVED_BY
    for name, row in alone['comparison'].items():
        assert row == {metric: whole['comparison'][name][metric] for metric in row}
    assert 'exact_match' not in alone and not (tmp_path / 'output' / 'predictions.jsonl').exists()
    assert 'exact match' not in (tmp_path / 'output' / 'report.md').read_text()

    arguments = [*paths, '--questions', tiny_questions, '--calibration', tmp_path / 'output']
    ended = realm('evaluate', *arguments, '--output', tmp_path / 'calibrated', '--preset', 'tiny')
    assert ended.returncode == 2 and 'has measured retrieval only' in ended.stderr


def test_an_encoder_is_compared_by_embeddings_of_its_own(
    evaluation, tmp_path, paths, tiny_corpus, tiny_encoder, tiny_embeddings, tiny_questions
):
    """As if the model's had been refreshed: its embeddings are those of another encoder."""
    output, _ = evaluation
    other, embeddings = tmp_path / 'encoder', tmp_path / 'embeddings'
    ended = realm('combine', '--retriever', tiny_encoder, '--reader', tiny_encoder, '--to', other)
    assert ended.returncode == 0, ended.stderr
    # The blocks change places, and with them what is found.
    write_embeddings(embeddings, tiny_corpus, other, Embeddings.open(tiny_embeddings).as_array()[::-1])
    arguments = ['evaluate', *paths, '--encoder', other, '--questions', tiny_questions, '--retrieval-only']
    arguments += ['--output', tmp_path / 'output', '--preset', 'tiny']
    ended = realm(*arguments)
    assert ended.returncode == 2 and 'not made from the encoder' in ended.stderr

    ended = realm(*arguments, '--encoder-embeddings', embeddings)
    assert ended.returncode == 0, ended.stderr
    rows, as_it_was = (
        json.loads((path / 'metrics.json').read_text())['comparison'] for path in (tmp_path / 'output', output)
    )
    assert rows['fine-tuned']['recall@5'] == as_it_was['fine-tuned']['recall@5']
    assert rows['encoder as it comes']['recall@5'] != as_it_was['encoder as it comes']['recall@5']

    alone = ['evaluate', *paths, '--encoder-embeddings', embeddings, '--questions', tiny_questions]
    ended = realm(*alone, '--output', tmp_path / 'alone', '--preset', 'tiny')
    assert ended.returncode == 2 and '--encoder-embeddings is for an --encoder' in ended.stderr


def test_predictions_are_those_of_the_authors_script(evaluation):
    output, _ = evaluation
    records = [json.loads(line) for line in (output / 'predictions.jsonl').read_text().splitlines()]
    assert len(records) == 40
    metrics = json.loads((output / 'metrics.json').read_text())
    assert np.mean([record['correct'] for record in records]) == metrics['exact_match']
    for record in records:
        assert isinstance(record['question'], str) and isinstance(record['prediction'], str)
        assert 0 < record['probability'] <= record['confidence'] + 1e-9 <= 1 + 2e-9
        probabilities = [answer['probability'] for answer in record['answers']]
        assert probabilities == sorted(probabilities, reverse=True)


def test_a_model_is_measured_with_its_own_settings_or_with_those_that_are_given(
    evaluation, tmp_path, paths, tiny_model, tiny_questions
):
    arguments = ['evaluate', *paths, '--questions', tiny_questions]
    own = open_artifact(tiny_model).configuration['finetune']
    for name, given, read in (('own', (), own['reader_blocks']), ('given', ('--set', 'finetune.reader_blocks=1'), 1)):
        ended = realm(*arguments, '--output', tmp_path / name, *given)
        assert ended.returncode == 0, ended.stderr
        used = open_artifact(tmp_path / name).configuration
        assert used['finetune'] == own | {'reader_blocks': read}
        assert used['encoder'] == open_artifact(tiny_model).configuration['encoder']
        lines = (tmp_path / name / 'predictions.jsonl').read_text().splitlines()
        assert {len(json.loads(line)['read']) for line in lines} == {read}


def test_an_evaluation_with_other_blocks_read_calibrates_nothing(evaluation, tmp_path, paths, tiny_questions):
    arguments = [*paths, '--questions', tiny_questions, '--calibration', evaluation[0]]
    ended = realm('evaluate', *arguments, '--output', tmp_path / 'output', '--set', 'finetune.reader_blocks=1')
    assert ended.returncode == 2 and 'Give --set finetune.reader_blocks=' in ended.stderr


def test_another_evaluation_in_the_way_is_told_before_anything_is_read(evaluation, paths, tiny_questions):
    there, ended = evaluation
    manifest = (there / 'manifest.json').read_bytes()
    refused = realm('evaluate', *paths, '--questions', tiny_questions, '--output', there, '--preset', 'tiny')
    assert refused.returncode == 2 and 'already holds another artefact' in refused.stderr
    assert 'Reading' in ended.stderr and 'Reading' not in refused.stderr
    assert (there / 'manifest.json').read_bytes() == manifest


def test_an_encoder_is_measured_as_it_was_made(tmp_path, tiny_corpus, tiny_encoder, tiny_embeddings, tiny_questions):
    arguments = ['evaluate', '--corpus', tiny_corpus, '--encoder', tiny_encoder, '--embeddings', tiny_embeddings]
    arguments += ['--questions', tiny_questions, '--output', tmp_path / 'output']
    made = open_artifact(tiny_encoder).configuration
    ended = realm(*arguments, '--set', 'encoder.activation=relu')
    assert ended.returncode == 2 and 'encoder.activation' in ended.stderr
    ended = realm(*arguments, '--set', 'finetune.question_length=16')
    assert ended.returncode == 0, ended.stderr
    used = open_artifact(tmp_path / 'output').configuration
    assert {name: used[name] for name in ('encoder', 'retriever', 'precision')} == {
        name: made[name] for name in ('encoder', 'retriever', 'precision')
    }
    assert used['finetune']['question_length'] == 16


def test_the_run_is_one_of_trec(evaluation):
    output, _ = evaluation
    rows = [line.split() for line in (output / 'run.trec').read_text().splitlines()]
    assert {len(row) for row in rows} == {6} and {row[1] for row in rows} == {'Q0'}
    first = [row for row in rows if row[0] == '1']
    assert [int(row[3]) for row in first] == list(range(1, len(first) + 1))
    assert [float(row[4]) for row in first] == sorted((float(row[4]) for row in first), reverse=True)
    assert len({row[2] for row in first}) == len(first)


def test_an_answer_is_explained(paths):
    ended = realm('evaluate', *paths, '--explain', 'When was Alba founded?')
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith('When was Alba founded?\n')
    assert ended.stdout.count('without it:') == 3
    assert ended.stdout.count('retrieved with') == 3

    ended = realm('evaluate', *paths, '--explain', 'When was Alba founded?', '--set', 'finetune.reader_blocks=2')
    assert ended.stdout.count('retrieved with') == 2


def spans(*rows):
    return tuple(Span(answer, score, block, 0, 1) for answer, score, block in rows)


def test_answers_are_distinct_and_their_probabilities_summed():
    of_two = spans(('Paris', 2.0, 7), ('Lima', 1.95, 8), ('The Paris', 1.9, 8), ('the', 0.0, 8))
    totals = (2.0, float(np.log(np.exp([1.9, 1.95, 0.0]).sum())))
    prediction = Prediction((7, 8), (0.5, 0.4), totals, of_two)
    found = prediction.answers(5)
    total = np.exp([2.0, 1.9, 1.95, 0.0]).sum()
    assert [answer.best.answer for answer in found] == ['Paris', 'Lima', 'the']
    assert [answer.probability for answer in found] == pytest.approx(
        [np.exp([2.0, 1.9]).sum() / total, np.exp(1.95) / total, 1 / total]
    )
    assert prediction.answer == 'Paris' and prediction.probability == pytest.approx(np.exp(2.0) / total)
    without = prediction.without(7)
    assert without.answer == 'Lima' and without.read == (8,)
    assert sum(answer.probability for answer in without.answers(9)) == pytest.approx(1)
    assert prediction.without(7).without(8).answers(3) == [] and prediction.without(7).without(8).answer == ''


def test_fusion_sums_reciprocal_ranks():
    one = Retrieved(np.array([[4, 2, 9], [1, -1, -1]]), np.zeros((2, 3), np.float32))
    other = Retrieved(np.array([[2, 5], [3, 1]]), np.zeros((2, 2), np.float32))
    found = fused([one, other])
    assert found.block_ids.tolist() == [[2, 4, 5], [1, 3, -1]]
    assert found.scores[0] == pytest.approx([1 / 62 + 1 / 61, 1 / 61, 1 / 62])


def test_a_document_counts_once_where_its_best_block_is():
    documents = np.array([['a', 'a', 'b', 'a', 'c'], ['c', 'b', 'b', '', ''], ['a', '', '', '', '']])
    hits = hits_of_documents(documents, np.array(['b', 'd', 'a']))
    assert [np.flatnonzero(row).tolist() for row in hits] == [[1], [], [0]]


def test_a_run_leaves_out_what_is_missing(tmp_path):
    write_trec_run(
        tmp_path / 'run.trec',
        Retrieved(np.array([[4, 2, 9], [1, -1, -1]]), np.array([[3, 2, 1], [0.5, -np.inf, -np.inf]], np.float32)),
        'tag',
        2,
    )
    assert (tmp_path / 'run.trec').read_text() == (
        '1 Q0 4 1 3.000000 tag\n1 Q0 2 2 2.000000 tag\n2 Q0 1 1 0.500000 tag\n'
    )


def test_bm25_finds_words_and_says_where_there_are_none(tiny_corpus):
    corpus = BlockStore.open(tiny_corpus)
    found = bm25(corpus, ['the river Ister', 'zzz qqq'], 1000)
    texts = corpus.texts(np.arange(len(corpus)))
    best = [block for block in found.block_ids[0, :5]]
    assert all('Ister' in texts[block] for block in best)
    assert (found.block_ids[1] == -1).all()
    assert found.block_ids.shape[1] == len(corpus)


def test_abstention():
    confidences = [0.9, 0.9, 0.8, 0.7, 0.6]
    correct = [True, False, True, True, False]
    assert threshold_for(confidences, correct, 0.75) == 0.7
    assert threshold_for(confidences, correct, 0.6) == 0.6
    assert threshold_for(confidences, correct, 0.8) is None
    assert applied(0.8, confidences, correct) == (0.8, 0.6, pytest.approx(2 / 3))
    assert applied(0.95, confidences, correct) == (0.95, 0.0, 1.0)
    curve = risk_coverage_curve(confidences, correct)
    assert [coverage for coverage, _ in curve] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert [risk for _, risk in curve] == pytest.approx([0, 0.5, 1 / 3, 0.25, 0.4])
    assert area_under_curve(confidences, correct) == pytest.approx(np.mean([0, 0.5, 1 / 3, 0.25, 0.4]))


@pytest.mark.parametrize(
    ('text', 'word'),
    [('Who is it', 'who'), ('In what  year', 'what'), ('how  many pages', 'how many'), ('Name it', 'other')],
)
def test_question_words(text, word):
    assert question_word(text) == word
