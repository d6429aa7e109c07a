"""The command line: help at once, one sentence and status 2 for what is wrong."""

import functools
import os
import resource
import subprocess
import sys

import pytest

from realm_tf.config import config_to_dict, load_config


def realm(*arguments, limits=None, **environment):
    return subprocess.run(
        [sys.executable, '-m', 'realm_tf.cli', *map(str, arguments)],
        env=os.environ | environment,
        preexec_fn=limits,
        capture_output=True,
        text=True,
        check=False,
    )


COMMANDS = [
    *(
        ['config'],
        ['factbook'],
        ['import'],
        ['convert'],
        ['combine'],
        ['interpolate'],
        ['ablate'],
        ['ict'],
        ['pretrain'],
        ['refresh'],
        ['embed'],
        ['index'],
        ['questions'],
        ['finetune'],
    ),
    *(
        ['plan'],
        ['evaluate'],
        ['export'],
        ['ask'],
        ['serve'],
        ['quickstart'],
        ['corpus'],
        ['corpus', 'build'],
        ['corpus', 'tag-spans'],
    ),
]


def test_help_needs_no_tensorflow():
    program = (
        'import sys\n'
        'from realm_tf import cli\n'
        'try: cli.realm(["--help"])\n'
        'except SystemExit: pass\n'
        'assert not {"tensorflow", "keras", "apache_beam", "numpy"} & set(sys.modules), sys.modules\n'
    )
    subprocess.run([sys.executable, '-c', program], check=True, capture_output=True)


@pytest.mark.parametrize('command', COMMANDS, ids=' '.join)
def test_every_command_has_help_with_its_defaults(command):
    ended = realm(*command, '--help')
    assert ended.returncode == 0 and not ended.stderr
    assert 'usage:' in ended.stdout.lower()
    if command[0] in ('ict', 'pretrain', 'embed', 'finetune', 'index'):
        assert '[default: paper]' in ended.stdout or '(default: paper)' in ended.stdout


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        (['index', '--embeddings', 'nowhere', '--output', 'index'], "'nowhere' does not exist"),
        (['index', '--embeddings', '.', '--output', 'index'], 'manifest.json'),
        (['config', '--preset', 'smal'], "There is no preset 'smal'"),
        (['config', '--set', 'ict.steps=many'], 'ict.steps'),
        (['config', '--set', 'ict.step=3'], "no setting 'ict.step'"),
        (['config', '--set', 'ict.steps'], 'is not NAME=VALUE'),
        (['quickstart', '--preset', 'paper'], "'paper' is not one of 'small', 'tiny'"),
        (['quickstart', '--seed', 'x'], "'x' is not a valid integer"),
        (['embed', '--corpus', 'nowhere', '--encoder', 'nowhere', '--output', 'x'], 'nowhere'),
        (['embed', '--corpus', 'nowhere', '--output', 'x'], '--encoder'),
        (['embed', '--corpus', 'a', '--encoder', 'b', '--output', 'c', '--workers', '2'], '--workers'),
        (['corpus', 'build', '--input', 'nowhere', '--vocabulary', 'v', '--output', 'c'], 'nowhere'),
        (['export', '--model', 'nowhere', '--corpus', 'c', '--embeddings', 'e', '--output', 'o'], 'nowhere'),
        (['evaluate', '--corpus', '.', '--embeddings', '.', '--questions', __file__, '--output', 'x'], 'either'),
        (
            ['finetune', *(part for role in ('corpus', 'embeddings', 'index') for part in (f'--{role}', '.'))]
            + ['--questions', __file__, '--output', 'x'],
            'either --encoder or --model',
        ),
        (['questions', '--from', __file__, '--output', 'x'], 'holds no usable question'),
        (['plan'], 'Give --blocks'),
        (['plan', '--blocks', '9', '--run', '.', '--blocks-per-second', '1'], 'tells of no step'),
        (['plan', '--blocks', '9', '--run', '.', '--seconds-per-step', '1'], 'either --seconds-per-step or --run'),
        (['plan', '--blocks', '0'], "'--blocks': 0 is not in the range x>=1"),
        (['plan', '--workers', '0'], "'--workers': 0 is not in the range x>=1"),
        (['plan', '--blocks-per-second', '0'], "'--blocks-per-second': 0.0 is not in the range x>0"),
        (['plan', '--seconds-per-step', '0'], "'--seconds-per-step': 0.0 is not in the range x>0"),
        (['plan', '--index-sample', '3'], "'--index-sample': 3 is not in the range x>=1000"),
        (
            ['index', '--embeddings', '.', '--output', 'x', '--recall', '0.8'],
            'index.minimum_recall = 0.9: it must be less than index.recall, which is 0.8',
        ),
        (
            ['ict', '--corpus', '.', '--encoder', '.', '--output', 'x', '--preset', 'small', '--strategy', 'tpu'],
            'skip_padding=false',
        ),
        (
            ['ict', '--corpus', '.', '--encoder', '.', '--output', 'x', '--preset', 'tiny', '--tpu', 'local'],
            '--tpu is for --strategy tpu',
        ),
        (
            ['finetune', *(part for role in ('corpus', 'embeddings', 'index') for part in (f'--{role}', '.'))]
            + ['--encoder', '.', '--questions', __file__, '--output', 'x', '--set', 'finetune.patience=3'],
            'finetune.patience = 3 is about development questions, and there are none',
        ),
        (
            ['index', '--set', 'index.recall=0.99', 'update', '--index', '.', '--embeddings', '.', '--output', 'x'],
            '--set before update has no effect on it',
        ),
        (['pretrian'], "No such command 'pretrian'"),
    ],
    ids=lambda value: ' '.join(value) if isinstance(value, list) else '',
)
def test_what_is_wrong_is_said_in_a_sentence_with_status_2(arguments, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = realm(*arguments)
    assert ended.returncode == 2
    assert sentence in ended.stderr and 'Traceback' not in ended.stderr
    assert not list(tmp_path.iterdir())


def test_a_disk_that_takes_no_more_is_told_in_a_sentence_with_status_1(tmp_path):
    questions, made = tmp_path / 'questions.jsonl', tmp_path / 'made'
    questions.write_text('{"question": "When?", "answer": ["1901"]}\n' * 100)
    command = ['questions', '--from', questions, '--no-dev', '--output', made]
    # A limit for the files of a process stands in for the end of the disk: a write fails in the same way.
    ended = realm(*command, limits=functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (1000, 1000)))
    assert ended.returncode == 1
    assert ended.stderr == f'realm: {made}/train.jsonl: File too large.\n'
    # With room, the same command goes on.
    assert realm(*command).returncode == 0


def test_the_printed_configuration_is_read_back(tmp_path):
    printed = realm('config', '--preset', 'small', '--set', 'ict.steps=7')
    (tmp_path / 'settings.yaml').write_text(printed.stdout)
    read = load_config('paper', tmp_path / 'settings.yaml')
    assert config_to_dict(read) == config_to_dict(load_config('small', overrides={'ict.steps': 7}))
