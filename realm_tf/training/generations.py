"""Snapshots and index generations: what the trainer and the index builder hand each other.

Both are directories below the run, named by the training step whose weights they hold:

  snapshots/step-00000500/     the retriever's parameters, published by the trainer
  generations/step-00000500/   encoder, embeddings and index made from it, published by the builder

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

from realm_tf.artifacts import MANIFEST, Artifact, make_artifact, open_artifact, write_text_whole
from realm_tf.errors import RealmError
from realm_tf.text.vocabulary import Vocabulary
from realm_tf.training.checkpoints import step_directory, steps_below
from realm_tf.training.leases import is_leased
from realm_tf.weights.encoder_artifact import RETRIEVER, VOCABULARY
from realm_tf.weights.tensor_files import write_tensors

SNAPSHOT = 'snapshot'
SNAPSHOTS = 'snapshots'
GENERATIONS = 'generations'
KEPT = 3

_PROBLEM = 'problem.txt'
# When the weights were those in training; no part of an artefact's digest, as no hidden file is.
_TIME = '.time'


@dataclasses.dataclass(frozen=True)
class Generation:
    """An index generation.

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
        try:
            open_artifact(self.index, 'index')
        except RealmError:
            return False
        return True

    def remove(self) -> None:
        """Removes what there is of it; the manifest of its index first, so that nobody opens what is left."""
        (self.index / MANIFEST).unlink(missing_ok=True)
        for path in (self.index, self.embeddings, self.encoder):
            if path.exists():
                path.rmtree()

    def weights_time(self) -> float | None:
        """When its weights were those in training, in seconds since the epoch; None if it was made elsewhere."""
        path = self.encoder / _TIME
        return float(path.read_text()) if path.exists() else None


def publish_snapshot(
    run: epath.Path,
    step: int,
    parameters: Mapping[str, np.ndarray],
    vocabulary: Vocabulary,
    configuration: Mapping[str, Any],
    corpus: Artifact,
) -> Artifact:
    """Publishes the retriever's parameters at a step, for the builder to embed this corpus with.

    A generation of this step that a run before this one left stays if it was made from the very same parameters.
    """
    path = step_directory(run / SNAPSHOTS, step)
    inputs = {'corpus': corpus.digest}
    with make_artifact(path, SNAPSHOT, configuration=configuration, inputs=inputs, overwrite=True) as draft:
        write_tensors(parameters, draft.path / RETRIEVER)
        vocabulary.write(draft.path / VOCABULARY)
        draft.counts['step'] = step
    for old in steps_below(run / SNAPSHOTS)[:-KEPT]:
        step_directory(run / SNAPSHOTS, old).rmtree()
    snapshot = open_artifact(path, SNAPSHOT)
    generation = generation_of_step(run, step)
    if generation.encoder.exists() and not generation.is_made_from(snapshot):
        generation.remove()
    return snapshot


def hand_on_time(snapshot: Artifact, generation: Generation) -> None:
    """Tells the generation made from a snapshot when its weights were those in training."""
    (generation.encoder / _TIME).write_text(str((snapshot.path / MANIFEST).stat().mtime))


def newest_snapshot(run: epath.Path) -> Artifact | None:
    """The newest published snapshot, or None."""
    for step in reversed(steps_below(run / SNAPSHOTS)):
        # It may be still being made, or left half by a killed process.
        with contextlib.suppress(RealmError):
            return open_artifact(step_directory(run / SNAPSHOTS, step), SNAPSHOT)
    return None


def newest_generation(run: epath.Path, until: int) -> Generation | None:
    """The newest published generation of a step up to and with `until`, or None."""
    generations = (generation_of_step(run, step) for step in reversed(steps_below(run / GENERATIONS)) if step <= until)
    return next((generation for generation in generations if generation.is_published()), None)


def generation_of_step(run: epath.Path, step: int) -> Generation:
    """The place of the generation of a step, whether it exists or not."""
    path = step_directory(run / GENERATIONS, step)
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
        if step < max(published, default=0) and step not in kept and not is_leased(directory):
            generation_of_step(run, step).remove()
            directory.rmtree()


def forget_snapshots_after(run: epath.Path, step: int) -> None:
    """Removes the snapshots of steps that a resumed run makes again: the builder is to look at this run's."""
    for later in steps_below(run / SNAPSHOTS):
        if later > step:
            step_directory(run / SNAPSHOTS, later).rmtree()


def report_problem(run: epath.Path, step: int, text: str) -> None:
    """Says why there is no generation of a step."""
    directory = step_directory(run / GENERATIONS, step)
    directory.mkdir(parents=True, exist_ok=True)
    write_text_whole(directory / _PROBLEM, text)


def problem_of_step(run: epath.Path, step: int) -> str | None:
    """Why there is no generation of a step; None if nobody has said."""
    path = step_directory(run / GENERATIONS, step) / _PROBLEM
    return path.read_text() if path.exists() else None


def newest_problem(run: epath.Path) -> int:
    """The newest step that could not be made a generation of; 0 if there is none."""
    steps = steps_below(run / GENERATIONS)
    return max((step for step in steps if problem_of_step(run, step) is not None), default=0)


def forget_problems(run: epath.Path) -> None:
    """Lets the builder try again."""
    for step in steps_below(run / GENERATIONS):
        (step_directory(run / GENERATIONS, step) / _PROBLEM).unlink(missing_ok=True)
