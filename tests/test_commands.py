"""Commands that run others."""

import os
import signal
import subprocess
import sys

import pytest

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
