"""The index refresh: a process beside the trainer that turns its newest snapshot into an index generation."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from etils import epath

from realm_tf.artifacts import Artifact, open_artifact
from realm_tf.config import config_from_dict
from realm_tf.errors import RealmError
from realm_tf.text.vocabulary import Vocabulary
from realm_tf.training.generations import Generation, generation_of_step, newest_generation, newest_snapshot

POLL_SECONDS = 0.5
# The builder yields to the trainer where they share cores.
NICENESS = 5


def run_refresh(run: epath.PathLike, corpus_path: epath.PathLike, *, until: Callable[[], bool] = lambda: False) -> None:
    """Builds a generation from every snapshot that is the newest when the builder is free, for as long as it is let.

    Args:
      run: directory of the pre-training run.
      corpus_path: the knowledge corpus.
      until: the work ends when this is true.

    Raises:
      RealmError: if a generation cannot be built; in particular if its recall is too low to publish it.
    """
    run = epath.Path(run)
    received: list[int] = []

    def stop(number: int, frame) -> None:
        # An exit that unwinds, so that the embedding job in progress ends with the builder. Where the interpreter is in
        # a callback that swallows exceptions, the loop sees what was received.
        received.append(number)
        sys.exit(128 + number)

    def is_over() -> bool:
        return bool(received) or until()

    signal.signal(signal.SIGTERM, stop)
    while not is_over():
        snapshot = newest_snapshot(run)
        built = newest_generation(run)
        if snapshot is None or (built is not None and built.step >= snapshot.counts['step']):
            time.sleep(POLL_SECONDS)
            continue
        try:
            build_generation(run, snapshot, corpus_path, until=is_over)
        except RealmError:
            # The trainer keeps the newest few: one that it removed before it was read is out of date anyway.
            if snapshot.path.exists():
                raise


def build_generation(
    run: epath.Path, snapshot: Artifact, corpus_path: epath.PathLike, *, until: Callable[[], bool] = lambda: False
) -> Generation:
    """Embeds the corpus with a snapshot and builds its index; parts that an interrupted builder left are kept."""
    # The networks need TensorFlow, which a builder that waits should not.
    from realm_tf.search.index import build_index
    from realm_tf.weights.encoder_artifact import RETRIEVER, VOCABULARY, write_encoder
    from realm_tf.weights.networks import make_retriever
    from realm_tf.weights.parameters import load_parameters

    config = config_from_dict(snapshot.configuration, source=str(snapshot.path))
    generation = generation_of_step(run, snapshot.counts['step'])
    if not _is_made_from(generation, snapshot):
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
    _run_job(
        [
            *(sys.executable, '-m', 'beam_jobs.embed_blocks'),
            *('--corpus', str(corpus_path)),
            *('--encoder', str(generation.encoder)),
            *('--output', str(generation.embeddings)),
            *('--num_workers', str(config.pretrain.refresh_workers)),
            *('--threads_per_worker', '1'),
            *('--set', f'embed.tokens_per_batch={config.embed.tokens_per_batch}'),
        ],
        until,
    )
    build_index(generation.embeddings, generation.index, config.index, seed=config.seed)
    return generation


@contextlib.contextmanager
def builder_process(run: epath.Path, corpus_path: epath.PathLike) -> Iterator[Callable[[], None]]:
    """Runs the builder as a process beside this one, and ends it on leaving.

    Yields:
      A function that raises a `RealmError` if the builder has failed.
    """
    log_path = run / 'refresh.log'
    with log_path.open('a') as log:
        builder = subprocess.Popen(
            [sys.executable, '-m', 'realm_tf.cli', 'refresh', '--run', str(run), '--corpus', str(corpus_path)]
            + ['--parent', str(os.getpid())],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )

    def check():
        if builder.poll() is not None:
            last = log_path.read_text().strip().splitlines()[-1:] or ['it said nothing']
            raise RealmError(
                f'The index builder ended with status {builder.returncode}: {last[0]} (all of it: {log_path})'
            )

    try:
        yield check
    finally:
        builder.terminate()
        builder.wait()


def ended(parent: int) -> bool:
    """Whether the process that started this one is gone."""
    return os.getppid() != parent


def _run_job(command: list[str], until: Callable[[], bool]) -> None:
    """Runs a job in a process group of its own and waits; ends the whole group if `until` turns true."""
    job = subprocess.Popen(command, start_new_session=True, stdin=subprocess.DEVNULL)
    try:
        while job.poll() is None:
            if until():
                raise KeyboardInterrupt
            time.sleep(POLL_SECONDS / 5)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(job.pid, signal.SIGTERM if job.poll() is None else signal.SIGKILL)
        job.wait()
    if job.returncode:
        raise RealmError(f'The embedding job ended with status {job.returncode}: {" ".join(command)}')


def _is_made_from(generation: Generation, snapshot: Artifact) -> bool:
    """Whether the generation's encoder is there and the snapshot's own; the place of another one is cleared."""
    try:
        open_artifact(generation.encoder, 'encoder').require_input('snapshot', snapshot)
    except RealmError:
        generation.remove()
        return False
    return True
