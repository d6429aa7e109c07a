"""Serves the newest version of an export, and changes to a newer one when there is one."""

import asyncio
import logging

from etils import epath

from export.serving.batching import Batcher
from export.serving.errors import ServingError
from export.serving.served_model import ServedModel
from export.serving.warm_up import warm_up
from export.versions import KIND, newest_version, version_of
from realm_tf.artifacts import open_artifact
from realm_tf.errors import RealmError

_LOG = logging.getLogger(__name__)
_SECONDS_BETWEEN_LOOKS = 1.0


def open_newest(base: epath.PathLike) -> ServedModel:
    """Opens the newest version of an export, or the one version that is named, and warms it up.

    Raises:
      RealmError: if there is none, or it cannot be opened.
    """
    return _open(version_of(base))


async def follow(base: epath.PathLike, batcher: Batcher) -> None:
    """Lets the newest version answer, until it is cancelled; the one before answers until the new one is warm.

    A version that cannot be opened is left alone, and so is one that vanishes. One of which files are missing may be on
    its way, and is looked at again.
    """
    refused = set()
    awaited = None
    while True:
        await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
        try:
            newest = await asyncio.to_thread(newest_version, base)
        except OSError:
            _LOG.exception('%s cannot be looked at; version %d goes on answering.', base, batcher.model.version)
            continue
        if not newest or newest == batcher.model.version or newest in refused:
            continue
        try:
            await asyncio.to_thread(open_artifact, epath.Path(base) / str(newest), KIND)
        except (RealmError, OSError) as error:
            if newest != awaited:
                _LOG.warning('Version %d is waited for: %s', newest, error)
            awaited = newest
            continue
        try:
            model = await asyncio.to_thread(_open, epath.Path(base) / str(newest))
        except Exception:
            # Whatever is wrong with it, the version before goes on answering.
            _LOG.exception('Version %d cannot be opened; version %d goes on answering.', newest, batcher.model.version)
            refused.add(newest)
            continue
        _LOG.warning('Version %d takes over from version %d.', newest, batcher.model.version)
        batcher.replace_model(model)


def _open(path: epath.Path) -> ServedModel:
    try:
        model = ServedModel(path)
        try:
            warm_up(model)
        except Exception:
            model.close()
            raise
    except ServingError as error:
        raise RealmError(f'{path} cannot be served: {error}') from error
    return model
