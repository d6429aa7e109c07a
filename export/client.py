"""Clients of a served model, be the server TensorFlow Serving or `realm serve`.

client = RestClient('http://localhost:8501')
for answers in client.ask(['What is the capital of Uruguay?']):
    print(answers[0].answer, answers[0].probability)
"""

import abc
import json
from collections.abc import Mapping, Sequence
from typing import Any

from export.answers import Answer, answers_of
from export.serving.errors import Code, ServingError
from export.versions import MODEL_NAME

_CODE_OF_HTTP = {code.http_status: code for code in reversed(Code) if code.http_status != 500}
_SERVICE = 'tensorflow.serving.PredictionService'
# The only output that a signature of an export has alone: REST gives such a one without its name.
_LONE_OUTPUT = 'embedding'


class Client(abc.ABC):
    """What a served model is asked with."""

    def ask(self, questions: Sequence[str]) -> list[list[Answer]]:
        """Answers questions: for each, the answers found, best first.

        Raises:
          ServingError: if there was no answer; its code says of what kind the failure is.
        """
        return answers_of(self.predict('serving_default', {'question': list(questions)}))

    @abc.abstractmethod
    def predict(self, signature_name: str, inputs: Mapping[str, Sequence]) -> dict[str, Any]:
        """Computes a signature of the model.

        Args:
          signature_name: `serving_default`, `retrieve`, …
          inputs: by name, lists of texts or numbers.

        Returns:
          The outputs by name, as lists; the first level is the batch.

        Raises:
          ServingError: if there was no answer; its code says of what kind the failure is.
        """


class RestClient(Client):
    """Asks by HTTP. It may be used by several threads, and keeps connections open.

    Args:
      url: of the server, as `http://localhost:8501`.
      seconds: the longest that an attempt may take.
      retries: attempts after the first, of a server that cannot be reached, has too much to do, or is starting.
    """

    def __init__(self, url: str, seconds: float = 30.0, retries: int = 3):
        import urllib3

        self._errors = urllib3.exceptions
        self._url = f'{url.rstrip("/")}/v1/models/{MODEL_NAME}:predict'
        # A question can be asked twice: retries are safe for any method.
        policy = urllib3.Retry(
            retries, backoff_factor=0.2, status_forcelist=(429, 503), allowed_methods=None, raise_on_status=False
        )
        self._pool = urllib3.PoolManager(retries=policy, timeout=urllib3.Timeout(total=seconds), maxsize=64)

    def predict(self, signature_name, inputs):
        try:
            response = self._pool.request(
                'POST', self._url, json={'signature_name': signature_name, 'inputs': dict(inputs)}
            )
        except self._errors.MaxRetryError as error:
            late = isinstance(error.reason, self._errors.ReadTimeoutError)
            code = Code.DEADLINE_EXCEEDED if late else Code.UNAVAILABLE
            raise ServingError(code, f'{self._url}: {error.reason}') from error
        try:
            document = json.loads(response.data)
            if response.status != 200:
                raise ServingError(_CODE_OF_HTTP.get(response.status, Code.UNKNOWN), document['error'])
            outputs = document['outputs']
            return outputs if isinstance(outputs, dict) else {_LONE_OUTPUT: outputs}
        except (ValueError, KeyError, TypeError) as error:
            message = f'{self._url} gave HTTP status {response.status}, and no JSON of TensorFlow Serving.'
            raise ServingError(Code.UNKNOWN, message) from error


class GrpcClient(Client):
    """Asks by gRPC. It may be used by several threads; `close` it, or use it in a `with`.

    Args:
      address: of the server, as `localhost:8500`.
      seconds: the longest that a call may take, with all its attempts.
      retries: attempts after the first, of a server that cannot be reached or has too much to do; 4 at most.
    """

    def __init__(self, address: str, seconds: float = 30.0, retries: int = 3):
        import grpc
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

        self._tf, self._rpc_error, self._request = tf, grpc.RpcError, predict_pb2.PredictRequest
        self._seconds = seconds
        policy = {
            'maxAttempts': retries + 1,
            'initialBackoff': '0.2s',
            'maxBackoff': '5s',
            'backoffMultiplier': 2,
            'retryableStatusCodes': ['UNAVAILABLE', 'RESOURCE_EXHAUSTED'],
        }
        config = {'methodConfig': [{'name': [{'service': _SERVICE}], 'retryPolicy': policy}] if retries else []}
        options = [('grpc.service_config', json.dumps(config)), ('grpc.max_receive_message_length', -1)]
        self._channel = grpc.insecure_channel(address, options)
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)

    def predict(self, signature_name, inputs):
        request = self._request()
        request.model_spec.name, request.model_spec.signature_name = MODEL_NAME, signature_name
        for name, values in inputs.items():
            request.inputs[name].CopyFrom(self._tf.make_tensor_proto(list(values)))
        try:
            response = self._stub.Predict(request, timeout=self._seconds)
        except self._rpc_error as error:
            raise ServingError(Code(error.code().value[0]), error.details()) from error
        return {name: self._tf.make_ndarray(tensor).tolist() for name, tensor in response.outputs.items()}

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()

    def __enter__(self) -> 'GrpcClient':
        return self

    def __exit__(self, *unused) -> None:
        self.close()
