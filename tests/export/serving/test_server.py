"""The server, as a real process, over real HTTP."""

import asyncio
import concurrent.futures
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse

import pytest
from prometheus_client.parser import text_string_to_metric_families

from export.client import GrpcClient
from export.serving.application import counted
from export.serving.errors import Code, ServingError
from export.serving.metrics import Metrics
from realm_tf.artifacts import MANIFEST
from tests.export.serving.parrot import AFTER, BEFORE, POISON, write_parrot
from tests.export.serving.servers import started


def test_rows_are_answered_by_rows(parrot_server):
    found = parrot_server.predict({'instances': ['one', {'b64': 'dHdv'}], 'signature_name': 'serving_default'})
    assert found.status == 200 and found.headers['content-type'] == 'application/json'
    first, second = found.json()['predictions']
    assert (first['answer'], second['answer']) == ('one', 'two')
    assert first['top_text'] == [f'{BEFORE}one{AFTER}'] * 2
    # As short as a float32 can be written.
    assert first['probability'] == 0.7
    named = parrot_server.predict({'instances': [{'question': 'one'}, {'question': 'two'}]})
    assert named.json() == found.json()


def test_columns_are_answered_by_columns(parrot_server):
    plain = parrot_server.predict({'inputs': ['one', 'two']}).json()['outputs']
    assert plain == parrot_server.predict({'inputs': {'question': ['one', 'two']}}).json()['outputs']
    assert plain['answer'] == ['one', 'two'] and plain['score'] == [1.0, 1.0]


@pytest.mark.parametrize(
    ('body', 'sentence'),
    [
        (b'', 'JSON Parse error: The document is empty'),
        (b'{', 'JSON Parse error'),
        (b'\xff', 'not UTF-8'),
        (b'[' * 100_000, 'nested too deeply'),
        (b'[]', 'not object'),
        (b'{}', "Missing 'inputs' or 'instances' key"),
        ({'instances': ['a'], 'inputs': ['a']}, 'only one of'),
        ({'instances': []}, "No values in 'instances' array"),
        ({'instances': 'a'}, "Expecting 'instances' to be a list/array"),
        ({'instances': ['a', {'question': 'b'}]}, "Item 1 of 'instances'"),
        ({'instances': [{'questions': 'a'}]}, 'Keys must be equal to: question'),
        ({'instances': [['a'], ['b']]}, 'nested 2 lists deep'),
        ({'instances': [1]}, "JSON Value: 1 of input 'question' is not of expected type: DT_STRING"),
        ({'instances': [None]}, 'DT_STRING'),
        ({'instances': [{'b64': '%'}]}, 'Unable to base64 decode'),
        ({'instances': [{'b64': 'é'}]}, 'Unable to base64 decode'),
        ({'inputs': {'other': ['a']}}, "Missing named input: question in 'inputs' object."),
        ({'inputs': 'a'}, 'nested 0 lists deep'),
        ({'inputs': []}, 'between 1 and 4096 rows'),
        ({'inputs': ['a'], 'signature_name': 3}, "'signature_name' key must be a string"),
        ({'inputs': ['a'], 'signature_name': 'no'}, 'Serving signature name: "no" not found in signature def'),
        ({'inputs': ['a'] * 4097}, 'between 1 and 4096 rows; this one has 4097'),
    ],
)
def test_what_is_wrong_with_a_request_is_said(parrot_server, body, sentence):
    found = parrot_server.predict(body)
    assert found.status == 400
    assert set(found.json()) == {'error'} and sentence in found.json()['error']


def test_other_routes(parrot_server):
    assert parrot_server.predict({'instances': ['a']}, '/v1/models/realm/versions/1:predict').status == 200
    assert parrot_server.predict({'instances': ['a']}, '/v1/models/realm/versions/9:predict').status == 404
    assert parrot_server.predict({'instances': ['a']}, '/v1/models/other:predict').status == 400
    status = parrot_server.get('/v1/models/realm').json()['model_version_status']
    assert [(state['version'], state['state']) for state in status] == [('1', 'AVAILABLE')]
    assert parrot_server.get('/healthz').json() == {'status': 'ok', 'version': 1}
    assert parrot_server.get('/nowhere').status == 404


def test_a_body_that_is_too_long_is_not_read(parrot_server):
    assert parrot_server.predict(b' ' * (9 << 20)).status == 413
    assert parrot_server.predict({'instances': ['a']}).status == 200


def test_any_text_is_answered(parrot_server):
    texts = ['', ' ', '\x00', 'é' * 100_000, 'x' * (1 << 20), '日本語', '\ud800']
    rows = parrot_server.predict(json.dumps({'instances': texts}).encode()).json()['predictions']
    assert [row['answer'] for row in rows] == [*texts[:-1], '?']


def test_4096_rows_in_one_request(parrot_server):
    questions = [f'question {number}' for number in range(4096)]
    rows = parrot_server.predict({'instances': questions}).json()['predictions']
    assert [row['answer'] for row in rows] == questions


def test_an_error_is_only_for_the_request_that_makes_it(parrot_server):
    questions = [POISON if number % 5 == 0 else f'question {number}' for number in range(100)]

    def ask(question):
        return parrot_server.predict({'instances': [question]})

    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(ask, questions))
    for question, found in zip(questions, answers, strict=True):
        if question == POISON:
            assert found.status == 400 and 'the parrot is poisoned' in found.json()['error']
        else:
            assert found.json()['predictions'][0]['answer'] == question


def metrics_of(server):
    """Their values, by name and labels."""
    families = text_string_to_metric_families(server.get('/metrics').data.decode())
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value for family in families for sample in family.samples
    }


def requests_of(server, interface, code):
    """How many of an interface had that end."""
    return metrics_of(server).get(('realm_requests_total', ('code', code), ('interface', interface)), 0)


def test_the_metrics_are_those_of_prometheus(parrot_server):
    before, answered = metrics_of(parrot_server), requests_of(parrot_server, 'rest', 'OK')
    parrot_server.predict({'instances': ['a', 'b', 'c']})
    after = metrics_of(parrot_server)
    assert after['realm_questions_total',] - before['realm_questions_total',] == 3
    assert requests_of(parrot_server, 'rest', 'OK') == answered + 1
    assert after['realm_model_version',] == 1 and after['realm_waiting',] == 0


def test_no_request_that_got_no_answer_is_counted_as_answered(parrot_server):
    refused = requests_of(parrot_server, 'rest', 'INVALID_ARGUMENT')
    assert parrot_server.predict(b' ' * (9 << 20)).status == 413
    assert requests_of(parrot_server, 'rest', 'INVALID_ARGUMENT') == refused + 1
    gone = requests_of(parrot_server, 'rest', 'CANCELLED')
    all_of_rest = ('realm_request_seconds_count', ('interface', 'rest'))
    before = metrics_of(parrot_server)[all_of_rest]
    with socket.create_connection(urllib.parse.urlsplit(parrot_server.url).netloc.split(':')) as connection:
        connection.sendall(b'POST /v1/models/realm:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{')
    while metrics_of(parrot_server)[all_of_rest] == before:
        time.sleep(0.01)
    assert requests_of(parrot_server, 'rest', 'CANCELLED') == gone + 1


@pytest.mark.parametrize(
    ('error', 'code'),
    [(asyncio.CancelledError(), 'CANCELLED'), (MemoryError(), 'INTERNAL'), (ServingError(Code.ABORTED, ''), 'ABORTED')],
)
def test_whatever_ends_a_request_is_counted(error, code):
    metrics = Metrics()
    with pytest.raises(type(error)), counted(metrics, 'grpc'):
        raise error
    assert metrics.registry.get_sample_value('realm_requests_total', {'interface': 'grpc', 'code': code}) == 1


def test_text_of_the_corpus_is_escaped_on_the_page(parrot_server):
    found = parrot_server.get('/', question='<i>who</i>')
    html = found.data.decode()
    assert '<mark>&lt;i&gt;who&lt;/i&gt;</mark>' in html and '&lt;script&gt;document' in html
    assert '<i>' not in html and '<img' not in html and html.count('<script') == 1
    assert "default-src 'none'" in found.headers['content-security-policy']
    assert '//' not in html.replace('<!doctype', ''), 'no assets from elsewhere'


def test_an_empty_question_is_told(parrot_server):
    found = parrot_server.get('/', question='  ')
    assert found.status == 400 and 'The question is empty.' in found.data.decode()
    assert parrot_server.get('/').status == 200


def test_a_failure_is_told_on_the_page(parrot_server):
    found = parrot_server.get('/', question=POISON)
    assert found.status == 400 and 'the parrot is poisoned' in found.data.decode()


def test_a_newer_version_takes_over_and_no_request_is_lost(tmp_path):
    base = tmp_path / 'model'
    write_parrot(base, 1)
    with started(base) as server:
        stop = threading.Event()

        def client(name):
            scores, last = [], False
            while not last:
                last = stop.is_set()
                question = f'question {len(scores)} of {name}'
                found = server.predict({'instances': [question]})
                assert found.status == 200, found.data
                (row,) = found.json()['predictions']
                assert row['answer'] == question
                scores.append(row['score'])
            return scores

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            clients = [pool.submit(client, name) for name in range(8)]
            # A version that is not whole, one that cannot be opened, and a good one.
            (base / '2').mkdir()
            write_parrot(base, 3)
            version_is(server, 3)
            write_parrot(base, 4)
            (base / '4' / 'saved_model.pb').write_bytes(b'')
            write_parrot(base, 5)
            version_is(server, 5)
            stop.set()
            of_clients = [client.result() for client in clients]
        for scores in of_clients:
            assert scores == sorted(scores) and set(scores) <= {1, 3, 5} and scores[-1] == 5
        assert min(scores[0] for scores in of_clients) == 1

        # One that is copied: its manifest comes first.
        write_parrot(base / 'elsewhere', 6)
        (base / '6').mkdir()
        shutil.copy(base / 'elsewhere' / '6' / MANIFEST, base / '6')
        # Long enough for a look at it.
        time.sleep(2.5)
        assert server.get('/healthz').json()['version'] == 5
        shutil.copytree(base / 'elsewhere' / '6', base / '6', dirs_exist_ok=True)
        version_is(server, 6)
        assert server.stop() == 0


def version_is(server, version):
    while server.get('/healthz').json()['version'] != version:
        assert server.process.poll() is None
        time.sleep(0.05)


def begun(server):
    """Waits until it has begun to answer."""
    while not server.get('/metrics').data.decode().split('\nrealm_questions_total ')[1].startswith(('1', '2')):
        time.sleep(0.01)


# More than are computed before the signal comes, one a batch.
MANY = [f'question {number}' for number in range(1000)]


def test_sigterm_ends_it_after_the_requests_that_have_come(parrot_base):
    with started(parrot_base, '--max-batch', '1') as server:
        body = json.dumps({'instances': MANY}).encode()
        with socket.create_connection(urllib.parse.urlsplit(server.url).netloc.split(':')) as connection:
            head = f'POST /v1/models/realm:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n'
            connection.sendall(head.encode() + body)
            begun(server)
            server.process.send_signal(signal.SIGTERM)
            received = b''
            while chunk := connection.recv(1 << 16):
                received += chunk
        assert received.startswith(b'HTTP/1.1 200')
        assert len(json.loads(received.partition(b'\r\n\r\n')[2])['predictions']) == 1000
        assert server.process.wait(600) == 0


def test_sigterm_ends_it_after_the_requests_that_have_come_by_grpc(parrot_base):
    with started(parrot_base, '--max-batch', '1') as server, concurrent.futures.ThreadPoolExecutor(1) as pool:
        with GrpcClient(server.grpc, seconds=600, retries=0) as client:
            asked = pool.submit(client.predict, 'serving_default', {'question': MANY})
            begun(server)
            server.process.send_signal(signal.SIGTERM)
            assert [answer.decode() for answer in asked.result()['answer']] == MANY
        assert server.process.wait(600) == 0


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        (('--model', 'nowhere'), 'There is no export at nowhere'),
        ((), "Missing option '--model'"),
        (('--model', 'nowhere', '--port', '70000'), '70000'),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(arguments, sentence):
    ended = subprocess.run(
        [sys.executable, '-m', 'export.serve', *arguments], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert sentence in ended.stderr and 'Traceback' not in ended.stderr


@pytest.mark.parametrize('option', ['--port', '--grpc-port'])
def test_a_port_that_is_taken_is_said(tmp_path, option):
    write_parrot(tmp_path, 1)
    # It is said before the model is opened, which would fail.
    (tmp_path / '1' / 'saved_model.pb').write_bytes(bytes((tmp_path / '1' / 'saved_model.pb').stat().st_size))
    with socket.create_server(('127.0.0.1', 0)) as taken:
        arguments = ['--model', str(tmp_path), '--port', '0', option, str(taken.getsockname()[1])]
        ended = subprocess.run(
            [sys.executable, '-m', 'export.serve', *arguments], capture_output=True, text=True, check=False
        )
    assert ended.returncode == 2 and f'Name another {option}' in ended.stderr and 'Traceback' not in ended.stderr
