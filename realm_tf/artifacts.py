"""One way to publish, verify and open an artefact.

An artefact is a directory with a `manifest.json`, written last: the artefact exists if and only if its manifest does.
While it is being made, the directory holds a `recipe.json` instead, which says what it is being made from, so that an
interrupted command knows whether the finished parts it finds belong to the same work.
"""

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from etils import epath

from realm_tf.errors import RealmError
from realm_tf.files import length_of, named_in_errors, open_binary
from realm_tf.locks import lock

MANIFEST = 'manifest.json'
RECIPE = 'recipe.json'
_LOCK = '.lock'
FORMAT_VERSION = 1

# Of inputs whose role is not called as their kind is.
_KINDS = {'pretraining_corpus': 'corpus', 'calibration': 'evaluation', 'encoder_embeddings': 'embeddings'}


@dataclasses.dataclass(frozen=True)
class Artifact:
    """A published artefact.

    Attributes:
      path: its directory, local or `gs://`.
      kind: what it is: `corpus`, `spans`, `encoder`, `embeddings`, `index`, `checkpoint`, `model`, `export`, …
      configuration: the settings it was made with.
      inputs: the digest of every artefact (or file) it was made from, by role.
      counts: what is in it, by name.
      files: size in bytes and SHA-256 of every file, by path relative to the directory.
    """

    path: epath.Path
    kind: str
    configuration: Mapping[str, Any]
    inputs: Mapping[str, str]
    counts: Mapping[str, Any]
    files: Mapping[str, Mapping[str, Any]]

    @property
    def digest(self) -> str:
        """Identifies the content: equal for two artefacts made alike, wherever they lie."""
        return _digest([self.kind, self.configuration, self.inputs, self.counts, self.files])

    def verify(self) -> 'Artifact':
        """Checks the checksum of every file.

        Raises:
          RealmError: if a file does not hold what was published.
        """
        for name, expected in self.files.items():
            if file_checksum(self.path / name) != expected['sha256']:
                raise RealmError(
                    f'{self.path / name} is corrupt: its checksum is not the one in the manifest. Make it again.'
                )
        return self

    def require_input(self, role: str, expected: 'Artifact') -> 'Artifact':
        """Checks that this artefact was made from `expected`.

        Raises:
          RealmError: if it was made from another one; the sentence names both digests.
        """
        found = self.inputs.get(role)
        if found != expected.digest:
            raise RealmError(
                f'The {self.kind} {self.path} was not made from the {role} {expected.path}: '
                f'it was made from {_short(found)}, and this is {_short(expected.digest)}. '
                f'Make it again from this {role}, or name the {role} it was made from.'
            )
        return self


def open_artifact(path: epath.PathLike, kind: str | None = None) -> Artifact:
    """Opens a published artefact, checking kind, format version, and that every file is there with its size.

    Args:
      path: the artefact's directory.
      kind: the kind it must have; None for any.

    Raises:
      RealmError: if there is no such artefact, or it is not whole, or not of this kind or version.
    """
    path = epath.Path(path)
    manifest_path = path / MANIFEST
    what = kind or 'artefact'
    if not path.exists():
        raise RealmError(f'There is no {what} at {path}: the directory does not exist.')
    if not manifest_path.exists():
        raise RealmError(
            f'There is no finished {what} at {path}: it has no {MANIFEST}. '
            'If making it was interrupted, run the same command again.'
        )
    try:
        manifest = json.loads(manifest_path.read_text())
        artifact = Artifact(
            path=path, **{name: manifest[name] for name in ('kind', 'configuration', 'inputs', 'counts', 'files')}
        )
        version = manifest['format_version']
    except FileNotFoundError as error:
        raise RealmError(f'{path} is being removed or made again by another process.') from error
    except (ValueError, KeyError, TypeError) as error:
        raise RealmError(
            f'{manifest_path} cannot be read as a manifest ({error!r}). Make the artefact again.'
        ) from error
    if kind is not None and artifact.kind != kind:
        raise RealmError(f'{path} is of the kind {artifact.kind}, where {kind} is needed.')
    if version != FORMAT_VERSION:
        raise RealmError(
            f'{path} has format version {version}; this release reads version {FORMAT_VERSION}. '
            'Make it again, or use the release that wrote it.'
        )
    for name, expected in artifact.files.items():
        if _length(path / name) != expected['bytes']:
            raise RealmError(
                f'{path} is damaged: {name} is missing or not {expected["bytes"]} bytes long. Make it again.'
            )
    return artifact


def input_digests(**paths: epath.PathLike | None) -> dict[str, str]:
    """The digests of artefacts that something is made from, by role; those that are None are left out.

    Raises:
      RealmError: as `open_artifact` does, if one is not of the kind that its role says.
    """
    return {
        role: open_artifact(path, _KINDS.get(role, role)).digest for role, path in paths.items() if path is not None
    }


def is_published(path: epath.PathLike, kind: str) -> bool:
    """Whether there is an artefact of a kind that can be opened."""
    try:
        open_artifact(path, kind)
    except RealmError:
        return False
    return True


def outdated_because(
    path: epath.PathLike, kind: str, configuration: Mapping[str, Any], inputs: Mapping[str, str]
) -> str | None:
    """Says why the artefact at `path` is not the one these settings and inputs would make; None if it is."""
    try:
        artifact = open_artifact(path, kind)
    except RealmError as error:
        return str(error)
    changed = _changes('setting', artifact.configuration, _plain(configuration)) + _changes(
        'input', artifact.inputs, dict(inputs)
    )
    return ', '.join(changed) or None


def require_room(path: epath.PathLike) -> None:
    """Checks that an artefact can be made at `path`: that it holds nothing else. A long work is begun with this.

    Raises:
      RealmError: if it does.
    """
    path = epath.Path(path)
    ours = (path / MANIFEST).exists() or (path / RECIPE).exists()
    if not ours and path.exists() and any(child.name != _LOCK for child in path.iterdir()):
        raise RealmError(f'{path} is not empty and holds no artefact. Name an empty or a new directory.')


@contextlib.contextmanager
def make_artifact(
    path: epath.PathLike,
    kind: str,
    *,
    configuration: Mapping[str, Any],
    inputs: Mapping[str, str],
    overwrite: bool = False,
    read: Sequence['Artifact'] = (),
) -> Iterator['Draft']:
    """Makes an artefact: the body of the `with` fills `draft.path`, and leaving it publishes.

    Parts that an interrupted run with the same settings and inputs left behind are still in the directory, so that the
    body can go on from them; those of any other run are removed first. If the body raises, nothing is published.
    Files whose names begin with a dot serve the making only: they are no part of the artefact, and are removed when it
    is published.

    Args:
      path: the artefact's directory.
      kind: what it is.
      configuration: the settings it is made with (anything JSON can hold; dataclasses are converted).
      inputs: digests of what it is made from, by role.
      overwrite: whether a finished artefact that is out of date is replaced.
      read: artefacts that are read to make it, beside those of the inputs.

    Yields:
      A `Draft`: its `path`, and `counts` to fill.

    Raises:
      RealmError: if a different finished artefact is in the way and `overwrite` is false, or it is read to make this
        one, the directory holds something that is no artefact, or another process makes one there.
    """
    path = epath.Path(path)
    configuration = _plain(configuration)
    recipe = {'kind': kind, 'configuration': configuration, 'inputs': dict(inputs)}
    require_room(path)

    if _digest_at(path) in {*' '.join(inputs.values()).split(), *(artifact.digest for artifact in read)}:
        raise RealmError(
            f'{path} is what the new artefact would be made from, and cannot be replaced by it. Name another directory.'
        )

    def refuse_to_replace() -> None:
        if not overwrite and (path / MANIFEST).exists():
            reason = outdated_because(path, kind, configuration, inputs)
            if reason is not None:
                raise RealmError(
                    f'{path} already holds another artefact ({reason}). Name another directory, or give --overwrite.'
                )

    refuse_to_replace()
    path.mkdir(parents=True, exist_ok=True)
    with named_in_errors(path), lock(path / _LOCK) or contextlib.nullcontext():
        # Another process may have made one until here.
        refuse_to_replace()
        if (path / MANIFEST).exists():
            # No recipe is like it: half removed, it is still known to be an artefact, and to be removed.
            write_text_whole(path / RECIPE, '{}')
            (path / MANIFEST).unlink()
        if not (path / RECIPE).exists() or _read_json(path / RECIPE) != recipe:
            _clear(path)
            write_text_whole(path / RECIPE, json.dumps(recipe, indent=2, sort_keys=True))
        draft = Draft(path=path, counts={})
        yield draft
        names = sorted(_files_below(path))
        with concurrent.futures.ThreadPoolExecutor() as pool:
            checksums = pool.map(lambda name: file_checksum(path / name), names)
        files = {
            name: {'bytes': length_of(path / name), 'sha256': checksum}
            for name, checksum in zip(names, checksums, strict=True)
        }
        manifest = {'format_version': FORMAT_VERSION, **recipe, 'counts': _plain(draft.counts), 'files': files}
        write_text_whole(path / MANIFEST, json.dumps(manifest, indent=2, sort_keys=True) + '\n')
        # Until here an interrupted run needs them.
        for child in path.iterdir():
            if child.name.startswith('.') or child.name == RECIPE:
                child.unlink()


@dataclasses.dataclass
class Draft:
    """An artefact in the making: the directory to fill, and counts that go into its manifest."""

    path: epath.Path
    counts: dict[str, Any]


def file_checksum(path: epath.PathLike) -> str:
    """The SHA-256 of a file, as hexadecimal digits."""
    checksum = hashlib.sha256()
    with open_binary(path) as file:
        while chunk := file.read(1 << 20):
            checksum.update(chunk)
    return checksum.hexdigest()


@contextlib.contextmanager
def open_whole(path: epath.PathLike) -> Iterator[BinaryIO]:
    """Opens a file for writing so that a reader sees all of it or none: under a temporary name, renamed at the end.

    If the body of the `with` raises, the file is as it was before.
    """
    path = epath.Path(path)
    temporary = path.parent / f'.{path.name}.writing'
    with named_in_errors(path), open_binary(temporary, 'wb') as file:
        yield file
    temporary.replace(path)


def write_text_whole(path: epath.PathLike, text: str) -> None:
    """Writes a small text with `open_whole`."""
    with open_whole(path) as file:
        file.write(text.encode())


def _digest_at(path: epath.Path) -> str | None:
    try:
        return open_artifact(path).digest
    except RealmError:
        return None


def _clear(path: epath.Path) -> None:
    for child in path.iterdir():
        if child.is_dir():
            child.rmtree()
        elif child.name not in (RECIPE, _LOCK):
            child.unlink()


def _length(file: epath.Path) -> int | None:
    try:
        return length_of(file)
    except FileNotFoundError:
        return None


def _files_below(path: epath.Path, prefix: str = '') -> Iterator[str]:
    for child in path.iterdir():
        if child.name.startswith('.') or (not prefix and child.name in (RECIPE, MANIFEST)):
            continue
        if child.is_dir():
            yield from _files_below(child, f'{prefix}{child.name}/')
        else:
            yield prefix + child.name


def _read_json(path: epath.Path) -> Any:
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError:
        return None


def _plain(value: Any) -> Any:
    """The value as JSON gives it back, so that what is compared is what is stored."""
    return json.loads(json.dumps(value, default=lambda item: dataclasses.asdict(item)))


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=dict).encode()).hexdigest()


def _short(digest: str | None) -> str:
    return digest[:12] if digest else 'nothing of the kind'


def _changes(what: str, old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = '') -> list[str]:
    changes = []
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            changes += _changes(what, before, after, f'{prefix}{name}.')
        elif before != after:
            shown = f'{_short(before)} → {_short(after)}' if what == 'input' else f'{before!r} → {after!r}'
            changes.append(f'{what} {prefix}{name} changed: {shown}')
    return changes
