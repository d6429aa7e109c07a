"""Folders of files."""

from collections.abc import Iterator, Sequence

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


def folder_of_all(paths: Sequence[epath.Path]) -> epath.Path | None:
    """The innermost folder that holds all files and folders; of one folder alone, this; None if there is none.

    Args:
      paths: the files and folders, one or more.
    """
    first = paths[0]
    if len(paths) == 1 and first.is_dir():
        return first
    parents = {path.parent for path in paths}
    holding_all = (folder for folder in first.parents if all(parent.is_relative_to(folder) for parent in parents))
    return next(holding_all, None)


def uncompressed_name(path: epath.Path) -> str:
    """The name of a file without the ending that says how it is compressed, such as `.gz`."""
    return path.stem if path.suffix in _COMPRESSED else path.name
