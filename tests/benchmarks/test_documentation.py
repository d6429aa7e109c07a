"""What benchmarks print gets into the documentation, and nothing else changes there."""

import click
import pytest

from benchmarks.__main__ import printed_by, runnable, with_section


def test_what_is_printed_replaces_what_was_and_nothing_else():
    text = '# Benchmarks\n\nBy people.\n\n## Encoder\n\n'
    once = with_section(text, 'encoder', 'python -m benchmarks.encoder', '| 1 |')
    assert once.startswith(text.rstrip()) and '| 1 |' in once
    commented = once.replace('## encoder', '## The encoder') + '\nWritten after it.\n'
    twice = with_section(commented, 'encoder', 'python -m benchmarks.encoder --rounds 2', '| 2 |')
    assert '| 1 |' not in twice and '| 2 |' in twice and '`python -m benchmarks.encoder --rounds 2`' in twice
    assert twice.count('printed by encoder') == 1
    assert '## The encoder' in twice and twice.endswith('\nWritten after it.\n')


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
