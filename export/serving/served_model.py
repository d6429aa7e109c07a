"""A version of an export, opened to be served."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from etils import epath

from export.serving.errors import refuse
from export.serving.session import NUMBERS, STRING, Session
from export.versions import KIND
from realm_tf.artifacts import open_artifact
from realm_tf.environment import import_scann
from realm_tf.errors import RealmError

DEFAULT_SIGNATURE = 'serving_default'
# What operators of TensorFlow Serving call the types.
TYPE_NAMES = {1: 'DT_FLOAT', 2: 'DT_DOUBLE', 3: 'DT_INT32', STRING: 'DT_STRING', 9: 'DT_INT64', 10: 'DT_BOOL'}


@dataclasses.dataclass(frozen=True)
class TensorInfo:
    """An input or output of a signature.

    Attributes:
      tensor: its name in the graph.
      type: of its values, a DataType of TensorFlow.
      shape: None where any size goes.
    """

    tensor: str
    type: int
    shape: tuple[int | None, ...]

    @property
    def dtype(self) -> np.dtype:
        """The type of its values as arrays, texts being objects that are bytes."""
        return np.dtype(object if self.type == STRING else NUMBERS[self.type])


@dataclasses.dataclass(frozen=True)
class Signature:
    """What the model can be asked to compute.

    Attributes:
      inputs, outputs: by name, in alphabetical order.
      proto: the protocol buffer that describes it.
    """

    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]
    proto: object


class ServedModel:
    """A version of an export in the loader that TensorFlow Serving has.

    Args:
      path: its directory, the name of which is the version.

    Attributes:
      version: its number.
      signatures: what it computes, by name.

    Raises:
      RealmError: if there is no whole export, or its directory is not named by a number.
      ServingError: if it cannot be opened.
    """

    def __init__(self, path: epath.PathLike):
        artifact = open_artifact(path, KIND)
        if not artifact.path.name.isdecimal():
            raise RealmError(
                f'{path} cannot be served: the name of its directory is its version, which is a number. Name it 1, for '
                'example.'
            )
        # TensorFlow is imported for its protocol buffers, and for the operations that Python packages load.
        import tensorflow_text  # noqa: F401
        from tensorflow.core.protobuf import saved_model_pb2

        if artifact.configuration['searcher'] == 'scann':
            import_scann()
        self.path = artifact.path
        self.version = int(artifact.path.name)
        saved = saved_model_pb2.SavedModel.FromString((artifact.path / 'saved_model.pb').read_bytes())
        self.signatures = {
            name: Signature(_infos(signature.inputs), _infos(signature.outputs), signature)
            for name, signature in saved.meta_graphs[0].signature_def.items()
            if not name.startswith('__')
        }
        self._session = Session(str(artifact.path))

    def signature(self, name: str) -> Signature:
        """The signature of that name; the default one for an empty name.

        Raises:
          ServingError: if there is none.
        """
        name = name or DEFAULT_SIGNATURE
        if name not in self.signatures:
            refuse(f'Serving signature name: "{name}" not found in signature def')
        return self.signatures[name]

    def run(self, signature_name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Computes the outputs of a signature.

        Args:
          signature_name: its name; empty for the default one.
          inputs: by name, as its signature has them.

        Returns:
          The outputs by name; the first dimension of each is the batch.

        Raises:
          ServingError: if inputs do not fit, or the graph fails.
        """
        signature = self.signature(signature_name)
        check_inputs(signature, inputs)
        feeds = {info.tensor: inputs[name] for name, info in signature.inputs.items()}
        fetches = [info.tensor for info in signature.outputs.values()]
        return dict(zip(signature.outputs, self._session.run(feeds, fetches), strict=True))

    def close(self) -> None:
        """Frees its memory."""
        self._session.close()


def check_inputs(signature: Signature, inputs: Mapping[str, np.ndarray]) -> None:
    """Refuses inputs that are not those of the signature, by name, type and shape, or not of one batch."""
    if set(inputs) != set(signature.inputs):
        refuse(f'inputs are {_list(inputs)}, where the signature has {_list(signature.inputs)}')
    for name, info in signature.inputs.items():
        value = inputs[name]
        if value.dtype != info.dtype:
            refuse(f'input {name!r} is not of type {TYPE_NAMES[info.type]}')
        fits = value.ndim == len(info.shape) and all(
            size in (None, given) for size, given in zip(info.shape, value.shape, strict=True)
        )
        if not fits:
            sizes = ', '.join('?' if size is None else str(size) for size in info.shape)
            refuse(f'input {name!r} has the shape {list(value.shape)}, where the signature has [{sizes}]')
    if len({len(value) for value in inputs.values()}) > 1:
        refuse('the inputs are not of one batch: their first dimensions differ')


def _infos(protos) -> dict[str, TensorInfo]:
    return {
        name: TensorInfo(info.name, info.dtype, tuple(None if d.size < 0 else d.size for d in info.tensor_shape.dim))
        for name, info in sorted(protos.items())
    }


def _list(names) -> str:
    return ', '.join(sorted(names)) or 'none'
