"""Guarded processes, with real signals: nothing is left, however who started them ends."""

import os
import signal
import subprocess
import sys
import time

import psutil

from realm_tf import guarded_process
from realm_tf.guarded_process import GuardedProcess

# A job that starts another process and leaves it; both have the mark in their command line.
FORKING = (
    'import subprocess, sys, time\n'
    'subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", sys.argv[1]])\n'
    'open(sys.argv[1], "w").close()\n'
)
WAITING = FORKING + 'time.sleep(600)\n'
STUBBORN = 'import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n' + WAITING
STARTER = (
    'import sys, time\n'
    'from realm_tf.guarded_process import GuardedProcess\n'
    'job = GuardedProcess([sys.executable, "-c", *sys.argv[1:]])\n'
    'time.sleep(600)\n'
)


def processes_with(mark):
    return [p for p in psutil.process_iter(['cmdline']) if str(mark) in ' '.join(p.info['cmdline'] or ())]


def wait_until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def test_what_ends_by_itself_gives_its_status_and_leaves_nothing(tmp_path):
    mark = tmp_path / 'mark'
    job = GuardedProcess([sys.executable, '-c', FORKING + 'sys.exit(7)', str(mark)])
    assert wait_until(lambda: job.poll() is not None)
    assert job.poll() == 7
    assert wait_until(lambda: not processes_with(mark))
    job.end()
    killed = GuardedProcess([sys.executable, '-c', 'import os; os.kill(os.getpid(), 9)'])
    assert wait_until(lambda: killed.poll() is not None)
    assert killed.poll() == 128 + signal.SIGKILL


def test_what_is_ended_ends_with_all_that_it_started(tmp_path):
    mark = tmp_path / 'mark'
    job = GuardedProcess([sys.executable, '-c', WAITING, str(mark)])
    assert wait_until(mark.exists) and job.poll() is None
    job.end()
    assert not processes_with(mark)
    assert job.poll() == 128 + signal.SIGTERM


def test_what_does_not_heed_sigterm_is_killed_after_a_time_of_grace(tmp_path):
    mark = tmp_path / 'mark'
    job = GuardedProcess([sys.executable, '-c', STUBBORN, str(mark)])
    assert wait_until(mark.exists)
    started = time.monotonic()
    job.end()
    assert time.monotonic() - started >= guarded_process.GRACE_SECONDS
    assert job.poll() == 128 + signal.SIGKILL and not processes_with(mark)


def test_nothing_is_left_when_the_starter_is_killed(tmp_path):
    mark = tmp_path / 'mark'
    starter = subprocess.Popen([sys.executable, '-c', STARTER, WAITING, str(mark)])
    assert wait_until(mark.exists)
    assert len(processes_with(mark)) >= 3
    os.kill(starter.pid, signal.SIGKILL)
    starter.wait()
    assert wait_until(lambda: not processes_with(mark))


def test_a_lock_is_held_until_nothing_is_left(tmp_path):
    import fcntl

    mark, path = tmp_path / 'mark', tmp_path / 'lock'
    with path.open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        job = GuardedProcess([sys.executable, '-c', WAITING, str(mark)], held=[lock])
        assert wait_until(mark.exists)
    with path.open('w') as again:
        try:
            fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held = True
        else:
            held = False
        assert held
        job.end()
        fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
