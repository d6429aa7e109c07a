"""The variables of TensorFlow checkpoints: sought by name, checked by shape, put under our names.

A table of `Name`s says what a source calls the parameters of a network. How large the network is follows from its
variables: the first that has a dimension says how large it is, and all others must agree.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from etils import epath

from realm_tf.config import EncoderConfig
from realm_tf.errors import RealmError
from realm_tf.weights.refusal import refuse_names

INDEX = '.index'
OBJECT_GRAPH = '_CHECKPOINTABLE_OBJECT_GRAPH'
_PARTS = ('query', 'key', 'value')


class Name(NamedTuple):
    """A parameter of ours, and the variables it is made of.

    Attributes:
      ours: its name below a network; `{layer}` stands for the number of a layer.
      theirs: the name there; `{part}` stands for query, key and value, which are three variables there and one here.
      shape: a letter for each dimension of a variable: V wordpieces, P positions, S segments, H hidden size,
        I intermediate size, A heads, D size of a head, and what else the table needs; a 1 is one.
    """

    ours: str
    theirs: str
    shape: str

    def below(self, ours: str, theirs: str) -> 'Name':
        """The same with prefixes before the names."""
        return self._replace(ours=ours + self.ours, theirs=theirs + self.theirs)

    def at(self, layer: int) -> 'Name':
        """The parameter of one layer."""
        ours, theirs = (name.replace('{layer}', str(layer)) for name in (self.ours, self.theirs))
        return self._replace(ours=ours, theirs=theirs)

    @property
    def variables(self) -> list[str]:
        """The names of the variables, whose values lie one after the other along our last dimension."""
        if '{part}' not in self.theirs:
            return [self.theirs]
        return [self.theirs.replace('{part}', part) for part in _PARTS]

    def shape_there(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """The shape of each variable."""
        return _shape(self.shape, sizes)

    def shape_here(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """The shape of each variable's share of our parameter: heads are one dimension with what they hold."""
        return _shape(self.shape.replace('AD', 'H'), sizes)

    def split(self, parameter: np.ndarray, sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
        """The variables by name, from our parameter."""
        parts = np.split(parameter, len(self.variables), axis=-1)
        there = self.shape_there(sizes)
        return {variable: part.reshape(there) for variable, part in zip(self.variables, parts, strict=True)}


def dense_names(ours: str, theirs: str, inputs: str, outputs: str) -> list[Name]:
    """Kernel and bias of a dense layer."""
    return [
        Name(f'{ours}/kernel', f'{theirs}/kernel', inputs + outputs),
        Name(f'{ours}/bias', f'{theirs}/bias', outputs),
    ]


def layer_norm_names(ours: str, theirs: str, size: str) -> list[Name]:
    """Gamma and beta of a LayerNorm."""
    return [Name(f'{ours}/{part}', f'{theirs}/{part}', size) for part in ('gamma', 'beta')]


def of_all_layers(names: Iterable[Name], num_layers: int) -> list[Name]:
    """The names, those of a layer once for every layer."""
    return [each for name in names for each in (map(name.at, range(num_layers)) if _in_layer(name) else [name])]


class Checkpoint:
    """A TensorFlow checkpoint, read by the names it has inside.

    Args:
      prefix: the names of its files up to `.index`.

    Attributes:
      shapes: the shape of every variable by its name.

    Raises:
      RealmError: if there is none, or its index is damaged.
    """

    def __init__(self, prefix: epath.PathLike):
        import tensorflow as tf

        self._prefix = prefix
        index = epath.Path(f'{prefix}{INDEX}')
        if not index.exists():
            raise RealmError(f'There is no {index}, which says what the checkpoint holds. Copy it beside the data.')
        try:
            self._reader = tf.train.load_checkpoint(str(prefix))
        except (tf.errors.OpError, ValueError, IndexError) as error:
            raise RealmError(f'{index} cannot be read as a checkpoint ({_brief(error)}). Is it whole?') from error
        self.shapes = {name: tuple(shape) for name, shape in self._reader.get_variable_to_shape_map().items()}

    def read(self, name: str) -> Any:
        """The value of a variable.

        Raises:
          RealmError: if the file is cut off or damaged.
        """
        import tensorflow as tf

        try:
            return self._reader.get_tensor(name)
        except (tf.errors.OpError, ValueError, IndexError) as error:
            raise RealmError(f'{name} of {self._prefix} cannot be read ({_brief(error)}). Is it whole?') from error


class Variables:
    """The variables of a network in a checkpoint, each to be taken once.

    Args:
      source: where they are from, for messages.
      checkpoint: the checkpoint.
      stored: the name that each has in the checkpoint, by the name it is sought by.
    """

    def __init__(self, source: str, checkpoint: Checkpoint, stored: Mapping[str, str]):
        self.source = source
        self.shapes = {name: checkpoint.shapes[key] for name, key in stored.items()}
        self._checkpoint = checkpoint
        self._stored = stored
        self._left = set(stored)

    def any_below(self, prefix: str) -> bool:
        """Whether there is a variable whose name begins so."""
        return any(name.startswith(prefix) for name in self.shapes)

    def read(self, name: str) -> np.ndarray:
        """The value of a variable, float32."""
        return np.asarray(self._checkpoint.read(self._stored[name]), np.float32)

    def take(self, names: Iterable[Name], sizes: dict[str, int]) -> dict[str, np.ndarray]:
        """The parameters of a network by our names, float32.

        Args:
          names: what they are called there.
          sizes: sizes known so far, by letter, and the number of layers as `layers`; new ones are added.

        Raises:
          RealmError: if a variable is missing, or its shape does not fit the others.
        """
        names = list(names)
        if 'layers' not in sizes:
            sizes['layers'] = self._count_layers(names)
        names = of_all_layers(names, sizes['layers'])
        wanted = [variable for name in names for variable in name.variables]
        self._require(wanted)
        for name in names:
            for variable in name.variables:
                self.shape_of(variable, name.shape, sizes)
        if 'A' in sizes and sizes['A'] * sizes['D'] != sizes['H']:
            raise RealmError(
                f'{self.source} has {sizes["A"]} heads of {sizes["D"]}, which do not make up its hidden size of '
                f'{sizes["H"]}.'
            )
        self._left.difference_update(wanted)
        return {name.ours: self._take(name, sizes) for name in names}

    def shape_of(self, variable: str, letters: str, sizes: dict[str, int]) -> tuple[int, ...]:
        """The shape of a variable, after the check that it fits `sizes`, to which new letters are added.

        Raises:
          RealmError: if there is no such variable, or it does not fit.
        """
        self._require([variable])
        found = self.shapes[variable]
        of_found = dict(zip(letters, found, strict=False)) | sizes
        if len(found) != len(letters) or found != _shape(letters, of_found):
            expected = ', '.join('1' if letter == '1' else str(sizes.get(letter, 'any')) for letter in letters)
            raise RealmError(
                f'In {self.source}, {variable} has the shape {found}; to fit the others it would have ({expected}).'
            )
        sizes.update(of_found)
        return found

    def refuse_rest(self, known: str) -> None:
        """Checks that every variable was taken, or is one that is known to have no use here.

        Args:
          known: an expression that the names of those match.

        Raises:
          RealmError: if there are others.
        """
        unknown = [name for name in self._left if not re.fullmatch(known, name)]
        refuse_names(self.source, 'has unexpected', [f'{name} {self.shapes[name]}' for name in unknown])

    def _take(self, name: Name, sizes: Mapping[str, int]) -> np.ndarray:
        parts = [self.read(variable).reshape(name.shape_here(sizes)) for variable in name.variables]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)

    def _count_layers(self, names: Sequence[Name]) -> int:
        of_layers = [re.escape(name.variables[0]).replace(r'\{layer\}', r'(\d+)') for name in names if _in_layer(name)]
        found = (re.fullmatch('|'.join(of_layers), name) for name in self.shapes)
        return 1 + max((int(match[match.lastindex]) for match in found if match), default=0)

    def _require(self, wanted: Sequence[str]) -> None:
        refuse_names(self.source, 'lacks', [variable for variable in wanted if variable not in self.shapes])


def encoder_config(sizes: Mapping[str, int], num_heads: int) -> EncoderConfig:
    """The BERT of these sizes, with BERT's own tanh-approximate GELU and epsilon of 1e-12."""
    return EncoderConfig(
        num_layers=sizes['layers'],
        hidden_size=sizes['H'],
        num_heads=num_heads,
        intermediate_size=sizes['I'],
        vocabulary_size=sizes['V'],
        max_positions=sizes['P'],
        num_segments=sizes['S'],
    )


def is_object_based(prefix: epath.PathLike) -> bool:
    """Whether a checkpoint was written by TensorFlow 2, which keeps a graph of objects with the variables."""
    index = epath.Path(f'{prefix}{INDEX}')
    # The name of an entry lies in the index as it is. TensorFlow, which takes seconds to start, is not needed for it.
    return index.exists() and OBJECT_GRAPH.encode() in index.read_bytes()


def _shape(letters: str, sizes: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(1 if letter == '1' else sizes[letter] for letter in letters)


def _in_layer(name: Name) -> bool:
    return '{layer}' in name.theirs


def _brief(error: Exception) -> str:
    return str(getattr(error, 'message', error)).split('\n')[0]
