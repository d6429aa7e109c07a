"""The most memory of a process and of what it started."""

import subprocess
import sys

import pytest

from realm_tf.peak_memory import PeakMemory, own, proportional

SIZE = 100_000_000


def peak_of(program, memory_of):
    process = subprocess.Popen([sys.executable, '-c', program])
    with PeakMemory(process.pid, memory_of, every=0.05) as peak:
        assert process.wait() == 0
    return peak.bytes


@pytest.mark.parametrize('memory_of', [proportional, own])
def test_a_process_that_it_started_counts(memory_of):
    child = f'import time; held = b"x" * {SIZE}; time.sleep(1)'
    peak = peak_of(f'import subprocess, sys; subprocess.run([sys.executable, "-c", {child!r}])', memory_of)
    assert SIZE < peak < 2 * SIZE


def test_a_mapped_file_is_not_its_own(tmp_path):
    (tmp_path / 'file').write_bytes(b'x' * SIZE)
    program = (
        f'import mmap, time; file = open({str(tmp_path / "file")!r}, "rb"); '
        'mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ); '
        'assert sum(mapped[place] for place in range(0, len(mapped), 4096)); time.sleep(1)'
    )
    assert peak_of(program, own) < SIZE / 2 and peak_of(program, proportional) > SIZE
