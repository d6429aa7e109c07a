"""The directory of a training run: checkpoints, metrics, and the artefact it ends in."""

import json
from collections.abc import Mapping
from typing import Any

from etils import epath

from realm_tf.artifacts import is_published, write_text_whole
from realm_tf.errors import RealmError

_RECIPE = 'run.json'


def prepare_run(
    run: epath.PathLike,
    result: str,
    *,
    configuration: Mapping[str, Any],
    inputs: Mapping[str, str],
    overwrite: bool = False,
) -> bool:
    """Makes the directory of a run ready, to begin it or to go on with it.

    Args:
      run: the directory.
      result: kind and name of the artefact that the run ends in.
      configuration: the settings it depends on.
      inputs: digests of what it starts from, by role.
      overwrite: whether a run with other settings or inputs is thrown away. One that was refused before it did
        anything, as its inputs did not fit, is thrown away in any case.

    Returns:
      Whether there is anything to do: False if the result is there and up to date.

    Raises:
      RealmError: if a run with other settings or inputs is in the way.
    """
    run = epath.Path(run)
    recipe = json.dumps({'configuration': configuration, 'inputs': dict(inputs)}, indent=2, sort_keys=True)
    content = {child.name for child in run.iterdir()} if run.exists() else set()
    # A recipe alone is what a refused run leaves: nothing to lose.
    if content - {_RECIPE}:
        if _RECIPE not in content:
            raise RealmError(f'{run} is not empty and holds no training run. Name an empty or a new directory.')
        if (run / _RECIPE).read_text() == recipe:
            # Not the inputs of the result: it may answer with embeddings that the run itself made.
            if is_published(run / result, result):
                return False
        else:
            if not overwrite:
                raise RealmError(
                    f'{run} holds a training run with other settings or inputs (see {run / _RECIPE}). '
                    'Name another directory, or give --overwrite.'
                )
            run.rmtree()
    run.mkdir(parents=True, exist_ok=True)
    write_text_whole(run / _RECIPE, recipe)
    return True
