"""How fast `realm serve` answers, whether each answer is the right one, and what a change of versions costs.

    python -m benchmarks.serving --model model --questions questions.jsonl --requests 10000

Starts the server as a process, asks it over HTTP with 1, 8 and 64 clients, and compares each answer with the one that
the model gives alone, without a server. Then it publishes the same model as the next version, with clients asking.
"""

import concurrent.futures
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import click
import numpy as np
import psutil
import urllib3

from benchmarks.machine import machine
from export.ask import Answerer
from export.client import RestClient
from export.versions import newest_version
from realm_tf.corpus.questions import read_questions

_CLIENTS = (1, 8, 64)


@click.command(context_settings={'show_default': True})
@click.option('--model', required=True, type=click.Path(exists=True), help='An export.')
@click.option('--questions', required=True, type=click.Path(exists=True), help='JSON Lines of questions.')
@click.option('--requests', default=10_000, help='Questions asked, by all clients together, for each row.')
def main(model, questions, requests):
    """Measure a server of an export."""
    click.echo(machine(('tensorflow', 'starlette', 'uvicorn')))
    texts = [question.text for question in read_questions(questions).questions][:requests]
    answerer = Answerer(model)
    expected = {text: first_of(answerer.ask([text])[0]) for text in texts}
    del answerer
    with tempfile.TemporaryDirectory() as directory:
        base = pathlib.Path(directory) / 'model'
        shutil.copytree(pathlib.Path(model) / str(newest_version(model)), base / '1')
        command = [sys.executable, '-m', 'export.serve', '--model', str(base), '--port', '0']
        begin = time.perf_counter()
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            url = server.stdout.readline().split()[-1].rstrip('/')
            click.echo(f'\nLoaded and warm after {time.perf_counter() - begin:.1f} s, {resident(server)}.\n')
            click.echo('| clients | questions | p50, ms | p99, ms | questions a second | lost or wrong |')
            click.echo('|---|---|---|---|---|---|')
            for clients in _CLIENTS:
                click.echo(row(url, clients, [texts[number % len(texts)] for number in range(requests)], expected))
            click.echo(swap(server, url, base, texts, expected))
        finally:
            server.terminate()
            server.wait()


def first_of(answers):
    """The words of the best answer."""
    return answers[0].answer if answers else ''


def row(url, clients, questions, expected) -> str:
    """A row of the table: so many clients, each asking the next question when the last is answered."""
    client = RestClient(url, seconds=120)

    def ask(question):
        begin = time.perf_counter()
        answer = first_of(client.ask([question])[0])
        return time.perf_counter() - begin, answer == expected[question]

    begin = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        seconds, right = zip(*pool.map(ask, questions), strict=True)
    a_second = len(questions) / (time.perf_counter() - begin)
    p50, p99 = 1000 * np.quantile(seconds, [0.5, 0.99])
    return f'| {clients} | {len(questions):,} | {p50:.0f} | {p99:.0f} | {a_second:.1f} | {right.count(False)} |'


def swap(server, url, base, texts, expected) -> str:
    """Publishes the next version with eight clients asking; says the memory before, meanwhile and after."""
    client, stop, most = RestClient(url, seconds=120), threading.Event(), [0]
    before = resident(server)

    def ask(first):
        right = []
        while not stop.is_set():
            question = texts[(first + len(right)) % len(texts)]
            right.append(first_of(client.ask([question])[0]) == expected[question])
        return right

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        clients = [pool.submit(ask, first) for first in range(8)]
        begin = time.perf_counter()
        shutil.copytree(base / '1', base / '.2')
        (base / '.2').rename(base / '2')
        while urllib3.request('GET', f'{url}/healthz').json()['version'] != 2:
            most[0] = max(most[0], psutil.Process(server.pid).memory_info().rss)
            time.sleep(0.05)
        seconds = time.perf_counter() - begin
        time.sleep(5)
        stop.set()
        answers = [right for asked in clients for right in asked.result()]
    return (
        f'\nThe next version took over {seconds:.1f} s after it began to be copied; {len(answers)} questions '
        f'meanwhile, {answers.count(False)} lost or wrong. Memory: {before} before, {most[0] / 1e6:.0f} MB at most, '
        f'{resident(server)} after.'
    )


def resident(process) -> str:
    """The memory of a process."""
    return f'{psutil.Process(process.pid).memory_info().rss / 1e6:.0f} MB'


if __name__ == '__main__':
    main()
