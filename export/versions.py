"""The numbered versions of an export, as TensorFlow Serving looks for them: BASE/1/, BASE/2/, …"""

from etils import epath

from realm_tf.artifacts import MANIFEST

KIND = 'export'
# What a server calls it.
MODEL_NAME = 'realm'


def newest_version(base: epath.PathLike) -> int:
    """The newest version below BASE that is whole; 0 if there is none."""
    base = epath.Path(base)
    children = base.iterdir() if base.exists() else ()
    whole = [int(child.name) for child in children if child.name.isdecimal() and (child / MANIFEST).exists()]
    return max(whole, default=0)


def version_of(base: epath.PathLike) -> epath.Path:
    """The newest version below BASE; BASE itself, which may be a version, if there is none."""
    newest = newest_version(base)
    return epath.Path(base) / str(newest) if newest else epath.Path(base)
