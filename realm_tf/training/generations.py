"""Snapshots and index generations: what the trainer and the index builder hand each other.

Both are directories below the run, named by the training step whose weights they hold:

  snapshots/step-00000500/     the retriever's parameters, published by the trainer
  generations/step-00000500/   encoder, embeddings and index made from it, published by the builder

Where a training ends in embeddings of its own, those of its result are made from `snapshots/final/` and lie in
`generations/final/`: they are no generation that a training in progress may use.

A generation exists if and only if its index does, which is made last, so that either side may be killed at any moment.
Until there is one, the trainer uses the index that the user built before the training. Where a generation could not be
made, `problem.txt` stands in its place and says why.
"""

import contextlib
import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from etils import epath

from realm_tf.artifacts import MANIFEST, Artifact, is_published, make_artifact, open_artifact, write_text_whole
from realm_tf.errors import RealmError
from realm_tf.files import written_at
from realm_tf.text.vocabulary import Vocabulary
from realm_tf.training.checkpoints import step_directory, steps_below
from realm_tf.training.leases import is_leased
from realm_tf.weights.encoder_artifact import RETRIEVER, VOCABULARY
from realm_tf.weights.tensor_files import write_tensors

SNAPSHOT = 'snapshot'
SNAPSHOTS = 'snapshots'
GENERATIONS = 'generations'
FINAL = 'final'
KEPT = 3

_PROBLEM = 'problem.txt'
# When the weights were those in training; no part of an artefact's digest, as no hidden file is.
_TIME = '.time'


@dataclasses.dataclass(frozen=True)
class Generation:
    """An index generation.

    What is said of problems is said of generations below a run, in whose directory it stands.

    Attributes:
      step: the training step whose weights embedded the documents.
      encoder: those weights.
      embeddings: the documents, embedded.
      index: an index over them.
    """

    step: int
    encoder: epath.Path
    embeddings: epath.Path
    index: epath.Path

    def is_made_from(self, snapshot: Artifact) -> bool:
        """Whether its encoder is there, and the snapshot's own."""
        try:
            open_artifact(self.encoder, 'encoder').require_input(SNAPSHOT, snapshot)
        except RealmError:
            return False
        return True

    def is_published(self) -> bool:
        """Whether it exists."""
        return is_published(self.index, 'index')

    def is_begun(self) -> bool:
        """Whether the builder has begun to make it, and has not given it up."""
        return self.encoder.exists() and self.problem() is None

    def remove(self) -> None:
        """Removes what there is of it; the manifest of its index first, so that nobody opens what is left."""
        self.unpublish()
        # Then that of its encoder: what is left, if this is interrupted, is removed before it is made again.
        (self.encoder / MANIFEST).unlink(missing_ok=True)
        for path in (self.index, self.embeddings, self.encoder):
            if path.exists():
                path.rmtree()

    def unpublish(self) -> None:
        """Makes that it does not exist, and leaves what there is of it to the builder, which may be at work there."""
        (self.index / MANIFEST).unlink(missing_ok=True)

    def problem(self) -> str | None:
        """Why there is none; None if nobody has said."""
        return _read_if_there(self._problem)

    def report_problem(self, text: str) -> None:
        """Says why there is none."""
        self._problem.parent.mkdir(parents=True, exist_ok=True)
        write_text_whole(self._problem, text)

    def forget_problem(self) -> None:
        """Lets the builder try again."""
        self._problem.unlink(missing_ok=True)

    @property
    def _problem(self) -> epath.Path:
        return self.encoder.parent / _PROBLEM

    def weights_time(self) -> float | None:
        """When its weights were those in training, in seconds since the epoch; None if it was made elsewhere."""
        written = _read_if_there(self.encoder / _TIME)
        return None if written is None else float(written)


def publish_snapshot(
    run: epath.Path,
    step: int,
    parameters: Mapping[str, np.ndarray],
    vocabulary: Vocabulary,
    configuration: Mapping[str, Any],
    corpus: Artifact,
    *,
    final: bool = False,
) -> Artifact:
    """Publishes the retriever's parameters at a step, for the builder to embed this corpus with.

    A generation of this step that a run before this one left stays if it was made from the very same parameters. Old
    snapshots are removed, but for those of generations that are being made or are there.

    Args:
      run: directory of the run.
      step: the step.
      parameters: of the retriever, by name.
      vocabulary: the wordpieces.
      configuration: the settings of the training, those of the builder among them.
      corpus: the corpus.
      final: whether they are those of the result, which the builder turns to before any other.
    """
    path = run / SNAPSHOTS / FINAL if final else step_directory(run / SNAPSHOTS, step)
    inputs = {'corpus': corpus.digest}
    with make_artifact(path, SNAPSHOT, configuration=configuration, inputs=inputs, overwrite=True) as draft:
        write_tensors(parameters, draft.path / RETRIEVER)
        vocabulary.write(draft.path / VOCABULARY)
        draft.counts['step'] = step
    for old in steps_below(run / SNAPSHOTS)[:-KEPT]:
        # The next ones may come faster than the builder works. At its end it looks for the one that it took: if that is
        # gone, the trainer has taken it back.
        if not generation_of_step(run, old).is_begun():
            step_directory(run / SNAPSHOTS, old).rmtree()
    snapshot = open_artifact(path, SNAPSHOT)
    generation = generation_from(run, snapshot)
    if not generation.is_made_from(snapshot):
        generation.unpublish()
    return snapshot


def hand_on_time(snapshot: Artifact, generation: Generation) -> None:
    """Tells the generation made from a snapshot when its weights were those in training."""
    (generation.encoder / _TIME).write_text(str(written_at(snapshot.path / MANIFEST)))


def newest_snapshot(run: epath.Path) -> Artifact | None:
    """The newest published snapshot, of all that of the result; or None."""
    of_steps = (step_directory(run / SNAPSHOTS, step) for step in reversed(steps_below(run / SNAPSHOTS)))
    for path in (run / SNAPSHOTS / FINAL, *of_steps):
        # It may be still being made, or left half by a killed process.
        with contextlib.suppress(RealmError):
            return open_artifact(path, SNAPSHOT)
    return None


def newest_generation(run: epath.Path, until: int) -> Generation | None:
    """The newest published generation of a step up to and with `until`, or None."""
    generations = (generation_of_step(run, step) for step in reversed(steps_below(run / GENERATIONS)) if step <= until)
    return next((generation for generation in generations if generation.is_published()), None)


def generation_of_step(run: epath.Path, step: int) -> Generation:
    """The place of the generation of a step, whether it exists or not."""
    return _generation_at(step_directory(run / GENERATIONS, step), step)


def generation_from(run: epath.Path, snapshot: Artifact) -> Generation:
    """The place of the generation made from a snapshot, whether it exists or not."""
    return _generation_at(run / GENERATIONS / snapshot.path.name, snapshot.counts['step'])


def _generation_at(path: epath.Path, step: int) -> Generation:
    return Generation(step, path / 'encoder', path / 'embeddings', path / 'index')


def collect_generations(run: epath.Path, in_use: int) -> None:
    """Removes old generations that nobody uses.

    Kept are the newest three, the one in use, those that a training which goes on from a checkpoint begins with, those
    that another process has a lease on, and what the builder is making.
    """
    made = steps_below(run / GENERATIONS)
    published = [step for step in made if generation_of_step(run, step).is_published()]
    kept = {in_use, *published[-KEPT:]}
    for checkpoint in steps_below(run / 'checkpoints'):
        kept.update([step for step in published if step < checkpoint][-1:])
    for step in made:
        directory = step_directory(run / GENERATIONS, step)
        # One that is newer than that in use, and unfinished, may be what the builder is making.
        is_old = step < in_use or (step in published and step < max(published))
        if is_old and step not in kept and not is_leased(directory):
            generation_of_step(run, step).remove()
            directory.rmtree()


def forget_snapshots_after(run: epath.Path, step: int) -> None:
    """Removes the snapshots of what a resumed run makes again, its result too: the builder is to look at this run's."""
    for later in steps_below(run / SNAPSHOTS):
        if later > step:
            step_directory(run / SNAPSHOTS, later).rmtree()
    if (run / SNAPSHOTS / FINAL).exists():
        (run / SNAPSHOTS / FINAL).rmtree()


def newest_problem(run: epath.Path) -> int:
    """The newest step that could not be made a generation of; 0 if there is none."""
    steps = steps_below(run / GENERATIONS)
    return max((step for step in steps if generation_of_step(run, step).problem() is not None), default=0)


def forget_problems(run: epath.Path) -> None:
    """Lets the builder try again."""
    for step in steps_below(run / GENERATIONS):
        generation_of_step(run, step).forget_problem()
    _generation_at(run / GENERATIONS / FINAL, 0).forget_problem()


def _read_if_there(path: epath.Path) -> str | None:
    # Another process may remove it at any moment: between being asked for it and being read, too.
    try:
        return path.read_text()
    except FileNotFoundError:
        return None
