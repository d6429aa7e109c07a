"""How large the export of millions of blocks is, how long it takes to load, and how fast it answers.

    python -m benchmarks.export_size --corpus simplewiki/corpus --vectors vectors --questions questions.jsonl

The blocks of a real corpus are taken again and again, text and all; their embeddings are those that
`benchmarks.search_vectors` makes, at least as many as the blocks. Query tower and reader are BERT-base with fresh
weights, five blocks of at most 320 wordpieces are read, and search is `ivf`, with core operations. Everything is made
by the commands that users run; then `realm serve` answers, one question at a time. The last row, that of the paper's
corpus, is computed by the line through the smallest and the largest. Search grows more slowly than the blocks, so that
by this line its time is a bound. Prints a table in Markdown.
"""

import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable

import click
import numpy as np
import psutil

from benchmarks.corpus_sample import multiplied
from benchmarks.machine import machine
from benchmarks.peak_memory import PeakMemory
from export.client import RestClient
from realm_tf.artifacts import open_artifact
from realm_tf.commands import realm_command
from realm_tf.corpus.block_store import BlockStore
from realm_tf.corpus.questions import read_questions
from realm_tf.weights.imported_embeddings import write_imported_embeddings

_PAPER = 13_353_718
_COLUMNS = {
    'blocks': '{:,.0f}',
    'index, s': '{:,.0f}',
    'export, s': '{:,.0f}',
    'export, its memory, GB': '{:.1f}',
    'SavedModel, GB': '{:.2f}',
    'ready, s': '{:,.0f}',
    'serving, GB': '{:.1f}',
    'serving, at most, GB': '{:.1f}',
    'retrieve, p50 ms': '{:,.0f}',
    'answer, p50 ms': '{:,.0f}',
}


@click.command(context_settings={'show_default': True})
@click.option('--corpus', 'corpus_path', required=True, help='The corpus whose blocks are taken.')
@click.option('--vectors', required=True, type=click.Path(exists=True), help='What benchmarks.search_vectors made.')
@click.option('--questions', 'question_file', required=True, help='JSON Lines of questions.')
@click.option('--number', default=20, help='How many of the questions are asked, the first ones.')
@click.option('--blocks', 'sizes', multiple=True, type=int, default=(252_000, 2_016_000), help='How many, at least.')
def main(corpus_path, vectors, question_file, number, sizes):
    """Measures an export of every size."""
    questions = [question.text for question in read_questions(question_file).questions[:number]]
    pieces = [np.load(file, mmap_mode='r') for file in sorted(pathlib.Path(vectors).glob('vectors-*.npy'))]
    print(f'{machine(("tensorflow",))}; {len(questions)} questions\n')
    print(f'| {" | ".join(_COLUMNS)} |\n|{"---|" * len(_COLUMNS)}', flush=True)
    rows = []
    for size in sorted(sizes):
        # Beside the corpus, whose shards are linked.
        with tempfile.TemporaryDirectory(dir=pathlib.Path(corpus_path).parent) as directory:
            rows.append(measured(pathlib.Path(directory), pathlib.Path(corpus_path), size, pieces, questions))
        print(line(rows[-1]), flush=True)
    if len(rows) > 1:
        print(line(extrapolated(rows[0], rows[-1])), flush=True)


def measured(
    directory: pathlib.Path, corpus: pathlib.Path, size: int, vectors: list[np.ndarray], questions: list[str]
) -> list[float]:
    """A row of the table: of at least so many blocks."""
    paths = {name: directory / name for name in ('corpus', 'embeddings', 'index', 'model', 'export')}
    paths['corpus'].mkdir()
    multiplied(corpus, paths['corpus'], size)
    blocks = BlockStore.open(paths['corpus'])
    embeddings = np.concatenate(vectors)[: len(blocks)]
    write_imported_embeddings(embeddings, paths['embeddings'], blocks, source='vectors', made_by={})
    of_embeddings = ('--embeddings', paths['embeddings'])
    command = realm_command('index', *of_embeddings, '--output', paths['index'], '--set', 'index.searcher=ivf')
    index_seconds, _ = run(command)
    model = (paths['corpus'], paths['embeddings'], 'float32', paths['model'])
    run([sys.executable, '-m', 'benchmarks.answering_model', *model])
    inputs = ('--model', paths['model'], '--corpus', paths['corpus'], *of_embeddings, '--index', paths['index'])
    command = realm_command('export', *inputs, '--searcher', 'ivf', '--output', paths['export'])
    export_seconds, export_bytes = run(command)
    size = sum(file['bytes'] for file in open_artifact(paths['export'] / '1').files.values())
    return [
        *(len(blocks), index_seconds, export_seconds, export_bytes / 1e9, size / 1e9),
        *served(paths['export'], questions),
    ]


def served(model: pathlib.Path, questions: list[str]) -> list[float]:
    """Seconds until a server is ready, its memory then and at most in gigabytes, and milliseconds of a question."""
    begin = time.perf_counter()
    command = [sys.executable, '-m', 'export.serve', '--model', str(model), '--port', '0', '--max-seconds', '600']
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        url = server.stdout.readline().split()[-1]
        ready = time.perf_counter() - begin
        memory = psutil.Process(server.pid).memory_info().rss / 1e9
        client = RestClient(url, seconds=600)
        milliseconds = []
        for signature in ('retrieve', 'serving_default'):
            seconds = []
            for question in questions:
                begin = time.perf_counter()
                client.predict(signature, {'question': [question]})
                seconds.append(time.perf_counter() - begin)
            milliseconds.append(1000 * float(np.median(seconds)))
        status = pathlib.Path(f'/proc/{server.pid}/status').read_text()
        most = int(status.split('VmHWM:')[1].split()[0]) * 1024 / 1e9
        return [ready, memory, most, *milliseconds]
    finally:
        server.terminate()
        server.wait()


def run(command: Iterable) -> tuple[float, int]:
    """Runs a command; gives its seconds, and the most bytes that it had of its own."""
    begin = time.perf_counter()
    with PeakMemory() as memory:
        subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin, memory.anonymous


def extrapolated(smallest: list[float], largest: list[float]) -> list[float]:
    """The row of the paper's corpus, by the line through two rows; how long reading takes is no matter of blocks."""
    (small, *low), (large, *high) = smallest, largest
    share = (_PAPER - small) / (large - small)
    *row, retrieve, _ = (one + share * (other - one) for one, other in zip(low, high, strict=True))
    return [_PAPER, *row, retrieve, high[-1] + retrieve - high[-2]]


def line(row: list[float]) -> str:
    """A row of the table, in Markdown."""
    return f'| {" | ".join(form.format(value) for form, value in zip(_COLUMNS.values(), row, strict=True))} |'


if __name__ == '__main__':
    main()
