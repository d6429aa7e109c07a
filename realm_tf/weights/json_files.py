"""The JSON files that lie beside weights."""

import json
from typing import Any

from etils import epath

from realm_tf.errors import RealmError


def read_json(path: epath.PathLike, what: str) -> dict[str, Any]:
    """Reads a file that holds one JSON object.

    Args:
      path: the file.
      what: what it is, for messages: “the configuration of a BERT”.

    Raises:
      RealmError: if it is damaged, or holds something else.
    """
    try:
        values = json.loads(epath.Path(path).read_bytes())
    except (ValueError, OSError) as error:
        raise RealmError(f'{path} cannot be read as {what} ({error}). Is it whole?') from error
    if not isinstance(values, dict):
        raise RealmError(f'{path} cannot be read as {what}: it is no JSON object, {{"name": value, …}}.')
    return values
