"""The Session loader of TensorFlow, which TensorFlow Serving opens models with, through the C API.

The Python package of TensorFlow is not imported here: only its shared libraries are loaded.
"""

import contextlib
import ctypes
import functools
import importlib.util
import pathlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from export.serving.errors import Code, ServingError

# TF_DataType: those of protocol buffers too.
STRING = 7
NUMBERS = {1: np.float32, 2: np.float64, 3: np.int32, 9: np.int64, 10: np.bool_}
_NUMBER_OF = {np.dtype(numpy): number for number, numpy in NUMBERS.items()}
_STRING_BYTES = 24

_POINTER, _TEXT, _INT, _SIZE = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_size_t
_INT64_ARRAY, _POINTER_ARRAY = ctypes.POINTER(ctypes.c_int64), ctypes.POINTER(_POINTER)


class _Place(ctypes.Structure):
    """TF_Output: an operation and the number of its output."""

    _fields_ = (('operation', _POINTER), ('index', _INT))


_PLACES = ctypes.POINTER(_Place)
# Result, then arguments.
_FUNCTIONS = {
    'TF_AllocateTensor': (_POINTER, _INT, _INT64_ARRAY, _INT, _SIZE),
    'TF_CloseSession': (None, _POINTER, _POINTER),
    'TF_DeleteGraph': (None, _POINTER),
    'TF_DeleteSession': (None, _POINTER, _POINTER),
    'TF_DeleteSessionOptions': (None, _POINTER),
    'TF_DeleteStatus': (None, _POINTER),
    'TF_DeleteTensor': (None, _POINTER),
    'TF_Dim': (ctypes.c_int64, _POINTER, _INT),
    'TF_GetCode': (_INT, _POINTER),
    'TF_GraphOperationByName': (_POINTER, _POINTER, _TEXT),
    'TF_LoadLibrary': (_POINTER, _TEXT, _POINTER),
    'TF_LoadSessionFromSavedModel': (
        *(_POINTER, _POINTER, _POINTER, _TEXT, ctypes.POINTER(_TEXT), _INT),
        *(_POINTER, _POINTER, _POINTER),
    ),
    'TF_Message': (_TEXT, _POINTER),
    'TF_NewGraph': (_POINTER,),
    'TF_NewSessionOptions': (_POINTER,),
    'TF_NewStatus': (_POINTER,),
    'TF_NumDims': (_INT, _POINTER),
    'TF_SessionRun': (
        *(None, _POINTER, _POINTER, _PLACES, _POINTER_ARRAY, _INT),
        *(_PLACES, _POINTER_ARRAY, _INT, _POINTER, _INT, _POINTER, _POINTER),
    ),
    'TF_StringCopy': (None, _POINTER, _TEXT, _SIZE),
    'TF_StringDealloc': (None, _POINTER),
    'TF_StringGetDataPointer': (_POINTER, _POINTER),
    'TF_StringGetSize': (_SIZE, _POINTER),
    'TF_StringInit': (None, _POINTER),
    'TF_TensorByteSize': (_SIZE, _POINTER),
    'TF_TensorData': (_POINTER, _POINTER),
    'TF_TensorType': (_INT, _POINTER),
}


@functools.cache
def _library() -> ctypes.CDLL:
    """The shared library of TensorFlow, its functions declared."""
    directory = pathlib.Path(importlib.util.find_spec('tensorflow').origin).parent
    ctypes.CDLL(str(directory / 'libtensorflow_framework.so.2'), mode=ctypes.RTLD_GLOBAL)
    library = ctypes.CDLL(str(directory / 'libtensorflow_cc.so.2'), mode=ctypes.RTLD_GLOBAL)
    for name, (result, *arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class _Status:
    """TF_Status, checked and freed where the `with` ends."""

    def __enter__(self) -> int:
        self._status = _library().TF_NewStatus()
        return self._status

    def __exit__(self, kind, error, traceback):
        library = _library()
        code = Code(library.TF_GetCode(self._status))
        message = library.TF_Message(self._status).decode(errors='replace')
        library.TF_DeleteStatus(self._status)
        if kind is None and code:
            raise ServingError(code, message)


def load_operations(paths: Iterable[str]) -> None:
    """Loads shared libraries with operations that graphs need."""
    for path in paths:
        with _Status() as status:
            _library().TF_LoadLibrary(str(path).encode(), status)


class Session:
    """A SavedModel, opened by the Session loader. Several threads may run it.

    Args:
      path: its directory.

    Raises:
      ServingError: if it cannot be opened.
    """

    def __init__(self, path: str):
        library = _library()
        self._graph = library.TF_NewGraph()
        options = library.TF_NewSessionOptions()
        tags = (_TEXT * 1)(b'serve')
        try:
            with _Status() as status:
                self._session = library.TF_LoadSessionFromSavedModel(
                    options, None, str(path).encode(), tags, 1, self._graph, None, status
                )
        except ServingError:
            library.TF_DeleteGraph(self._graph)
            raise
        finally:
            library.TF_DeleteSessionOptions(options)

    def run(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str]) -> list[np.ndarray]:
        """Runs the graph.

        Args:
          feeds: values by the name of a tensor; texts are arrays of objects that are bytes.
          fetches: names of tensors.

        Returns:
          Their values, texts as arrays of objects that are bytes.

        Raises:
          ServingError: if the graph fails.
        """
        library = _library()
        inputs = (_Place * len(feeds))(*map(self._place, feeds))
        outputs = (_Place * len(fetches))(*map(self._place, fetches))
        fed = [_to_tensor(np.asarray(value)) for value in feeds.values()]
        fetched = (_POINTER * len(fetches))()
        try:
            with _Status() as status:
                library.TF_SessionRun(
                    *(self._session, None, inputs, (_POINTER * len(fed))(*fed), len(fed)),
                    *(outputs, fetched, len(fetches), None, 0, None, status),
                )
            return [_to_array(tensor) for tensor in fetched]
        finally:
            for tensor in fed:
                _free_texts(tensor)
            for tensor in (*fed, *filter(None, fetched)):
                library.TF_DeleteTensor(tensor)

    def close(self) -> None:
        """Frees what the model holds; it cannot be run after that."""
        library = _library()
        for free in (library.TF_CloseSession, library.TF_DeleteSession):
            with _Status() as status:
                free(self._session, status)
        library.TF_DeleteGraph(self._graph)
        _give_back_memory()

    def _place(self, tensor_name: str) -> _Place:
        operation, _, index = tensor_name.partition(':')
        return _Place(_library().TF_GraphOperationByName(self._graph, operation.encode()), int(index))


def _give_back_memory() -> None:
    """Gives what was freed back to the system, which the C library of Linux otherwise keeps for this process."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _to_tensor(array: np.ndarray) -> int:
    library = _library()
    is_text = array.dtype == object
    size = array.size * _STRING_BYTES if is_text else array.nbytes
    shape = (ctypes.c_int64 * array.ndim)(*array.shape)
    tensor = library.TF_AllocateTensor(STRING if is_text else _NUMBER_OF[array.dtype], shape, array.ndim, size)
    data = library.TF_TensorData(tensor)
    if not is_text:
        ctypes.memmove(data, np.ascontiguousarray(array).ctypes.data, size)
        return tensor
    for place, text in zip(_texts(data, array.size), array.ravel(), strict=True):
        library.TF_StringInit(place)
        library.TF_StringCopy(place, text, len(text))
    return tensor


def _to_array(tensor: int) -> np.ndarray:
    library = _library()
    shape = [library.TF_Dim(tensor, dimension) for dimension in range(library.TF_NumDims(tensor))]
    data = library.TF_TensorData(tensor)
    kind = library.TF_TensorType(tensor)
    if kind != STRING:
        return np.frombuffer(ctypes.string_at(data, library.TF_TensorByteSize(tensor)), NUMBERS[kind]).reshape(shape)
    array = np.empty(shape, object)
    array.ravel()[:] = [
        ctypes.string_at(library.TF_StringGetDataPointer(place), library.TF_StringGetSize(place))
        for place in _texts(data, array.size)
    ]
    return array


def _free_texts(tensor: int) -> None:
    """Frees what the texts of a tensor hold, which deleting the tensor alone does not."""
    library = _library()
    if library.TF_TensorType(tensor) == STRING:
        count = library.TF_TensorByteSize(tensor) // _STRING_BYTES
        for place in _texts(library.TF_TensorData(tensor), count):
            library.TF_StringDealloc(place)


def _texts(data: int, count: int) -> Iterable[int]:
    return (data + _STRING_BYTES * index for index in range(count))
