"""The trainer's side of the index refresh: it publishes snapshots, keeps a builder alive, and looks for generations."""

import concurrent.futures
import time
from collections.abc import Callable, Mapping
from typing import Any

from etils import epath

from realm_tf.artifacts import Artifact
from realm_tf.cadence import STEPS_AHEAD, Cadence
from realm_tf.commands import realm_command
from realm_tf.config import RefreshConfig
from realm_tf.errors import RealmError
from realm_tf.files import is_remote
from realm_tf.guarded_process import GuardedProcess
from realm_tf.models.dual_encoder import DualEncoder
from realm_tf.progress import say
from realm_tf.text.vocabulary import Vocabulary
from realm_tf.training.checkpoints import Checkpoints
from realm_tf.training.current_generation import CurrentGeneration, OpenGeneration
from realm_tf.training.generations import (
    Generation,
    forget_problems,
    forget_snapshots_after,
    generation_from,
    generation_of_step,
    newest_problem,
    newest_snapshot,
    publish_snapshot,
)
from realm_tf.weights.parameters import copied_parameters

POLL_SECONDS = 0.2
# The builder yields to the trainer where they share cores.
NICENESS = 5
# In the checkpoints: the step of the index generation in use.
_GENERATION = 'generation'
_MOST_DEATHS_IN_A_WAIT = 3
_MOST_SECONDS_BEFORE_A_RESTART = 60


class Refresh:
    """Keeps the index of a training fresh, as its settings say.

    Args:
      run: directory of the run.
      corpus_path: the knowledge corpus.
      settings: who refreshes the index, how often, and how old it may become.
      current: the index in use.
      snapshot: copies the retriever in training at a step, and returns the function that publishes the copy; that runs
        in a thread, while the training goes on. See `snapshots_of`.
      checkpoints: of the training, restored; the generation in use is part of its state.
      steps: steps of the whole training.
      first_step: steps made so far.
      is_chief: whether this process publishes snapshots and keeps the builder; of several workers one does.
    """

    def __init__(
        self,
        run: epath.Path,
        corpus_path: epath.PathLike,
        settings: RefreshConfig,
        current: CurrentGeneration,
        snapshot: Callable[..., Callable[[], Artifact]],
        checkpoints: Checkpoints,
        *,
        steps: int,
        first_step: int,
        is_chief: bool = True,
    ):
        self._run = run
        self._settings = settings
        self._is_chief = is_chief
        self._cadence = Cadence.parse(settings.refresh_every)
        self._current = current
        self._snapshot = snapshot
        self._checkpoints = checkpoints
        self._writer = concurrent.futures.ThreadPoolExecutor(1)
        # The step of the snapshot that is being published.
        self._publishing: tuple[int, concurrent.futures.Future] | None = None
        # Why the last one was not.
        self._unpublished: str | None = None
        self._first_step = first_step
        # Of a generation of a later step no batch would be made.
        self._last_use = max(0, steps - STEPS_AHEAD)
        self._told_problem = 0
        self._told_staleness = 0
        has_builder = is_chief and settings.refresh in ('asynchronous', 'synchronous')
        self._builder = _Builder(run, corpus_path) if has_builder else None

    def __enter__(self) -> 'Refresh':
        """Starts the builder, and does what the step that the training goes on from left undone."""
        in_use = self._checkpoints.extra.get(_GENERATION, 0)
        if self._current.newest_step < in_use:
            say(
                f'The index of step {in_use}, which was in use at step {self._first_step}, is gone. The training goes '
                f'on with that of step {self._current.newest_step}, and not as if it had not stopped.'
            )
        if self._settings.refresh != 'none' and self._is_chief:
            forget_problems(self._run)
            # The snapshot of this step is published again.
            forget_snapshots_after(self._run, self._first_step - 1)
        if self._builder is not None:
            self._builder.start()
        try:
            if self._first_step:
                self._resume()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception) -> None:
        """Ends the builder, when what is being published is."""
        self._writer.shutdown()
        if self._builder is not None:
            self._builder.end()

    def after_step(self, step: int, asked_to_stop: Callable[[], bool]) -> dict[str, float]:
        """Publishes a snapshot if it is time, looks for a generation, and waits for one if the settings ask for it.

        Args:
          step: steps made.
          asked_to_stop: ends the wait when it is true.

        Returns:
          How old the index was that this step's batch was made with, and if it is refreshed, `index_waited_seconds`:
          how long the training stood still for that.

        Raises:
          RealmError: if a generation that it must wait for cannot come.
        """
        waited = {}
        if self._settings.refresh != 'none':
            started = time.monotonic()
            self._refresh(step, asked_to_stop)
            waited = {'index_waited_seconds': time.monotonic() - started}
        staleness = self._current.staleness(step)
        self._checkpoints.extra[_GENERATION] = staleness['generation']
        return staleness | waited

    def build_final(self, step: int) -> OpenGeneration:
        """Has embeddings and index made of the weights as they are, and waits: for a result that answers with its own.

        Args:
          step: the step that the weights are of.

        Raises:
          RealmError: if they cannot be made.
        """
        self._finish_publishing()
        try:
            snapshot = self._snapshot(step, final=True)()
        except OSError as error:
            raise RealmError(
                f'The training is over, and the snapshot of its result could not be written ({error}). '
                'The same command goes on from here.'
            ) from error
        generation = generation_from(self._run, snapshot)
        say(
            f'The training ends in the weights of step {step}: their embeddings and index are made in '
            f'{generation.index.parent}.'
        )
        deaths = self._deaths()
        while not (generation.is_published() and generation.is_made_from(snapshot)):
            self._refuse_to_wait_in_vain('The training is over, and waits for its index', generation, deaths)
            self._keep_builder()
            time.sleep(POLL_SECONDS)
        return self._current.open(generation)

    def _resume(self) -> None:
        if self._settings.refresh == 'synchronous':
            # The next batch must be made with what it would have been made with. That is not this step's snapshot, if
            # it has one: see STEPS_AHEAD.
            self._require_snapshot_or_generation(self._cadence.last(self._first_step - 1))
            self._wait(self._first_step - 1, lambda: False)
        if self._settings.refresh != 'none':
            self._refresh(self._first_step, lambda: False)

    def _require_snapshot_or_generation(self, step: int) -> None:
        self._look(step)
        snapshot = newest_snapshot(self._run)
        if self._current.newest_step < step and (snapshot is None or snapshot.counts['step'] != step):
            raise RealmError(
                f'{self._run} cannot go on from step {self._first_step} as if it had not stopped: the index generation '
                f'of step {step} is damaged or gone, and so is its snapshot. Remove the last checkpoint, to go on from '
                'the one before, or train again with --overwrite.'
            )

    def _refresh(self, step: int, asked_to_stop: Callable[[], bool]) -> None:
        if self._is_chief and self._cadence.includes(step) and step <= self._last_use:
            self._finish_publishing()
            self._publishing, self._unpublished = (step, self._writer.submit(self._snapshot(step))), None
        self._look(step)
        self._wait(step, asked_to_stop)
        self._warn_if_stale(step)

    def _finish_publishing(self) -> None:
        if self._publishing is None:
            return
        (step, publishing), self._publishing = self._publishing, None
        # The disk is full, say: the training has an index to go on with.
        if (error := publishing.exception()) is not None:
            self._unpublished = f'the snapshot of step {step} could not be written ({error}).'
            say(
                f'The index is not refreshed: {self._unpublished} The index of step {self._current.newest_step} stays '
                'in use, and the next snapshot is the next try.'
            )

    def _look(self, step: int) -> None:
        if self._publishing is not None and self._publishing[1].done():
            self._finish_publishing()
        # Publishing removes a generation of the same step that a run before this one made from other weights.
        if self._publishing is None:
            self._current.look(step)
        self._keep_builder()
        failed = newest_problem(self._run)
        problem = generation_of_step(self._run, failed).problem()
        # The builder forgets it when it is started again: between the two lines above, too.
        if failed > self._told_problem and problem is not None:
            self._told_problem = failed
            say(
                f'The index was not refreshed with the weights of step {failed}: {problem} '
                f'The index of step {self._current.newest_step} stays in use.'
            )

    def _wait(self, step: int, asked_to_stop: Callable[[], bool]) -> None:
        deaths = self._deaths()
        told = False
        while self._must_wait(step) and not asked_to_stop():
            newest = self._current.newest_step
            waits = f'The training waits at step {step} for an index newer than that of step {newest}'
            if self._unpublished is not None and not self._is_snapshot_left():
                raise RealmError(f'{waits}, and {self._unpublished} The same command goes on from here.')
            self._refuse_to_wait_in_vain(waits, generation_of_step(self._run, self._cadence.last(step)), deaths)
            if self._settings.refresh != 'synchronous' and not told:
                told = True
                say(f'Step {step} waits for a newer index than that of step {self._current.newest_step}.')
            time.sleep(POLL_SECONDS)
            self._look(step)

    def _must_wait(self, step: int) -> bool:
        if self._settings.refresh == 'synchronous':
            return self._current.newest_step < self._cadence.last(min(step, self._last_use))
        return self._settings.when_stale == 'wait' and self._is_too_stale(step) and step <= self._last_use

    def _is_too_stale(self, step: int) -> bool:
        most = self._settings.max_stale_steps
        return most is not None and step + STEPS_AHEAD - self._current.newest_step > most

    def _is_snapshot_left(self) -> bool:
        """Whether there is a snapshot that a newer index may yet be made from."""
        snapshot = newest_snapshot(self._run)
        is_newer = snapshot is not None and snapshot.counts['step'] > self._current.newest_step
        return is_newer and generation_from(self._run, snapshot).problem() is None

    def _refuse_to_wait_in_vain(self, waits: str, generation: Generation, deaths: int) -> None:
        problem = generation.problem()
        if problem is not None:
            raise RealmError(
                f'{waits}, and the one of step {generation.step} could not be made: {problem} '
                'The same command goes on from here.'
            )
        if self._deaths() - deaths > _MOST_DEATHS_IN_A_WAIT:
            raise RealmError(
                f'{waits}, and the index builder ended {self._deaths() - deaths} times, with status '
                f'{self._builder.status} the last time: see {self._builder.log_path}.'
            )

    def _keep_builder(self) -> None:
        if self._builder is not None:
            self._builder.restart_if_it_ended()

    def _deaths(self) -> int:
        return 0 if self._builder is None else self._builder.deaths

    def _warn_if_stale(self, step: int) -> None:
        if not self._is_too_stale(step):
            self._told_staleness = 0
            return
        staleness = step + STEPS_AHEAD - self._current.newest_step
        # Once, and again as often as it has grown by as much again.
        times = staleness // self._settings.max_stale_steps
        if times > self._told_staleness:
            self._told_staleness = times
            say(
                f'The index is stale at step {step}: its weights are those of step {self._current.newest_step}, '
                f'and max_stale_steps is {self._settings.max_stale_steps}.'
            )


def snapshots_of(
    run: epath.Path,
    retriever: DualEncoder,
    vocabulary: Vocabulary,
    configuration: Mapping[str, Any],
    corpus: Artifact,
) -> Callable[..., Callable[[], Artifact]]:
    """Gives the function that copies a retriever in training at a step, for a `Refresh`.

    Args:
      run: directory of the run.
      retriever: the retriever in training.
      vocabulary: the wordpieces.
      configuration: the settings that the training depends on, those of the builder among them.
      corpus: the knowledge corpus.

    Returns:
      A function of a step, and whether it is the `final` one, that copies the parameters; it returns a function without
      arguments that publishes the copy: see `publish_snapshot`.
    """

    def snapshot(step: int, *, final: bool = False) -> Callable[[], Artifact]:
        parameters = copied_parameters(retriever)
        return lambda: publish_snapshot(run, step, parameters, vocabulary, configuration, corpus, final=final)

    return snapshot


class _Builder:
    """The builder as a process beside this one, started again when it ends."""

    def __init__(self, run: epath.Path, corpus_path: epath.PathLike):
        if is_remote(run):
            raise RealmError(
                f'{run}: ScaNN and the builder beside a training write to local or mounted paths. Name such a one.'
            )
        self.log_path = run / 'refresh.log'
        self.deaths = 0
        self.status: int | None = None
        self._command = realm_command('refresh', '--run', run, '--corpus', corpus_path, '--nice', NICENESS)

    def start(self) -> None:
        with self.log_path.open('a') as log:
            # A TPU belongs to one process, the trainer.
            self._process = GuardedProcess(self._command, log=log, variables={'TPU_LOAD_LIBRARY': '0'})
        self._started = time.monotonic()
        self._has_ended = False

    def restart_if_it_ended(self) -> None:
        """Starts it again, later each time, so that one that cannot work does not keep the machine busy."""
        if self._process.poll() is None:
            return
        pause = min(2**self.deaths, _MOST_SECONDS_BEFORE_A_RESTART)
        if not self._has_ended:
            self._has_ended, self.status, self._ended = True, self._process.poll(), time.monotonic()
            last = self.log_path.read_text().strip().splitlines()[-1:] or ['it said nothing']
            say(
                f'The index builder ended with status {self.status}: {last[0]} (all of it: {self.log_path}). '
                f'It is started again in {pause} s.'
            )
        if time.monotonic() - self._ended >= pause:
            self.deaths += 1
            self._process.end()
            self.start()

    def end(self) -> None:
        self._process.end()
