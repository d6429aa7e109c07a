"""`realm plan`: measures what is not given, and prints the plan."""

import pathlib
import tempfile

from realm_tf.cadence import Cadence
from realm_tf.config import Config
from realm_tf.corpus.block_store import BlockStore
from realm_tf.environment import processor
from realm_tf.errors import RealmError
from realm_tf.planning import measure
from realm_tf.planning.plan import Figure, Known, Line, make_plan
from realm_tf.search.scann_searcher import BLOCKS_AT_ONCE
from realm_tf.weights.encoder_artifact import Encoder

_SECONDS_OF_EMBEDDING = 20.0
_SMALLER_SAMPLE = 4


def plan(
    config: Config,
    *,
    blocks: int | None,
    workers: int | None,
    corpus_path: str | None,
    encoder_path: str | None,
    blocks_per_second: float | None,
    seconds_per_step: float | None,
    run: str | None,
    index_sample: int,
) -> list[Line]:
    """Plans the refresh of an index.

    Args:
      config: the shape of the encoder where none is given, the searcher, and the cadence of the refresh.
      blocks: how many there are to be; None: those of the corpus.
      workers: that embed; None: `pretrain.refresh_workers`.
      corpus_path: blocks to measure with; None: random ones of the full length.
      encoder_path: the encoder to measure; None: one with random weights.
      blocks_per_second: of one worker; None: measured.
      seconds_per_step: of the training.
      run: directory of a training, whose steps say `seconds_per_step`.
      index_sample: embeddings of the larger of two indices that are measured.

    Raises:
      RealmError: if there is nothing to say how many blocks there are, or the corpus is another encoder's.
    """
    corpus = BlockStore.open(corpus_path) if corpus_path else None
    if blocks is None and corpus is None:
        raise RealmError('Give --blocks, how many blocks there are to be, or --corpus.')
    if seconds_per_step is not None and run is not None:
        raise RealmError('Give either --seconds-per-step or --run, whose steps say it.')
    if seconds_per_step is not None:
        step = Figure(seconds_per_step, 'given')
    else:
        step = Figure(measure.seconds_of_step(pathlib.Path(run)), f'the median of the steps of {run}') if run else None
    encoder = Encoder.open(encoder_path) if encoder_path else None
    if corpus and encoder:
        corpus.require_vocabulary(encoder.vocabulary, encoder_path)
    shape = encoder.config if encoder else config
    worker_memory = None
    with tempfile.TemporaryDirectory(prefix='realm-plan-') as directory:
        directory = pathlib.Path(directory)
        if blocks_per_second is not None:
            rate = Figure(blocks_per_second, 'given')
        else:
            rate, worker_memory = _embedding(directory, config, corpus, encoder)
        indices = [
            measure.measure_index(directory / f'sample-{size}', size, shape.retriever.projection_size, config)
            for size in (index_sample // _SMALLER_SAMPLE, index_sample)
        ]
    return make_plan(
        Known(
            blocks=blocks or len(corpus),
            workers=workers or config.pretrain.refresh_workers,
            dimension=shape.retriever.projection_size,
            blocks_per_second=rate,
            worker_memory=worker_memory,
            corpus_bytes_per_block=corpus
            and Figure(measure.bytes_per_block(corpus), f'bytes of a block of {corpus_path}'),
            indices=indices,
            searcher=config.index.searcher,
            blocks_of_piece=BLOCKS_AT_ONCE if config.index.searcher == 'scann' else None,
            seconds_per_step=step,
            refresh_every=min(every for _, every in Cadence.parse(config.pretrain.refresh_every).phases),
        )
    )


def _embedding(
    directory: pathlib.Path, config: Config, corpus: BlockStore | None, encoder: Encoder | None
) -> tuple[Figure, Figure]:
    """Blocks a second of one thread, and its memory."""
    if encoder:
        encoder_path, vocabulary = encoder.artifact.path, encoder.vocabulary
        weights = f'of {encoder_path}'
    else:
        vocabulary = corpus.vocabulary if corpus else measure.make_up_vocabulary(config.encoder.vocabulary_size)
        encoder_path = directory / 'encoder'
        measure.make_up_encoder(encoder_path, config, vocabulary)
        weights = f'of {config.encoder.num_layers} layers of {config.encoder.hidden_size}, with random weights'
    if corpus:
        corpus_path, which = corpus.artifact.path, f'blocks of {corpus.artifact.path}'
    else:
        corpus_path = directory / 'corpus'
        measure.make_up_corpus(corpus_path, config.corpus.block_length, vocabulary)
        which = f'random blocks of {config.corpus.block_length} wordpieces'
    embedded = measure.measure_embedding(
        str(corpus_path), str(encoder_path), config.embed.tokens_per_batch, _SECONDS_OF_EMBEDDING
    )
    basis = (
        f'measured here ({processor()}): {embedded.blocks:,} {which}, embedded in {embedded.seconds:.1f} s by one '
        f'thread with an encoder {weights}'
    )
    return (
        Figure(embedded.blocks / embedded.seconds, basis),
        Figure(embedded.memory, 'measured here: most memory of that process, TensorFlow counted'),
    )
