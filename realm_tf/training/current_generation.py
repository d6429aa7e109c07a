"""The index generation in use, which changes while the training runs."""

import concurrent.futures
import dataclasses
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from etils import epath

from realm_tf.artifacts import open_artifact
from realm_tf.errors import RealmError
from realm_tf.progress import say
from realm_tf.search.embeddings import Embeddings
from realm_tf.search.index import open_index
from realm_tf.search.searcher import Searcher
from realm_tf.training.generations import Generation, collect_generations, newest_generation


@dataclasses.dataclass(frozen=True)
class OpenGeneration:
    """An index generation that is open.

    Attributes:
      generation: where it is.
      embeddings: of the documents.
      searcher: an index over them.
    """

    generation: Generation
    embeddings: Embeddings
    searcher: Searcher


class CurrentGeneration:
    """The index generation in use.

    `look` and `staleness` are called between two steps, `swap` where the batches are made, which may be another thread.
    A new generation is opened, and its checksums read, by a thread of its own.

    Args:
      run: directory of the run.
      first: opens what is used until the run has a generation of its own.
      step: steps of the training made so far; generations of later steps are of a run that was stopped and went back.
      strategy: whose replicas search, where the searcher is one of theirs; all of them are this process's.
      is_chief: whether this process removes old generations; of several workers one does.
    """

    def __init__(
        self,
        run: epath.Path,
        first: Callable[[], OpenGeneration],
        *,
        step: int = 0,
        strategy: tf.distribute.Strategy,
        is_chief: bool = True,
    ):
        self._run = run
        self._strategy = strategy
        self._is_chief = is_chief
        self._started = time.time()
        self._opener = concurrent.futures.ThreadPoolExecutor(1)
        self._opening: concurrent.futures.Future | None = None
        self._overlap: dict[str, float] = {}
        # What the batch of a step was made with, until its metrics are asked for.
        self._used: dict[int, _Used] = {}
        self._newest = self._open_newest(until=step - 1) or first()
        self._use(self._newest)

    @property
    def newest_step(self) -> int:
        """The step of the newest generation that is open: batches are made with it from the step after on."""
        return self._newest.generation.step

    @property
    def embeddings(self) -> Embeddings:
        """The embeddings in use."""
        return self._now.embeddings

    @property
    def searcher(self) -> Searcher:
        """The index in use."""
        return self._now.searcher

    def open(self, generation: Generation) -> OpenGeneration:
        """Opens a generation, and checks that its parts are whole and belong together.

        Raises:
          RealmError: if they are not, or do not.
        """
        encoder = open_artifact(generation.encoder, 'encoder').verify()
        embeddings = Embeddings.open(generation.embeddings)
        embeddings.artifact.verify().require_input('encoder', encoder)
        open_artifact(generation.index, 'index').verify()
        searcher = open_index(generation.index, embeddings.artifact, self._strategy)
        return OpenGeneration(generation, embeddings, searcher)

    def look(self, step: int) -> None:
        """Looks for a generation newer than those open, of a step up to and with `step`; returns at once."""
        if self._opening is None:
            newest = newest_generation(self._run, until=step)
            if newest is not None and newest.step > self.newest_step:
                self._opening = self._opener.submit(self._open_newest, step)
        elif self._opening.done():
            opened, self._opening = self._opening.result(), None
            if opened is not None and opened.generation.step > self.newest_step:
                self._newest = opened

    def swap(self, step: int) -> None:
        """Swaps to the newest open generation of a step before `step`, for the batch that is trained on after it."""
        newest = self._newest
        if self._now.generation.step < newest.generation.step < step:
            self._use(newest)
            if self._is_chief:
                collect_generations(self._run, in_use=newest.generation.step)
        self._used[step + 1] = _Used(self._now, self._overlap)
        self._overlap = {}

    def drift(self, step: int, block_ids: np.ndarray, fresh: np.ndarray) -> dict[str, float]:
        """How far the weights in training have gone from those that the index was made with; before `staleness`.

        Args:
          step: the step that was made, as `staleness` has it.
          block_ids: the step's candidates, int32 `[candidates]`; negative where one is no block.
          fresh: their embeddings by the weights in training, without dropout, or those of the first of them, float32
            `[candidates, projection_size]`.

        Returns:
          `drift`: the mean of the cosines of the blocks' embeddings in the index and these, 1 where nothing has moved;
          nothing where no candidate is a block.
        """
        is_block = block_ids[: len(fresh)] >= 0
        if not is_block.any():
            return {}
        fresh = fresh[is_block]
        stale = self._used[step].opened.embeddings.rows(block_ids[: len(is_block)][is_block])
        norms = np.linalg.norm(stale, axis=1) * np.linalg.norm(fresh, axis=1)
        return {'drift': float(np.mean(np.sum(stale * fresh, axis=1) / np.maximum(norms, 1e-9)))}

    def staleness(self, step: int) -> dict[str, float]:
        """How old the index was that the batch of a step was made with; once a step.

        Returns:
          `generation`: the step of its weights; `staleness_steps`: how many steps ago that was; `staleness_minutes`:
          and how many minutes (since the training was started, for the index that it started with); and of the first
          batch after a swap `overlap_at_k`, where the queries are known (see `CurrentIndex`): the share of blocks, of
          those that the generation before found for the batch before it, that this one finds too.
        """
        opened, overlap = self._used.pop(step)
        generation = opened.generation
        seconds = time.time() - (generation.weights_time() or self._started)
        return {
            'generation': generation.step,
            'staleness_steps': step - generation.step,
            'staleness_minutes': seconds / 60,
            **overlap,
        }

    def _use(self, opened: OpenGeneration) -> None:
        self._now = opened

    def _open_newest(self, until: int) -> OpenGeneration | None:
        """Opens the newest generation that is whole; one that is not is said to be so, and removed."""
        while (generation := newest_generation(self._run, until)) is not None:
            try:
                return self.open(generation)
            except RealmError as error:
                say(
                    f'The index generation of step {generation.step} is not used: {error} It was removed, and is made '
                    'again if its snapshot is still the newest.'
                )
                generation.remove()
        return None


class _Used(NamedTuple):
    opened: OpenGeneration
    overlap: dict[str, float]
