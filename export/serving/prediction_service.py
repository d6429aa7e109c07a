"""TensorFlow Serving's PredictionService over gRPC."""

import math

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import any_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_service_pb2_grpc

from export.serving.application import counted
from export.serving.batching import Batcher
from export.serving.errors import Code, ServingError, refuse
from export.serving.limits import Limits
from export.serving.metrics import Metrics
from export.serving.session import STRING
from export.versions import MODEL_NAME

_GRPC_CODES = {code.value[0]: code for code in grpc.StatusCode}
# Where a tensor has its values, if not as bytes: those of the types that signatures have.
_VALUES = {1: 'float_val', 2: 'double_val', 3: 'int_val', STRING: 'string_val', 9: 'int64_val', 10: 'bool_val'}


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """`Predict` and `GetModelMetadata`.

    Args:
      batcher: what computes.
      metrics: where requests are counted.
    """

    def __init__(self, batcher: Batcher, metrics: Metrics):
        self._batcher = batcher
        self._metrics = metrics

    async def Predict(self, request, context):
        try:
            with counted(self._metrics, 'grpc'):
                return await self._predict(request, context.time_remaining())
        except ServingError as error:
            await context.abort(_GRPC_CODES[error.code], str(error))

    async def GetModelMetadata(self, request, context):
        if request.model_spec.name != MODEL_NAME:
            await context.abort(grpc.StatusCode.NOT_FOUND, _not_found(request.model_spec.name))
        model = self._batcher.model
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in model.signatures.items():
            signatures.signature_def[name].CopyFrom(signature.proto)
        packed = any_pb2.Any()
        packed.Pack(signatures)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = MODEL_NAME
        response.model_spec.version.value = model.version
        response.metadata['signature_def'].CopyFrom(packed)
        return response

    async def _predict(self, request, seconds):
        spec = request.model_spec
        if spec.name != MODEL_NAME:
            raise ServingError(Code.NOT_FOUND, _not_found(spec.name))
        try:
            inputs = {name: _to_array(tensor, name) for name, tensor in request.inputs.items()}
        except (TypeError, ValueError) as error:
            raise ServingError(Code.INVALID_ARGUMENT, f'An input is no tensor: {error}') from error
        version = spec.version.value if spec.HasField('version') else None
        outputs, version = await self._batcher.predict(spec.signature_name, inputs, version=version, seconds=seconds)
        response = predict_pb2.PredictResponse()
        response.model_spec.name, response.model_spec.signature_name = MODEL_NAME, spec.signature_name
        response.model_spec.version.value = version
        for name, values in outputs.items():
            if not request.output_filter or name in request.output_filter:
                response.outputs[name].CopyFrom(tf.make_tensor_proto(values))
        return response


def bound_server(limits: Limits, address: str) -> tuple[grpc.aio.Server, int]:
    """Makes a server that has an address, such as `127.0.0.1:8500`, and answers once it is started.

    Returns:
      The server, and its port.

    Raises:
      RuntimeError: if it cannot have that address.
    """
    server = grpc.aio.server(
        options=[
            ('grpc.max_receive_message_length', limits.max_body_bytes),
            ('grpc.max_send_message_length', -1),
            ('grpc.so_reuseport', 0),
        ]
    )
    return server, server.add_insecure_port(address)


async def start_prediction_service(server: grpc.aio.Server, batcher: Batcher, metrics: Metrics) -> None:
    """Starts a server, which answers by a batcher."""
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(PredictionService(batcher, metrics), server)
    await server.start()


def _to_array(tensor, name: str) -> np.ndarray:
    """A tensor as an array; one with fewer values than its shape says could stand for any amount of memory."""
    if tensor.dtype not in _VALUES:
        refuse(f'input {name!r} is of a type that no signature has')
    shape = [dimension.size for dimension in tensor.tensor_shape.dim]
    count = len(getattr(tensor, _VALUES[tensor.dtype]))
    if not tensor.tensor_content and count != math.prod(shape):
        refuse(f'input {name!r} has the shape {shape}, but the number of its values is {count}')
    return tf.make_ndarray(tensor)


def _not_found(name: str) -> str:
    return f'Servable not found for request: Latest({name})'
