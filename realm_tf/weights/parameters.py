"""Parameters of a network by name, in memory and in a file."""

from collections.abc import Mapping

import keras
import numpy as np
from etils import epath

from realm_tf.errors import RealmError
from realm_tf.weights.refusal import refuse_names
from realm_tf.weights.tensor_files import read_tensors, write_tensors


def named_parameters(layer: keras.layers.Layer) -> dict[str, keras.Variable]:
    """The trainable variables of a built layer by their path below it, such as `encoder/layer_0/output/kernel`."""
    return {variable.path.removeprefix(f'{layer.path}/'): variable for variable in layer.trainable_variables}


def copied_parameters(layer: keras.layers.Layer) -> dict[str, np.ndarray]:
    """Copies of the trainable variables of a layer, which stay as they are while it is trained on."""
    return {name: np.array(variable) for name, variable in named_parameters(layer).items()}


def save_parameters(layer: keras.layers.Layer, path: epath.PathLike) -> None:
    """Writes the trainable variables of a layer to a safetensors file."""
    write_tensors({name: np.asarray(variable) for name, variable in named_parameters(layer).items()}, path)


def load_parameters(layer: keras.layers.Layer, path: epath.PathLike) -> None:
    """Sets the trainable variables of a layer from a safetensors file.

    Raises:
      RealmError: if the file is missing or truncated, or a variable is missing, unexpected or misshapen; it is named,
        with both shapes.
    """
    assign_parameters(layer, read_tensors(path), source=str(path))


def assign_parameters(
    layer: keras.layers.Layer, tensors: Mapping[str, np.ndarray | keras.Variable], source: str
) -> None:
    """Sets the trainable variables of a layer from arrays by name; every name must match, with its shape.

    Raises:
      RealmError: if a variable is missing, unexpected or misshapen.
    """
    parameters = named_parameters(layer)
    refuse_names(source, 'lacks', parameters.keys() - tensors.keys())
    refuse_names(source, 'has unexpected', tensors.keys() - parameters.keys())
    for name, variable in parameters.items():
        if tuple(variable.shape) != tuple(tensors[name].shape):
            raise RealmError(
                f'In {source}, {name} has the shape {tensors[name].shape}; the network has {tuple(variable.shape)}.'
            )
        variable.assign(tensors[name])
