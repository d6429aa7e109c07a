"""Runs a signature of a SavedModel through the C API of TensorFlow: by the Session loader, as TensorFlow Serving does.

    python session_loader.py < request.json

The request holds `path`; `libraries` with the operations the graph needs; `inputs`, what is fed by the name of its
tensor, texts or rows of int32; and `outputs`, names of tensors by the key they are printed under. Prints one JSON
object. The Python package is not imported: only its shared libraries are loaded.
"""

import ctypes
import json
import pathlib
import sys
import sysconfig

FLOAT, INT32, STRING, INT64 = 1, 3, 7, 9
NUMBERS = {FLOAT: ctypes.c_float, INT32: ctypes.c_int32, INT64: ctypes.c_int64}
STRING_BYTES = 24
POINTER = ctypes.c_void_p


class Output(ctypes.Structure):
    """TF_Output: an operation and the number of its output."""

    _fields_ = (('operation', POINTER), ('index', ctypes.c_int))


class Library:
    """The functions of the C API that are used, declared."""

    def __init__(self):
        directory = pathlib.Path(sysconfig.get_paths()['purelib']) / 'tensorflow'
        ctypes.CDLL(str(directory / 'libtensorflow_framework.so.2'), mode=ctypes.RTLD_GLOBAL)
        self._library = ctypes.CDLL(str(directory / 'libtensorflow_cc.so.2'), mode=ctypes.RTLD_GLOBAL)
        self.status = self('TF_NewStatus', POINTER)()

    def __call__(self, name, result, *arguments):
        function = getattr(self._library, name)
        function.restype, function.argtypes = result, arguments
        return function

    def check(self):
        if self('TF_GetCode', ctypes.c_int, POINTER)(self.status):
            sys.exit(self('TF_Message', ctypes.c_char_p, POINTER)(self.status).decode())


def output_named(library, graph, tensor_name):
    name, _, index = tensor_name.partition(':')
    operation = library('TF_GraphOperationByName', POINTER, POINTER, ctypes.c_char_p)(graph, name.encode())
    return Output(operation, int(index))


def allocate(library, kind, shape, size):
    """An empty tensor, and where its data lie."""
    function = library(
        'TF_AllocateTensor', POINTER, ctypes.c_int, ctypes.POINTER(ctypes.c_int64), ctypes.c_int, ctypes.c_size_t
    )
    tensor = function(kind, (ctypes.c_int64 * len(shape))(*shape), len(shape), size)
    return tensor, library('TF_TensorData', POINTER, POINTER)(tensor)


def int32_tensor(library, rows):
    numbers = [number for row in rows for number in row]
    tensor, data = allocate(library, INT32, (len(rows), len(rows[0])), 4 * len(numbers))
    (ctypes.c_int32 * len(numbers)).from_address(data)[:] = numbers
    return tensor


def string_tensor(library, texts):
    tensor, data = allocate(library, STRING, (len(texts),), STRING_BYTES * len(texts))
    copy = library('TF_StringCopy', None, POINTER, ctypes.c_char_p, ctypes.c_size_t)
    for index, text in enumerate(texts):
        library('TF_StringInit', None, POINTER)(data + STRING_BYTES * index)
        copy(data + STRING_BYTES * index, text.encode(), len(text.encode()))
    return tensor


def values_of(library, tensor):
    dimensions = library('TF_NumDims', ctypes.c_int, POINTER)(tensor)
    size_of = library('TF_Dim', ctypes.c_int64, POINTER, ctypes.c_int)
    count = 1
    for dimension in range(dimensions):
        count *= size_of(tensor, dimension)
    kind = library('TF_TensorType', ctypes.c_int, POINTER)(tensor)
    data = library('TF_TensorData', POINTER, POINTER)(tensor)
    if kind in NUMBERS:
        return list((NUMBERS[kind] * count).from_address(data))
    pointer = library('TF_StringGetDataPointer', POINTER, POINTER)
    size = library('TF_StringGetSize', ctypes.c_size_t, POINTER)
    places = [data + STRING_BYTES * index for index in range(count)]
    return [ctypes.string_at(pointer(place), size(place)).decode() for place in places]


def main():
    request = json.load(sys.stdin)
    library = Library()
    for path in request['libraries']:
        library('TF_LoadLibrary', POINTER, ctypes.c_char_p, POINTER)(path.encode(), library.status)
        library.check()
    graph = library('TF_NewGraph', POINTER)()
    load = library(
        'TF_LoadSessionFromSavedModel',
        *(POINTER, POINTER, POINTER, ctypes.c_char_p, ctypes.POINTER(ctypes.c_char_p), ctypes.c_int),
        *(POINTER, POINTER, POINTER),
    )
    options = library('TF_NewSessionOptions', POINTER)()
    tags = (ctypes.c_char_p * 1)(b'serve')
    session = load(options, None, request['path'].encode(), tags, 1, graph, None, library.status)
    library.check()
    outputs = [output_named(library, graph, name) for name in request['outputs'].values()]
    run = library(
        'TF_SessionRun',
        *(None, POINTER, POINTER, ctypes.POINTER(Output), ctypes.POINTER(POINTER), ctypes.c_int),
        *(ctypes.POINTER(Output), ctypes.POINTER(POINTER), ctypes.c_int, POINTER, ctypes.c_int, POINTER, POINTER),
    )
    inputs = [output_named(library, graph, name) for name in request['inputs']]
    tensors = [
        (string_tensor if isinstance(values[0], str) else int32_tensor)(library, values)
        for values in request['inputs'].values()
    ]
    fetched = (POINTER * len(outputs))()
    run(
        *(session, None, (Output * len(inputs))(*inputs), (POINTER * len(inputs))(*tensors), len(inputs)),
        *((Output * len(outputs))(*outputs), fetched, len(outputs), None, 0, None, library.status),
    )
    library.check()
    json.dump(
        dict(zip(request['outputs'], (values_of(library, tensor) for tensor in fetched), strict=True)), sys.stdout
    )


if __name__ == '__main__':
    main()
