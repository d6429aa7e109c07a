"""The ablations from end to end, at the smallest size, with the commands that users run."""

import dataclasses
import json

import pytest

from realm_tf.ablation.ablate import ablate
from realm_tf.ablation.rows import ROWS
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


@pytest.mark.slow
def test_every_row_is_trained_and_a_second_run_makes_nothing_again(
    tmp_path, tiny_corpus, tiny_spans, tiny_encoder, tiny_config, questions, capfd
):
    output = tmp_path / 'ablations'
    config = dataclasses.replace(
        tiny_config,
        finetune=dataclasses.replace(tiny_config.finetune, num_candidates=20, reader_length=72, epochs=1),
        index=dataclasses.replace(tiny_config.index, searcher='exact'),
    )
    inputs = (tiny_corpus, tiny_spans, tiny_encoder, questions, output, config)
    # The sizes that a budget would have given: with a small one, all stages are run all the same.
    output.mkdir()
    sizes = {'pretraining_steps': 4, 'refreshes': 1, 'finetuning_steps': 2}
    (output / 'sizes.json').write_text(json.dumps({'for': {'budget_hours': 0.1, 'seeds': 1}, 'sizes': sizes}))
    table = ablate(*inputs, budget_hours=0.1, seeds=1).read_text()
    assert all(f'| {row.name}' in table for row in ROWS)
    rows = output / 'seed-0' / 'rows'
    digests = {
        row.directory: json.loads((rows / row.directory / 'embeddings' / 'manifest.json').read_text())['files']
        for row in ROWS
    }
    # Rows with the same retriever embed alike, others do not.
    assert digests['realm'] == digests['reset-encoder'] and digests['reset-retriever'] == digests['start']
    assert len({json.dumps(files) for files in digests.values()}) == 5
    capfd.readouterr()
    made = {path: path.stat().st_mtime_ns for path in rows.rglob('manifest.json')}
    assert ablate(*inputs, budget_hours=0.1, seeds=1).read_text() == table
    assert {path: path.stat().st_mtime_ns for path in rows.rglob('manifest.json')} == made

    with pytest.raises(RealmError, match='holds ablations of other inputs or settings'):
        ablate(*inputs[:-1], dataclasses.replace(config, seed=1), budget_hours=0.1, seeds=1)
