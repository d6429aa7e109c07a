"""The directory of a training run: checkpoints, metrics, and the artefact it ends in."""

import json
import time
from collections.abc import Mapping
from typing import IO, Any

from etils import epath

from realm_tf.artifacts import is_published, write_text_whole
from realm_tf.errors import RealmError
from realm_tf.locks import is_at, lock

_RECIPE = 'run.json'
_LOCK = 'run.lock'
# That of the index builder.
REFRESH_LOCK = 'refresh.lock'
# What a run has before anything was done.
_FIRST = {_RECIPE, _LOCK, REFRESH_LOCK}
_SECONDS_UNTIL_BUILDER_ENDS = 15.0
_SECONDS_UNTIL_CHIEF_COMES = 600.0
# The locks that this process has, by run; it has them until it ends.
_held: dict[str, IO] = {}


def prepare_run(
    run: epath.PathLike,
    result: str,
    *,
    configuration: Mapping[str, Any],
    inputs: Mapping[str, str],
    overwrite: bool = False,
    is_chief: bool = True,
) -> bool:
    """Makes the directory of a run ready, to begin it or to go on with it; it is this process's until that ends.

    Args:
      run: the directory.
      result: kind and name of the artefact that the run ends in.
      configuration: the settings it depends on.
      inputs: digests of what it starts from, by role.
      overwrite: whether a run with other settings or inputs is thrown away. One that was refused before it did
        anything, as its inputs did not fit, is thrown away in any case.
      is_chief: whether this process makes it ready; of several workers one does, and the others wait for it.

    Returns:
      Whether there is anything to do: False if the result is there and up to date.

    Raises:
      RealmError: if a run with other settings or inputs is in the way, another process is at work there (object stores
        have no locks: there the user sees to it), or the first of several workers does not come.
    """
    run = epath.Path(run)
    recipe = json.dumps({'configuration': configuration, 'inputs': dict(inputs)}, indent=2, sort_keys=True)
    # What is being written has a name that begins with a dot.
    content = {child.name for child in run.iterdir() if not child.name.startswith('.')} if run.exists() else set()
    # They alone are what a refused run leaves: nothing to lose.
    is_begun = bool(content - _FIRST)
    if is_begun and _RECIPE not in content:
        raise RealmError(f'{run} is not empty and holds no training run. Name an empty or a new directory.')
    is_same = _RECIPE in content and (run / _RECIPE).read_text() == recipe
    # Not the inputs of the result: it may answer with embeddings that the run itself made.
    if is_same and is_published(run / result, result):
        return False
    if is_begun and not is_same and not overwrite:
        raise RealmError(
            f'{run} holds a training run with other settings or inputs (see {run / _RECIPE}). '
            'Name another directory, or give --overwrite.'
        )
    if not is_chief:
        _wait_for_chief(run / _RECIPE, recipe)
        return True
    run.mkdir(parents=True, exist_ok=True)
    _keep_others_out(run)
    if is_begun and not is_same:
        _clear(run)
    write_text_whole(run / _RECIPE, recipe)
    return True


def _wait_for_chief(path: epath.Path, recipe: str) -> None:
    give_up = time.monotonic() + _SECONDS_UNTIL_CHIEF_COMES
    while not path.exists() or path.read_text() != recipe:
        if time.monotonic() >= give_up:
            raise RealmError(
                f'The first worker has not written {path} in {_SECONDS_UNTIL_CHIEF_COMES / 60:g} minutes. Start it '
                'with the same command, and see to it that all workers see the same directory.'
            )
        time.sleep(0.2)


def _keep_others_out(run: epath.Path) -> None:
    path = run / _LOCK
    held = _held.get(str(run))
    # In a notebook a run may be removed and begun again.
    if held is None or not is_at(held, path):
        locked = lock(path)
        if locked is not None:
            _held[str(run)] = locked


def _clear(run: epath.Path) -> None:
    """Removes a run but for its recipe, which is written anew: half removed, it is still known to be one."""
    # A builder may be at work, on another machine, or here that of a training that was killed.
    builders = lock(run / REFRESH_LOCK, patience=_SECONDS_UNTIL_BUILDER_ENDS)
    for child in run.iterdir():
        if child.is_dir():
            child.rmtree()
        elif child.name not in _FIRST:
            child.unlink()
    if builders is not None:
        builders.close()
