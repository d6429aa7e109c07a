"""The numbered versions of an export, as TensorFlow Serving looks for them: BASE/1/, BASE/2/, …"""

from etils import epath

from realm_tf.artifacts import MANIFEST

KIND = 'export'
# What a server calls it.
MODEL_NAME = 'realm'
# Beside the versions: what TensorFlow Serving is started with.
SERVING = 'serving'


def newest_version(base: epath.PathLike) -> int:
    """The newest version below BASE that is whole; 0 if there is none."""
    return max((int(child.name) for child in _numbered(base) if (child / MANIFEST).exists()), default=0)


def next_version(base: epath.PathLike) -> int:
    """The number after those below BASE, be they whole, ours or not: a server would take the largest."""
    return 1 + max((int(child.name) for child in _numbered(base)), default=0)


def version_of(base: epath.PathLike) -> epath.Path:
    """The newest version below BASE; BASE itself, which may be a version, if there is none."""
    newest = newest_version(base)
    return epath.Path(base) / str(newest) if newest else epath.Path(base)


def _numbered(base: epath.PathLike) -> list[epath.Path]:
    base = epath.Path(base)
    return [child for child in base.iterdir() if child.name.isdecimal()] if base.exists() else []
