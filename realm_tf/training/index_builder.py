"""The index builder, `realm refresh`: turns the newest snapshot of a run into an index generation.

It is a process beside the trainer, or a job on another machine that sees the directory of the run. All that the two
share are files there, each published whole, so that either may be killed, and started again, at any moment.
"""

import contextlib
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from typing import IO

from etils import epath

from realm_tf.artifacts import Artifact, is_published, open_artifact
from realm_tf.commands import setting_arguments
from realm_tf.config import Config, EmbedConfig, RefreshConfig, config_from_dict
from realm_tf.errors import RealmError
from realm_tf.guarded_process import GuardedProcess
from realm_tf.locks import wait_for_lock
from realm_tf.text.vocabulary import Vocabulary
from realm_tf.training.generations import (
    Generation,
    forget_problems,
    generation_from,
    hand_on_time,
    newest_snapshot,
)
from realm_tf.training.runs import REFRESH_LOCK

POLL_SECONDS = 0.5
# After a failure that could not be written down either: of a full disk, say.
_SECONDS_AFTER_FAILURE = 10.0


def run_builder(run: epath.PathLike, corpus_path: epath.PathLike, beam_options: Sequence[str] = ()) -> None:
    """Builds a generation from every snapshot that is the newest when it is free, until the training is finished.

    A snapshot whose generation cannot be built, or finds too little to be published, is left at that: the reason is
    printed and written beside the generations, where the trainer finds it, and the next snapshot is the next try. Ends
    at SIGTERM too.

    Args:
      run: directory of the training run.
      corpus_path: the knowledge corpus.
      beam_options: of Apache Beam, for the job that embeds the corpus; they win over those of the run's settings.

    Raises:
      RealmError: if there is no such corpus, or the run is removed.
    """
    run = epath.Path(run)
    open_artifact(corpus_path, 'corpus')
    asked_to_stop: list[int] = []

    def stop(number: int, frame) -> None:
        # An exit that unwinds, so that the embedding job in progress ends with the builder. Where the interpreter is in
        # a callback that swallows exceptions, the loop sees that it was asked.
        asked_to_stop.append(number)
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, stop)
    with _only_builder(run) as lock:
        forget_problems(run)
        while not asked_to_stop and not _is_finished(run):
            if not run.exists():
                raise _removed(run)
            snapshot = newest_snapshot(run)
            if snapshot is None or _is_done(run, snapshot):
                time.sleep(POLL_SECONDS)
                continue
            try:
                build_generation(run, snapshot, corpus_path, beam_options, lock)
            except Exception as error:
                # A trainer that is resumed removes some, and makes them again: what became of one that is no longer
                # there is of no interest.
                if _is_there(snapshot):
                    _say_what_went_wrong(run, snapshot, error)


def build_generation(
    run: epath.Path, snapshot: Artifact, corpus_path: epath.PathLike, beam_options: Sequence[str], lock: IO | None
) -> Generation:
    """Embeds the corpus with a snapshot, builds its index and measures its recall.

    Parts that an interrupted builder left are kept.

    Args:
      run: directory of the training run.
      snapshot: the snapshot.
      corpus_path: the knowledge corpus.
      beam_options: of Apache Beam, for the job that embeds the corpus.
      lock: a file to hold open until nothing of that job is left.

    Raises:
      RealmError: if it is not the corpus that the run is trained with, the job fails, or the measured recall is below
        `index.minimum_recall`.
    """
    # Here, and not at the top: what these import is of no use to a builder that waits.
    from realm_tf.search.index import build_index

    snapshot.require_input('corpus', open_artifact(corpus_path, 'corpus'))
    config = config_from_dict(snapshot.configuration, source=str(snapshot.path))
    generation = generation_from(run, snapshot)
    if not generation.is_made_from(snapshot):
        generation.remove()
        _write_encoder(generation, snapshot, config)
    hand_on_time(snapshot, generation)
    # A training saves the settings that it depends on, so that these tell which it is.
    settings = config.pretrain if 'pretrain' in snapshot.configuration else config.finetune
    _embed(generation, corpus_path, config.embed, settings, beam_options, lock)
    embeddings = open_artifact(generation.embeddings, 'embeddings')
    try:
        embeddings.verify()
    except RealmError:
        embeddings.path.rmtree()
        raise
    build_index(generation.embeddings, generation.index, config.index, overwrite=True, seed=config.seed)
    if not _is_there(snapshot):
        generation.unpublish()
        raise RealmError(f'{snapshot.path} was removed meanwhile.')
    return generation


def _write_encoder(generation: Generation, snapshot: Artifact, config: Config) -> None:
    from realm_tf.weights.encoder_artifact import RETRIEVER, VOCABULARY, write_encoder
    from realm_tf.weights.networks import make_retriever
    from realm_tf.weights.parameters import load_parameters

    retriever = make_retriever(config)
    load_parameters(retriever, snapshot.path / RETRIEVER)
    write_encoder(
        generation.encoder,
        configuration=snapshot.configuration,
        vocabulary=Vocabulary.read(snapshot.path / VOCABULARY),
        retriever=retriever,
        knowledge_augmented_encoder=None,
        inputs={'snapshot': snapshot.digest},
        step=generation.step,
    )


def _embed(
    generation: Generation,
    corpus_path: epath.PathLike,
    embed: EmbedConfig,
    settings: RefreshConfig,
    beam_options: Sequence[str],
    lock: IO | None,
) -> None:
    """Runs the embedding job, and waits."""
    command = [
        *(sys.executable, '-m', 'beam_jobs.embed_blocks'),
        *('--corpus', str(corpus_path)),
        *('--encoder', str(generation.encoder)),
        *('--output', str(generation.embeddings)),
        *('--overwrite', '--num_workers', str(settings.refresh_workers)),
        *('--threads_per_worker', '1'),
        *setting_arguments(
            {'tokens_per_batch': embed.tokens_per_batch, 'blocks_per_shard': embed.blocks_per_shard}, 'embed'
        ),
        *settings.refresh_beam_options,
        *beam_options,
    ]
    job = GuardedProcess(command, held=[lock] if lock else [])
    try:
        while job.poll() is None:
            time.sleep(POLL_SECONDS / 5)
    finally:
        job.end()
    if job.poll():
        raise RealmError(f'The embedding job ended with status {job.poll()}: {" ".join(command)}')


@contextlib.contextmanager
def _only_builder(run: epath.Path) -> Iterator[IO | None]:
    """Waits until no other builder, nor a job that one left, is at work on the run; gives the file that is locked.

    Two would write the same files. Object stores have no locks: there the user sees to it.
    """
    try:
        lock = wait_for_lock(run / REFRESH_LOCK, f'Another builder is at work on {run}. Waiting for it to end.')
    except FileNotFoundError as error:
        raise _removed(run) from error
    with lock or contextlib.nullcontext():
        yield lock


def _removed(run: epath.Path) -> RealmError:
    return RealmError(f'{run} was removed: there is no training to build an index for.')


def _is_there(snapshot: Artifact) -> bool:
    try:
        return open_artifact(snapshot.path, 'snapshot').digest == snapshot.digest
    except RealmError:
        return False


def _is_finished(run: epath.Path) -> bool:
    """Whether there is what the training ends in: the encoder of a pre-training, the model of a fine-tuning."""
    return is_published(run / 'encoder', 'encoder') or is_published(run / 'model', 'model')


def _is_done(run: epath.Path, snapshot: Artifact) -> bool:
    """Whether there is nothing left to do with the snapshot."""
    generation = generation_from(run, snapshot)
    built = generation.is_published() and generation.is_made_from(snapshot)
    return built or generation.problem() is not None


def _say_what_went_wrong(run: epath.Path, snapshot: Artifact, error: Exception) -> None:
    if not isinstance(error, RealmError):
        traceback.print_exception(error)
    text = ' '.join(str(error).split()) or type(error).__name__
    print(f'There is no index of {snapshot.path}: {text}', file=sys.stderr, flush=True)
    try:
        generation_from(run, snapshot).report_problem(text)
    except OSError as second:
        print(f'Nor could this be written down: {second}', file=sys.stderr, flush=True)
        time.sleep(_SECONDS_AFTER_FAILURE)
