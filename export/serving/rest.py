"""TensorFlow Serving's REST API: what JSON stands for which arrays, both ways.

Rows, `{"instances": [...]}`, are answered by `{"predictions": [...]}`; columns, `{"inputs": ...}`, by
`{"outputs": ...}`. Bytes are `{"b64": "..."}`. https://www.tensorflow.org/tfx/serving/api_rest
"""

import base64
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from export.serving.errors import refuse
from export.serving.served_model import TYPE_NAMES, ServedModel, TensorInfo

_BYTES = 'b64'
# An output whose name ends so is written as bytes.
_BYTES_SUFFIX = '_bytes'


class PredictRequest(NamedTuple):
    """A request, parsed.

    Attributes:
      signature_name: empty for the default one.
      inputs: arrays by name.
      is_row: whether it was in the row format, which the answer has then.
    """

    signature_name: str
    inputs: dict[str, np.ndarray]
    is_row: bool


def parse_request(body: bytes, model: ServedModel) -> PredictRequest:
    """Parses the body of a request.

    Raises:
      ServingError: if it is no request, or not one for a signature of the model.
    """
    document = _parse_json(body)
    signature_name = document.get('signature_name', '')
    if not isinstance(signature_name, str):
        refuse("not formatted correctly. 'signature_name' key must be a string value.")
    infos = model.signature(signature_name).inputs
    if 'instances' in document and 'inputs' in document:
        refuse("Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist")
    if 'instances' in document:
        return PredictRequest(signature_name, _from_rows(document['instances'], infos), is_row=True)
    if 'inputs' in document:
        return PredictRequest(signature_name, _from_columns(document['inputs'], infos), is_row=False)
    refuse("Missing 'inputs' or 'instances' key")


def format_response(outputs: Mapping[str, np.ndarray], is_row: bool) -> bytes:
    """The body of an answer; a lone output goes without its name."""
    columns = {name: _to_json(values, name.endswith(_BYTES_SUFFIX)) for name, values in outputs.items()}
    if not is_row:
        document = {'outputs': columns if len(columns) > 1 else next(iter(columns.values()))}
    elif len(columns) > 1:
        rows = zip(*columns.values(), strict=True)
        document = {'predictions': [dict(zip(columns, row, strict=True)) for row in rows]}
    else:
        document = {'predictions': next(iter(columns.values()))}
    return json.dumps(document, ensure_ascii=False).encode()


def format_error(message: str) -> bytes:
    """The body that says what was wrong."""
    return json.dumps({'error': message}, ensure_ascii=False).encode()


def _parse_json(body: bytes) -> dict[str, Any]:
    if not body:
        refuse('JSON Parse error: The document is empty')
    try:
        document = json.loads(body.decode())
    except UnicodeDecodeError as error:
        refuse(f'JSON Parse error: The text is not UTF-8 at offset: {error.start}')
    except json.JSONDecodeError as error:
        refuse(f'JSON Parse error: {error.msg} at offset: {error.pos}')
    except (RecursionError, ValueError):
        refuse('JSON Parse error: The document is nested too deeply, or has a number of too many digits')
    if not isinstance(document, dict):
        refuse('JSON Value is not object')
    return document


def _from_rows(instances, infos: Mapping[str, TensorInfo]) -> dict[str, np.ndarray]:
    if not isinstance(instances, list):
        refuse("Expecting 'instances' to be a list/array")
    if not instances:
        refuse("No values in 'instances' array")
    names_given = _is_object(instances[0])
    if not names_given and len(infos) > 1:
        refuse(
            'instances is a plain list, but expecting list of objects as multiple input tensors are required: '
            + ', '.join(infos)
        )
    columns: dict[str, list] = {name: [] for name in infos}
    for number, row in enumerate(instances):
        if _is_object(row) != names_given:
            refuse(f"Item {number} of 'instances' list is not of the kind that the first is")
        of_row = row if names_given else {next(iter(infos)): row}
        if set(of_row) != set(infos):
            refuse(f"Failed to process element: {number} of 'instances' list. Keys must be equal to: {','.join(infos)}")
        for name, value in of_row.items():
            columns[name].append(value)
    return {name: _to_array(values, infos[name], name) for name, values in columns.items()}


def _from_columns(inputs, infos: Mapping[str, TensorInfo]) -> dict[str, np.ndarray]:
    if not _is_object(inputs):
        if len(infos) > 1:
            refuse('inputs is a plain value/list, but expecting an object as multiple input tensors are required')
        inputs = {next(iter(infos)): inputs}
    for name in infos:
        if name not in inputs:
            refuse(f"Missing named input: {name} in 'inputs' object.")
    return {name: _to_array(inputs[name], info, name) for name, info in infos.items()}


def _to_array(value, info: TensorInfo, name: str) -> np.ndarray:
    """A nested list as an array; every list of a level has the size of the first."""
    shape: list[int] = []
    inner = value
    while isinstance(inner, list):
        shape.append(len(inner))
        inner = inner[0] if inner else None
    if len(shape) != len(info.shape):
        refuse(f'input {name!r} is nested {len(shape)} lists deep, where {len(info.shape)} were expected')
    array = np.empty(shape, info.dtype)
    array.ravel()[:] = [_to_scalar(leaf, info, name) for leaf in _leaves(value, shape, name)]
    return array


def _leaves(value, shape, name):
    if not shape:
        if isinstance(value, list):
            refuse(f'input {name!r}: a list stands where a value was expected')
        yield value
        return
    if not isinstance(value, list) or len(value) != shape[0]:
        refuse(f'input {name!r} is not a rectangular list: the lists of one level have different sizes')
    for inner in value:
        yield from _leaves(inner, shape[1:], name)


def _to_scalar(value, info: TensorInfo, name: str):
    kind = info.dtype.kind
    if kind == 'O' and _is_bytes(value):
        try:
            return base64.b64decode(value[_BYTES], validate=True)
        except ValueError:
            refuse('Unable to base64 decode')
    if kind == 'O' and isinstance(value, str):
        # JSON can spell lone surrogates, which UTF-8 cannot.
        return value.encode(errors='replace')
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == 'f' and is_number:
        return value
    if kind == 'i' and is_number and isinstance(value, int):
        limits = np.iinfo(info.dtype)
        if limits.min <= value <= limits.max:
            return value
    if kind == 'b' and isinstance(value, bool):
        return value
    refuse(f'JSON Value: {json.dumps(value)[:100]} of input {name!r} is not of expected type: {TYPE_NAMES[info.type]}')


def _to_json(values: np.ndarray, as_bytes: bool):
    """An array as nested lists: no more digits than tell a number from its neighbours."""
    if values.dtype == object:
        write = _encoded if as_bytes else _decoded
    elif values.dtype == np.float32:
        write = _shortest
    else:
        return values.tolist()
    flat = np.empty(values.size, object)
    flat[:] = [write(value) for value in values.ravel()]
    return flat.reshape(values.shape).tolist()


def _shortest(value: np.float32) -> float:
    return float(str(value))


def _decoded(value: bytes) -> str:
    return value.decode(errors='replace')


def _encoded(value: bytes) -> dict[str, str]:
    return {_BYTES: base64.b64encode(value).decode()}


def _is_bytes(value) -> bool:
    return isinstance(value, dict) and set(value) == {_BYTES} and isinstance(value[_BYTES], str)


def _is_object(value) -> bool:
    return isinstance(value, dict) and not _is_bytes(value)
