"""How one searcher is measured. Needs numpy alone: peers use it too."""

import json
import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from benchmarks.peak_memory import PeakMemory

K = 8
BATCH = 64
QUERIES = 'queries.npy'
EXPECTED = 'expected.npy'
# float32 `[queries, dimension]` to block ids `[queries, K]`
Search = Callable[[np.ndarray], np.ndarray]


def read_vectors(directory: str) -> list[np.ndarray]:
    """The vectors of a directory of the benchmark, memory-mapped."""
    return [np.load(file, mmap_mode='r') for file in sorted(pathlib.Path(directory).glob('vectors-*.npy'))]


def resident_bytes() -> int:
    """Memory of this process alone: what is mapped from files is not in it."""
    resident, shared = pathlib.Path('/proc/self/statm').read_text().split()[1:3]
    return (int(resident) - int(shared)) * os.sysconf('SC_PAGESIZE')


def measure(
    directory: str, build: Callable[[], Any], load: Callable[[], Any], settings: Callable[[Any], Iterable[Search]]
) -> None:
    """Prints, as JSON, what it costs to build a searcher, or what it finds, setting by setting.

    Seconds are those of the processor, of all threads: what else runs on the machine does not count. The last two
    arguments of the program are on how many cores it searches, and whether it builds or searches.

    Args:
      directory: vectors, queries, and the ids of the best blocks by exact search.
      build: builds and saves the searcher.
      load: loads it.
      settings: of what was loaded, a search for each setting, the fastest first.
    """
    if sys.argv[-1] == 'build':
        started = time.process_time()
        with PeakMemory() as peak:
            build()
        print(json.dumps({'build_seconds': _seconds_since(started), 'build_bytes': peak.anonymous}))
        return
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(sys.argv[-2])])
    before, started = resident_bytes(), time.perf_counter()
    searcher = load()
    found = {'load_seconds': time.perf_counter() - started, 'bytes': resident_bytes() - before}
    queries = np.load(pathlib.Path(directory) / QUERIES)
    expected = np.load(pathlib.Path(directory) / EXPECTED)
    print(json.dumps(found | {'curve': list(_curve(settings(searcher), queries, expected))}))


def _curve(searches: Iterable[Search], queries: np.ndarray, expected: np.ndarray) -> Iterator[dict[str, float]]:
    batches = queries[: len(queries) // BATCH * BATCH].reshape(-1, BATCH, queries.shape[1])
    for search in searches:
        search(batches[0])
        search(queries[:1])
        started = time.process_time()
        block_ids = np.concatenate([search(batch) for batch in batches])
        in_batches = time.process_time() - started
        alone = []
        for query in queries[: len(queries) // 4]:
            started = time.process_time()
            search(query[None])
            alone.append(time.process_time() - started)
        best = expected[: len(block_ids)]
        yield {
            'recall': float((best[:, :, None] == block_ids[:, None, :]).any(axis=-1).mean()),
            'in_batches': len(block_ids) / in_batches,
            'one_by_one': len(alone) / sum(alone),
            'median_milliseconds': 1000 * float(np.median(alone)),
            'percentile_99_milliseconds': 1000 * float(np.quantile(alone, 0.99)),
        }


def _seconds_since(started: float) -> float:
    times = os.times()
    return time.process_time() - started + times.children_user + times.children_system
