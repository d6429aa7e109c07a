"""Commands that run others."""

import concurrent.futures
import os
import signal
import subprocess
import sys

import pytest

from realm_tf.commands import run_realm, setting_arguments
from realm_tf.errors import RealmError

CHILD = (
    'import signal, sys, time\n'
    'def stop(number, frame):\n'
    '    time.sleep(1)\n'
    '    sys.exit(7)\n'
    'signal.signal(signal.SIGINT, stop), signal.signal(signal.SIGTERM, stop)\n'
    'print("begun", flush=True)\n'
    'time.sleep(600)\n'
)
PARENT = (
    'import subprocess, sys\n'
    'from realm_tf.commands import status_of\n'
    f'print(status_of(subprocess.Popen([sys.executable, "-c", {CHILD!r}])), flush=True)\n'
)


@pytest.mark.parametrize('sent', [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_is_interrupted_ends_in_its_own_way(sent):
    command = [sys.executable, '-c', PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True, text=True) as parent:
        assert parent.stdout.readline() == 'begun\n'
        # Ctrl-C goes to both, SIGTERM to one.
        (os.killpg if sent == signal.SIGINT else os.kill)(parent.pid, sent)
        assert parent.stdout.readline() == '7\n'


def test_settings_are_arguments_of_a_section_or_of_none():
    assert setting_arguments({'steps': 3}, 'pretrain') == ['--set', 'pretrain.steps=3']
    assert setting_arguments({'seed': 1, 'precision': 'float32'}) == ['--set', 'seed=1', '--set', 'precision=float32']


def test_a_command_is_printed_and_a_status_that_is_not_accepted_names_it(capsys):
    run_realm('--help')
    assert capsys.readouterr().out == '$ realm --help\n'
    with pytest.raises(RealmError, match=r"Status 2 from realm corpus build --input 'no such file'"):
        run_realm('corpus', 'build', '--input', 'no such file')
    run_realm('corpus', 'build', '--input', 'no such file', accepted=(0, 2))


def test_a_command_can_be_run_in_a_thread():
    with concurrent.futures.ThreadPoolExecutor() as pool:
        pool.submit(run_realm, '--help').result()
