"""What benchmarks print gets into the documentation, and nothing else changes there."""

import importlib
import pathlib

import click
import pytest
from click.testing import CliRunner

from benchmarks.__main__ import main, printed_by, run, runnable, with_section
from benchmarks.everything import Inputs


def test_what_is_printed_replaces_what_was_and_nothing_else():
    text = '# Benchmarks\n\nBy people.\n\n## Encoder\n\n'
    once = with_section(text, 'encoder', 'python -m benchmarks.encoder', '| 1 |')
    assert once.startswith(text.rstrip()) and '| 1 |' in once
    commented = once.replace('## encoder', '## The encoder') + '\nWritten after it.\n'
    twice = with_section(commented, 'encoder', 'python -m benchmarks.encoder --rounds 2', '| 2 |')
    assert '| 1 |' not in twice and '| 2 |' in twice and '`python -m benchmarks.encoder --rounds 2`' in twice
    assert twice.count('printed by encoder') == 1
    assert '## The encoder' in twice and twice.endswith('\nWritten after it.\n')


def test_what_a_benchmark_draws_is_shown_where_it_prints(tmp_path):
    docs, picture = tmp_path / 'benchmarks.md', tmp_path / 'benchmarks/ratios.svg'
    docs.write_text(
        '# Benchmarks\n\n| workers | ours, s | times as fast as the peer |\n|---|---|---|\n| 1 | 2 | 1.5 |\n'
    )
    run('ratios', ('--docs', str(docs), '--picture', str(picture)), docs)
    assert '1 comparisons of 1 tables' in docs.read_text() and '![ratios](benchmarks/ratios.svg)' in docs.read_text()
    drawn = picture.read_bytes()
    run('ratios', ('--docs', str(docs), '--picture', str(picture)), docs)
    assert picture.read_bytes() == drawn and docs.read_text().count('![ratios]') == 1


def test_a_comment_that_lost_its_end_is_not_guessed_at():
    with pytest.raises(click.ClickException, match='mend the documentation'):
        with_section('<!-- printed by encoder -->\nWritten by people.', 'encoder', 'a command', 'a table')


def test_a_benchmark_that_fails_says_so(capfd):
    with pytest.raises(click.ClickException, match='status 3'):
        printed_by(['sh', '-c', 'echo half; exit 3'])
    assert capfd.readouterr().out == 'half\n'


def test_every_program_for_people_is_listed_with_what_it_is():
    found = runnable()
    assert {'encoder', 'tokenization', 'training_step', 'refresh_cost'} <= found.keys()
    assert not {'machine', 'timing', '__main__', 'our_training_step'} & found.keys()
    assert all(len(what) > 10 for what in found.values())


def test_what_all_benchmarks_are_given_they_take():
    inputs = Inputs(pathlib.Path('workdir'), None, None, 'dump.xml.bz2')
    for name, options in inputs.options(pathlib.Path('docs/benchmarks.md')).items():
        command = importlib.import_module(f'benchmarks.{name}').main
        # Refuses an option that it does not have, and the lack of one that it needs.
        given = list(map(str, options))
        taken = {name for parameter in command.params for name in parameter.opts}
        needed = {parameter.opts[0] for parameter in command.params if parameter.required}
        assert needed <= set(given) and {option for option in given if option.startswith('--')} <= taken


def test_a_benchmark_that_does_not_exist_is_named():
    result = CliRunner().invoke(main, ['encodr'])
    assert result.exit_code == 1 and 'There is no benchmark encodr. There are ' in result.output


def test_all_benchmarks_run_on_the_factbook_unless_told_otherwise():
    ours = Inputs(pathlib.Path('workdir'), None, None, None)
    assert next(ours.commands())[0] == 'factbook' and 'dump' not in ours.options(pathlib.Path('docs/benchmarks.md'))
    others = Inputs(pathlib.Path('workdir'), 'articles.jsonl.gz', 'questions.jsonl', None)
    assert 'factbook' not in [arguments[0] for arguments in others.commands()]
