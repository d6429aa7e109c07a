"""The clients, of the server here, and of servers that fail."""

import concurrent.futures
import contextlib
import http.server
import json
import socket
import threading
import time

import grpc
import pytest
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from export.client import GrpcClient, RestClient
from export.serving.errors import Code, ServingError
from tests.export.serving.parrot import AFTER, BEFORE, POISON


@pytest.fixture(params=['rest', 'grpc'])
def client(request, parrot_server):
    if request.param == 'rest':
        yield RestClient(parrot_server.url)
    else:
        with GrpcClient(parrot_server.grpc) as client:
            yield client


def test_both_give_the_same_answers(client):
    *answered, nothing_asked = client.ask(['Who?', 'Où ?', ''])
    assert nothing_asked == []
    for question, answers in zip(['Who?', 'Où ?'], answered, strict=True):
        assert len(answers) == 2
        assert answers[0].answer == question and answers[0].text == BEFORE + question + AFTER
        assert answers[0].marked('', '') == answers[0].text and answers[0].parts[1] == question
        assert (round(answers[0].probability, 6), answers[0].score) == (0.7, 1.0)


def test_a_lone_output_has_its_name(client):
    found = client.predict('embed_query', {'question': ['Who?', 'You']})
    assert found == {'embedding': [[4.0, 2.0], [3.0, 1.5]]}


def test_many_threads_use_one_client(client):
    questions = [f'question {number}' for number in range(200)]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda question: client.ask([question])[0][0].answer, questions))
    assert found == questions


@pytest.mark.parametrize(
    ('signature', 'inputs', 'code'),
    [
        ('serving_default', {'question': [POISON]}, Code.INVALID_ARGUMENT),
        ('serving_default', {'question': [1, 2]}, Code.INVALID_ARGUMENT),
        ('none', {'question': ['a']}, Code.INVALID_ARGUMENT),
    ],
)
def test_errors_have_the_code_of_the_server(client, signature, inputs, code):
    with pytest.raises(ServingError) as caught:
        client.predict(signature, inputs)
    assert caught.value.code == code and str(caught.value)


def shaped(*shape, kind=types_pb2.DT_STRING, **values):
    dimensions = [tensor_shape_pb2.TensorShapeProto.Dim(size=size) for size in shape]
    return tensor_pb2.TensorProto(dtype=kind, tensor_shape=tensor_shape_pb2.TensorShapeProto(dim=dimensions), **values)


@pytest.mark.parametrize(
    ('tensor', 'sentence'),
    [
        (shaped(10_000_000, string_val=[b'a']), 'has the shape [10000000], but the number of its values is 1'),
        (
            shaped(10_000_000, kind=types_pb2.DT_INT32, int_val=[1]),
            'has the shape [10000000], but the number of its values is 1',
        ),
        (shaped(1), 'has the shape [1], but the number of its values is 0'),
        (shaped(1, int_val=[1]), 'has the shape [1], but the number of its values is 0'),
        (shaped(1, string_val=[b'a', b'b']), 'has the shape [1], but the number of its values is 2'),
        (shaped(-1, string_val=[b'a']), 'has the shape [-1], but the number of its values is 1'),
        (shaped(0, 1 << 62, 4), 'no tensor'),
        (shaped(1, tensor_content=b'a' * 8), 'no tensor'),
        (shaped(1, kind=types_pb2.DT_QINT8, int_val=[1]), 'a type that no signature has'),
        (shaped(1, kind=99), 'a type that no signature has'),
    ],
)
def test_a_tensor_that_has_not_the_values_of_its_shape_is_refused(parrot_server, tensor, sentence):
    request = predict_pb2.PredictRequest(inputs={'question': tensor})
    request.model_spec.name = 'realm'
    with grpc.insecure_channel(parrot_server.grpc) as channel, pytest.raises(grpc.RpcError) as caught:
        prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT and sentence in caught.value.details()


@contextlib.contextmanager
def http_server(statuses):
    """A server that gives one status after the other; the last for ever."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers['content-length']))
            status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
            body = json.dumps({'outputs': {'x': [1]}} if status == 200 else {'error': 'not now'}).encode()
            self.send_response(status)
            self.send_header('content-length', str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *unused):
            pass

    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}'
        server.shutdown()


def test_rest_tries_again_what_may_pass():
    with http_server([503, 429, 200]) as url:
        assert RestClient(url).predict('', {}) == {'x': [1]}
    with http_server([429]) as url, pytest.raises(ServingError) as caught:
        RestClient(url, retries=1).predict('', {})
    assert caught.value.code == Code.RESOURCE_EXHAUSTED and str(caught.value) == 'not now'
    with http_server([400, 200]) as url, pytest.raises(ServingError) as caught:
        RestClient(url).predict('', {})
    assert caught.value.code == Code.INVALID_ARGUMENT


def test_grpc_tries_again_what_may_pass():
    calls = []

    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request, context):
            calls.append(request)
            if len(calls) < 3:
                context.abort(grpc.StatusCode.UNAVAILABLE, 'not now')
            return predict_pb2.PredictResponse()

    server = grpc.server(concurrent.futures.ThreadPoolExecutor(1))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port('127.0.0.1:0')
    server.start()
    with GrpcClient(f'127.0.0.1:{port}') as client:
        assert client.predict('', {}) == {} and len(calls) == 3
    server.stop(0)


@pytest.mark.parametrize('kind', ['rest', 'grpc'])
def test_a_server_that_does_not_answer_is_given_up(kind):
    with socket.create_server(('127.0.0.1', 0)) as silent:
        port = silent.getsockname()[1]
        client = (
            RestClient(f'http://127.0.0.1:{port}', seconds=0.3, retries=1)
            if kind == 'rest'
            else GrpcClient(f'127.0.0.1:{port}', seconds=0.3)
        )
        begin = time.monotonic()
        with pytest.raises(ServingError) as caught:
            client.ask(['Who?'])
    assert caught.value.code == Code.DEADLINE_EXCEEDED and time.monotonic() - begin < 20


@pytest.mark.parametrize('kind', ['rest', 'grpc'])
def test_where_there_is_no_server_it_is_said(kind):
    with socket.create_server(('127.0.0.1', 0)) as closed:
        port = closed.getsockname()[1]
    client = (
        RestClient(f'http://127.0.0.1:{port}', retries=1)
        if kind == 'rest'
        else GrpcClient(f'127.0.0.1:{port}', retries=1)
    )
    with pytest.raises(ServingError) as caught:
        client.ask(['Who?'])
    assert caught.value.code == Code.UNAVAILABLE


def test_the_metadata_are_the_signatures(parrot_server):
    from tensorflow_serving.apis import get_model_metadata_pb2

    request = get_model_metadata_pb2.GetModelMetadataRequest()
    request.model_spec.name = 'realm'
    with grpc.insecure_channel(parrot_server.grpc) as channel:
        response = prediction_service_pb2_grpc.PredictionServiceStub(channel).GetModelMetadata(request)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata['signature_def'].Unpack(signatures)
    assert set(signatures.signature_def['serving_default'].inputs) == {'question'}
    assert response.model_spec.version.value == 1
