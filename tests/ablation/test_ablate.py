"""The ablations from end to end, at the smallest size, with the commands that users run."""

import dataclasses
import json

import pytest

from realm_tf.ablation.ablate import ablate
from realm_tf.ablation.rows import rows_named
from realm_tf.artifacts import open_artifact
from realm_tf.corpus.questions import dev_split, read_questions
from realm_tf.errors import RealmError


@pytest.fixture
def questions(tmp_path, tiny_questions):
    """The tiny questions, and as many words before them as make development questions of some."""
    lines = [json.loads(line) for line in tiny_questions.read_text().splitlines()]
    varied = [
        line | {'question': f'{words} {line["question"]}'}
        for words in ('So,', 'Well,', 'Tell me:', 'Please:')
        for line in lines
    ]
    path = tmp_path / 'questions.jsonl'
    path.write_text(''.join(json.dumps(line) + '\n' for line in varied))
    assert all(dev_split(read_questions(path).questions))
    return path


@pytest.fixture
def inputs(tmp_path, tiny_corpus, tiny_spans, tiny_encoder, tiny_config, questions):
    """What the ablations are made from, and where they go."""
    config = dataclasses.replace(
        tiny_config,
        finetune=dataclasses.replace(tiny_config.finetune, num_candidates=20, reader_length=72, epochs=1),
        index=dataclasses.replace(tiny_config.index, searcher='exact'),
    )
    return tiny_corpus, tiny_spans, tiny_encoder, questions, tmp_path / 'ablations', config


@pytest.mark.parametrize(
    ('changed', 'message'),
    [({'refresh': 'synchronous'}, 'with their documents frozen'), ({'patience': 2}, 'about development questions')],
)
def test_what_a_fine_tuning_of_it_has_not_is_refused_before_anything_is_made(inputs, changed, message):
    *rest, output, config = inputs
    config = dataclasses.replace(config, finetune=dataclasses.replace(config.finetune, **changed))
    with pytest.raises(RealmError, match=message):
        ablate(*rest, output, config, budget_hours=1)
    assert not output.exists()


@pytest.mark.slow
def test_what_things_take_is_measured_before_a_budget_is_refused(inputs):
    with pytest.raises(RealmError, match=r'1e-06 hours are too few on this machine: .* it takes about \d'):
        ablate(*inputs, budget_hours=1e-6)
    output = inputs[4]
    # What all trainings begin with is there, those that were only measured are not.
    assert (output / 'start' / 'index' / 'manifest.json').exists() and not (output / 'trial').exists()
    assert not (output / 'sizes.json').exists()


@pytest.mark.slow
def test_rows_are_trained_and_a_second_run_makes_nothing_again(inputs, news):
    corpus, _, *rest, output, config = inputs
    # Sentences of another corpus; the spans are its.
    inputs = (corpus, news / 'spans', *rest, output, config)
    # The sizes that a budget would have given: with a small one, all stages are run all the same.
    output.mkdir()
    rows = rows_named(['realm', 'reset-retriever', 'start'])
    sizes = {'pretraining_steps': 4, 'refreshes': 1, 'finetuning_steps': 2}
    (output / 'sizes.json').write_text(json.dumps({'sizes': sizes}))

    def run():
        return ablate(*inputs, budget_hours=0.1, rows=rows, pretraining_corpus=news / 'corpus')

    table = run().read_text()
    trained = json.loads((output / 'seed-0' / 'realm' / 'run.json').read_text())['inputs']
    assert trained['pretraining_corpus'] == open_artifact(news / 'corpus', 'corpus').digest
    assert all(f'| {row.name} |' in table for row in rows) and '4 steps of pre-training with 1 refresh,' in table
    places = output / 'seed-0' / 'rows'
    embedded = {
        row.directory: json.loads((places / row.directory / 'embeddings' / 'manifest.json').read_text())['files']
        for row in rows
    }
    # Rows with the same retriever embed alike, others do not.
    assert embedded['reset-retriever'] == embedded['start'] != embedded['realm']
    made = {path: path.stat().st_mtime_ns for path in places.rglob('manifest.json')}
    assert run().read_text() == table
    assert {path: path.stat().st_mtime_ns for path in places.rglob('manifest.json')} == made

    with pytest.raises(RealmError, match='holds ablations of other inputs or settings'):
        ablate(*inputs[:-1], dataclasses.replace(config, seed=1), budget_hours=0.1)
    # Other sizes would follow: what took hours is not made again without a word.
    with pytest.raises(RealmError, match=r"with budget_hours = 0.1, seeds = 1, rows = \['realm', .* Give the same"):
        ablate(*inputs, budget_hours=0.1, seeds=2, rows=rows, pretraining_corpus=news / 'corpus')
    assert {path: path.stat().st_mtime_ns for path in places.rglob('manifest.json')} == made
