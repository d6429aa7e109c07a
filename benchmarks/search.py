"""Recall against speed, memory and building of our searchers, beside FAISS, on the same vectors in one run.

    python -m benchmarks.search_vectors --embeddings embeddings --blocks 1000000 --output vectors
    python -m benchmarks.search --vectors vectors --scratch indexes --picture docs/search.svg

Every searcher is built by a process, and loaded and measured by another, pinned to the same cores. Seconds are those of
the processor, so that the figures hold beside other work. Prints tables in Markdown, and draws recall against queries a
second in batches of 64.
"""

import json
import pathlib
import subprocess
import sys

import click
import numpy as np

from benchmarks.machine import machine
from benchmarks.peers import python_of
from benchmarks.pictures import picture
from benchmarks.search_measure import EXPECTED, QUERIES, K, read_vectors
from benchmarks.search_ours import NUMPY, SEARCHERS
from realm_tf.search.exact import ExactSearcher

PEER = ('faiss-cpu', 'numpy', 'click')
FAISS = ('FAISS IVF-PQ', 'FAISS HNSW32')
ALL = (*SEARCHERS, NUMPY, *FAISS)
_RECALLS = (0.90, 0.95, 0.97)
_HOW = {'one_by_one': 'one by one', 'in_batches': 'in batches of 64'}


@click.command()
@click.option('--vectors', required=True, help='What benchmarks.search_vectors made.')
@click.option('--scratch', required=True, help='Directory for the indexes; those that are there are not built again.')
@click.option('--cores', default=1, show_default=True, help='On how many a search runs.')
@click.option('--searcher', 'names', multiple=True, default=ALL, show_default=True, help='Which.')
@click.option('--picture', 'path', help='An SVG to draw.')
def main(vectors, scratch, cores, names, path):
    """Measures every searcher."""
    directory = pathlib.Path(scratch)
    directory.mkdir(parents=True, exist_ok=True)
    shards = read_vectors(vectors)
    _write_expected(pathlib.Path(vectors), shards)
    versions = ''
    if set(names) & set(FAISS):
        versions = f'; faiss {_run(python_of("faiss", PEER), "-c", "import faiss; print(faiss.__version__)").strip()}'
    print(f'{machine()}{versions}. {sum(map(len, shards)):,} × {shards[0].shape[1]}, searches on {cores} core(s).\n')
    results = {}
    for name in names:
        results[name] = _measured(name, vectors, directory / name.replace(' ', '-'), cores)
        print(f'{name}: {json.dumps(results[name])}', file=sys.stderr, flush=True)
    columns = ['searcher', 'build, s', 'building, MB', 'load, s', 'loaded, MB']
    columns += [f'queries/s one by one, in batches, at {recall}' for recall in _RECALLS]
    columns += [f'median, 99 % of one, ms, at {_RECALLS[-1]}']
    print(f'| {" | ".join(columns)} |\n|{"---|" * len(columns)}')
    for name, result in results.items():
        print(f'| {name} | {_row(result)} |')
    if path:
        _draw(results, path)


def _write_expected(directory: pathlib.Path, shards: list[np.ndarray]) -> None:
    file = directory / EXPECTED
    if not file.exists():
        np.save(file, ExactSearcher.build(shards).search(np.load(directory / QUERIES), K).block_ids)


def _measured(name: str, vectors: str, index: pathlib.Path, cores: int) -> dict:
    program = (sys.executable, '-m', 'benchmarks.search_ours')
    if name in FAISS:
        program = (python_of('faiss', PEER), '-m', 'benchmarks.peers.faiss_search')
    arguments = (name, vectors, str(index), str(cores))
    cost = index.with_suffix('.build.json')
    if not cost.exists():
        cost.write_text(_run(*program, *arguments, 'build'))
    return json.loads(cost.read_text()) | json.loads(_run(*program, *arguments, 'search'))


def _row(result: dict) -> str:
    building, loading, loaded = (result[key] for key in ('build_seconds', 'load_seconds', 'bytes'))
    cells = [f'{building:.0f}', f'{result["build_bytes"] / 1e6:.0f}', f'{loading:.1f}', f'{loaded / 1e6:.0f}']
    for recall in _RECALLS:
        reached = [point for point in result['curve'] if point['recall'] >= recall]
        best = [f'{max(point[how] for point in reached):,.0f}' for how in _HOW if reached]
        cells.append(', '.join(best) or '–')
    fastest = max(reached, key=lambda point: point['one_by_one'], default=None)
    times = ('median_milliseconds', 'percentile_99_milliseconds')
    cells.append(', '.join(f'{fastest[time]:.2g}' for time in times) if fastest else '–')
    return ' | '.join(cells)


def _draw(results: dict[str, dict], path: str) -> None:
    with picture(path, 10, 4, ncols=2, sharey=True) as axes:
        for axis, (how, title) in zip(axes, _HOW.items(), strict=True):
            for name, result in results.items():
                if len(result['curve']) == 1:
                    continue
                points = _frontier(result['curve'], how)
                axis.plot([recall for recall, _ in points], [speed for _, speed in points], marker='.', label=name)
            axis.set(xlabel=f'recall@{K}', xlim=(0.8, 1), yscale='log', title=title)
            axis.grid(which='both', alpha=0.3)
        axes[0].set_ylabel('queries a second')
        axes[0].legend()


def _frontier(curve: list[dict[str, float]], how: str) -> list[tuple[float, float]]:
    """The settings that none beats in both recall and speed."""
    points = sorted(((point['recall'], point[how]) for point in curve), reverse=True)
    return [point for place, point in enumerate(points) if all(point[1] > other[1] for other in points[:place])]


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == '__main__':
    main()
