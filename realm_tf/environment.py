"""What this program runs on: ScaNN, or the sentence that says which TensorFlow it fits; the processor; oneDNN."""

import importlib.metadata
import os
import pathlib
import platform
from types import ModuleType

from realm_tf.errors import RealmError


def import_scann() -> ModuleType:
    """Imports ScaNN: `scann_ops_pybind` is its Python searcher, `scann_ops` its TensorFlow operations.

    Raises:
      RealmError: if ScaNN is not installed, or was built for another TensorFlow; the sentence names the versions.
    """
    try:
        import scann
    # The wrong TensorFlow shows as an undefined symbol: an ImportError, or TensorFlow's NotFoundError.
    except Exception as error:
        if not isinstance(error, ImportError) and type(error).__name__ != 'NotFoundError':
            raise
        raise RealmError(
            f'ScaNN cannot be used here: found scann {_version("scann")} and tensorflow {_version("tensorflow")}, '
            'and scann 1.4.2 works with tensorflow 2.20 only. Run: '
            'pip install "scann[tf]==1.4.2" "tensorflow==2.20.*", or build the index with index.searcher=exact.'
        ) from error
    return scann


_FROZEN_WEIGHTS = 'TF_ONEDNN_ASSUME_FROZEN_WEIGHTS'


def assume_frozen_weights(precision: str | None) -> None:
    """Tells TensorFlow that no weights change in this process; to be called before it runs a model.

    oneDNN then lays the weights of dense layers out once, as the processor multiplies them, and keeps that copy beside
    them; without, products with a bias do not use AMX. In float32 it would be a copy for nothing. A user's own setting
    of the variable stays. A process that trains is refused by `require_changing_weights`.

    Args:
      precision: of the model; nothing is told but for one in bfloat16.
    """
    if precision in ('bfloat16', 'mixed_bfloat16'):
        os.environ.setdefault(_FROZEN_WEIGHTS, '1')


def require_changing_weights() -> None:
    """Checks that TensorFlow will see weights change; with `assume_frozen_weights` it computes with the first for ever.

    Raises:
      RealmError: if the environment says that they do not.
    """
    if os.environ.get(_FROZEN_WEIGHTS, '0').lower() not in ('0', 'false'):
        raise RealmError(
            f'The environment variable {_FROZEN_WEIGHTS} is set, with which TensorFlow would not see the weights '
            'change in training. Unset it: it is for processes that only embed or answer.'
        )


def processor() -> str:
    """The processor, as the operating system names it, and how many cores there are."""
    information = pathlib.Path('/proc/cpuinfo')
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return f'{len(names)} × {names[0]}' if names else platform.processor() or 'unknown processor'


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return '(not installed)'
