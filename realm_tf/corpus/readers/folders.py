"""Folders of files."""

from collections.abc import Iterator

from etils import epath

_COMPRESSED = {'.gz', '.bz2', '.xz', '.zst'}


def files_in(path: epath.PathLike) -> Iterator[epath.Path]:
    """The files of a folder and of those in it, ordered by name, hidden ones left out; or the file itself.

    Args:
      path: a folder or a file, local or `gs://`.
    """
    path = epath.Path(path)
    if not path.is_dir():
        yield path
        return
    for entry in sorted(path.iterdir()):
        if not entry.name.startswith('.'):
            yield from files_in(entry)


def uncompressed_name(path: epath.Path) -> str:
    """The name of a file without the ending that says how it is compressed, such as `.gz`."""
    return path.stem if path.suffix in _COMPRESSED else path.name
