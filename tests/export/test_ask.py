"""The prompt: what it prints, and what it says when something is wrong."""

import subprocess
import sys

import pytest

from export.answers import Answer


def ask(*arguments, typed=None):
    return subprocess.run(
        [sys.executable, '-m', 'export.ask', *map(str, arguments)],
        input=typed,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_answer_is_marked_in_its_passage(tiny_export):
    ended = ask('--model', tiny_export, 'When was Alba founded?')
    assert ended.returncode == 0 and not ended.stderr, ended.stderr
    question, answer, figures, *passage = ended.stdout.splitlines()
    assert question == 'When was Alba founded?'
    assert f'**{answer.strip()}**' in ' '.join(line.strip() for line in passage)
    assert 'probability 0.' in figures and 'from “' in figures


def test_without_a_question_it_reads_them(tiny_export):
    ended = ask('--model', tiny_export, '--top', '2', typed='When was Alba founded?\n\nWho founded Dorn?\n')
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count('probability') == 4


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        (('--model', 'nowhere', 'A question?'), 'nowhere'),
        (('--model', 'nowhere', ' '), 'The question is empty.'),
        ((), "Missing option '--model'"),
        (('--model', 'nowhere', '--top', '0', 'A question?'), '--top'),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(arguments, sentence):
    ended = ask(*arguments)
    assert ended.returncode == 2
    assert sentence in ended.stderr and 'Traceback' not in ended.stderr


def test_offsets_are_bytes():
    text = 'Élan is in Côte d’Ivoire.'
    start = len('Élan is in '.encode())
    answer = Answer('Côte d’Ivoire', 1.0, 0.0, 'Élan', text, start, start + len('Côte d’Ivoire'.encode()))
    assert answer.marked('[', ']') == 'Élan is in [Côte d’Ivoire].'
