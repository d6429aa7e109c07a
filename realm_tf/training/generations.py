"""Snapshots and index generations: what the trainer and the index builder hand each other.

Both are directories below the run, named by the training step whose weights they hold:

  snapshots/step-00000500/     the retriever's parameters, published by the trainer
  generations/step-00000500/   encoder, embeddings and index made from it, published by the builder

A generation exists if and only if its index does, which is made last, so that either side may be killed at any moment.
Until there is one, the trainer uses the index that the user built before the training.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from etils import epath

from realm_tf.artifacts import Artifact, make_artifact, open_artifact
from realm_tf.errors import RealmError
from realm_tf.models.dual_encoder import DualEncoder
from realm_tf.text.vocabulary import Vocabulary
from realm_tf.training.checkpoints import step_directory, steps_below
from realm_tf.weights.encoder_artifact import RETRIEVER, VOCABULARY
from realm_tf.weights.parameters import save_parameters

SNAPSHOT = 'snapshot'
KEPT = 3


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

    def remove(self) -> None:
        """Removes what there is of it."""
        for path in (self.index, self.embeddings, self.encoder):
            if path.exists():
                path.rmtree()


def publish_snapshot(
    run: epath.Path, step: int, retriever: DualEncoder, vocabulary: Vocabulary, configuration: Mapping[str, Any]
) -> Artifact:
    """Publishes the retriever's parameters at a step, for the builder."""
    path = step_directory(run / 'snapshots', step)
    with make_artifact(path, SNAPSHOT, configuration=configuration, inputs={}, overwrite=True) as draft:
        save_parameters(retriever, draft.path / RETRIEVER)
        vocabulary.write(draft.path / VOCABULARY)
        draft.counts['step'] = step
    for old in steps_below(run / 'snapshots')[:-KEPT]:
        step_directory(run / 'snapshots', old).rmtree()
    return open_artifact(path, SNAPSHOT)


def newest_snapshot(run: epath.Path) -> Artifact | None:
    """The newest published snapshot, or None."""
    return _newest(run / 'snapshots', lambda path: open_artifact(path, SNAPSHOT))


def newest_generation(run: epath.Path) -> Generation | None:
    """The newest published generation, or None."""

    def open_generation(path: epath.Path) -> Generation:
        generation = generation_of_step(run, int(path.name.removeprefix('step-')))
        open_artifact(generation.index, 'index')
        return generation

    return _newest(run / 'generations', open_generation)


def generation_of_step(run: epath.Path, step: int) -> Generation:
    """The place of the generation of a step, whether it exists or not."""
    path = step_directory(run / 'generations', step)
    return Generation(step, path / 'encoder', path / 'embeddings', path / 'index')


def collect_generations(run: epath.Path, in_use: int) -> None:
    """Removes old generations: all but the newest three and the one in use."""
    for step in steps_below(run / 'generations')[:-KEPT]:
        if step != in_use:
            step_directory(run / 'generations', step).rmtree()


def forget_after(run: epath.Path, step: int) -> None:
    """Removes snapshots and generations of steps that a resumed run makes again."""
    for kind in ('snapshots', 'generations'):
        for later in steps_below(run / kind):
            if later > step:
                step_directory(run / kind, later).rmtree()


def _newest(parent: epath.Path, opened) -> Any | None:
    for step in reversed(steps_below(parent)):
        try:
            return opened(step_directory(parent, step))
        except RealmError:
            continue  # still being made, or left half by a killed process
    return None
