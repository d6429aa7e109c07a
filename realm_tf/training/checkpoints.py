"""Checkpoints: everything a training run needs to go on as if it had not stopped."""

import concurrent.futures
import json
import re
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from etils import epath

from realm_tf.artifacts import MANIFEST, make_artifact, open_artifact
from realm_tf.errors import RealmError
from realm_tf.progress import say
from realm_tf.training.optimizer import BertAdamW
from realm_tf.weights.parameters import assign_parameters, copied_parameters
from realm_tf.weights.tensor_files import read_tensors, write_tensors

KIND = 'checkpoint'
KEPT = 2
_EXTRA = 'extra.json'
_NAME = re.compile(r'step-(\d{8})')


def step_directory(parent: epath.Path, step: int) -> epath.Path:
    """Where what belongs to a step lies below `parent`: names sort as the steps do."""
    return parent / f'step-{step:08d}'


def steps_below(parent: epath.Path) -> list[int]:
    """The steps that have a directory below `parent`, finished or not, ascending."""
    if not parent.exists():
        return []
    matches = [_NAME.fullmatch(child.name) for child in parent.iterdir()]
    return sorted(int(match[1]) for match in matches if match)


class Checkpoints:
    """The checkpoints of one training run.

    The state is copied between two steps and written by a thread of its own, so that training does not wait for a disk.

    Args:
      directory: where they are kept, one directory a step; the last two, and the one that `keep` names.
      networks: the networks in training, by name.
      optimizer: their optimizer.

    Attributes:
      extra: more of the state of the run, as values of JSON by name; saved and restored with the rest.
      keep: the step of a checkpoint that is not removed when it is old; None if there is none.
    """

    def __init__(
        self,
        directory: epath.Path,
        networks: Mapping[str, keras.layers.Layer],
        optimizer: BertAdamW,
    ):
        self._directory = directory
        self._networks = networks
        self._optimizer = optimizer
        self.extra: dict[str, Any] = {}
        self.keep: int | None = None
        self._writer = concurrent.futures.ThreadPoolExecutor(1)
        self._pending: concurrent.futures.Future | None = None

    def restore(self) -> int:
        """Restores the newest checkpoint that is whole; what is wrong with those after it is said.

        Returns:
          The steps it had made; 0 if there is none, and then nothing is changed.

        Raises:
          RealmError: if there are checkpoints, and none of them is whole.
        """
        damaged = []
        for step in reversed(steps_below(self._directory)):
            path = step_directory(self._directory, step)
            # Without a manifest, the run was killed while it was written.
            if not (path / MANIFEST).exists():
                continue
            try:
                self.restore_step(step)
                return step
            except RealmError as error:
                say(f'The checkpoint {path} is passed over, for the one before it: {error}')
                damaged.append(str(path))
        if damaged:
            raise RealmError(
                f'No checkpoint in {self._directory} is whole: {", ".join(damaged)}. Put one there from a copy, or '
                f'remove {self._directory}: the training then begins again.'
            )
        return 0

    def restore_step(self, step: int) -> None:
        """Restores the checkpoint of a step.

        Raises:
          RealmError: if there is none, or it is damaged.
        """
        path = step_directory(self._directory, step)
        open_artifact(path, KIND).verify()
        for name, network in self._networks.items():
            assign_parameters(network, read_tensors(path / f'{name}.safetensors'), source=str(path))
        self._optimizer.restore(read_tensors(path / 'optimizer.safetensors'))
        self._restore_random_state(read_tensors(path / 'random_state.safetensors'))
        self.extra = json.loads((path / _EXTRA).read_text())

    def save(self, step: int) -> None:
        """Copies the state and starts to write it."""
        self.wait()
        files = {
            **{name: copied_parameters(network) for name, network in self._networks.items()},
            'optimizer': self._optimizer.state(),
            'random_state': {str(index): np.array(state) for index, state in enumerate(self._random_state())},
        }
        self._pending = self._writer.submit(self._write, step, files, json.dumps(self.extra))

    def wait(self) -> None:
        """Returns when what was saved is written; raises what went wrong."""
        if self._pending is not None:
            self._pending.result()
            self._pending = None

    def _write(self, step: int, files: Mapping[str, Mapping[str, np.ndarray]], extra: str) -> None:
        with make_artifact(
            step_directory(self._directory, step), KIND, configuration={}, inputs={}, overwrite=True
        ) as draft:
            for name, tensors in files.items():
                write_tensors(tensors, draft.path / f'{name}.safetensors')
            (draft.path / _EXTRA).write_text(extra)
        for old in steps_below(self._directory)[:-KEPT]:
            if old != self.keep:
                step_directory(self._directory, old).rmtree()

    def _random_state(self) -> list[keras.Variable]:
        """The states of the dropout generators: the only variables that are not trained."""
        return [variable for network in self._networks.values() for variable in network.non_trainable_variables]

    def _restore_random_state(self, tensors: Mapping[str, np.ndarray]) -> None:
        for index, state in enumerate(self._random_state()):
            state.assign(tensors[str(index)])
