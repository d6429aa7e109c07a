"""The document tower of an encoder, over the blocks of a corpus."""

import concurrent.futures
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from etils import epath

from realm_tf.artifacts import open_artifact
from realm_tf.corpus.block_store import BlockStore
from realm_tf.corpus.duplicates import hashes_of_blocks
from realm_tf.embedding.reuse import ReusableEmbeddings
from realm_tf.environment import assume_frozen_weights
from realm_tf.errors import RealmError
from realm_tf.text.packing import pack_pairs, title_limit
from realm_tf.text.ragged import Ragged

# Batches are padded to a multiple of this, so that a device sees few shapes: of attention, where padding is skipped.
LENGTH_STEP = 16


class EmbeddedBlocks(NamedTuple):
    """Embeddings, and what they were made of.

    Attributes:
      embeddings: in block order, float32 `[blocks, dimension]`.
      contents: 64-bit hashes of the wordpieces that were embedded, uint64 `[blocks]`.
    """

    embeddings: np.ndarray
    contents: np.ndarray


class BlockEmbedder:
    """Embeds blocks of a corpus, in batches of about equal length."""

    def __init__(self, corpus: str, encoder: str, tokens_per_batch: int, threads: int, reuse: str | None = None):
        """Loads the SavedModel, and settles how TensorFlow runs in this process, where it must not have started.

        Args:
          corpus: the corpus.
          encoder: the encoder.
          tokens_per_batch: most wordpieces in a batch, padding counted.
          threads: batches embedded at the same time.
          reuse: embeddings of an earlier corpus by this encoder, which those of unchanged blocks are taken from.
        """
        # Here, and not at the top: a driver that starts workers, or finds nothing to do, needs no TensorFlow.
        import tensorflow as tf

        assume_frozen_weights(open_artifact(encoder, 'encoder').configuration.get('precision'))
        # Batches share out the cores, and each runs on one thread: sums over several would depend on their number.
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        self._ran_out_of_memory = (tf.errors.ResourceExhaustedError, MemoryError)
        self._corpus = BlockStore.open(corpus)
        self._model = tf.saved_model.load(str(epath.Path(encoder) / 'saved_model'))
        self._embed_document = self._model.signatures['embed_document']
        self._tokens_per_batch = tokens_per_batch
        # What is known to fit, which is less once memory has run out.
        self._tokens_that_fit = tokens_per_batch
        self._threads = concurrent.futures.ThreadPoolExecutor(threads)
        self._reusable = ReusableEmbeddings(open_artifact(reuse, 'embeddings')) if reuse else None

    def embed(self, blocks: range, tell: Callable[[Counter], None]) -> EmbeddedBlocks:
        """Embeds consecutive blocks of the corpus.

        Args:
          blocks: their ids.
          tell: is told, batch by batch and from any thread, what was done: how many `blocks` were embedded or `reused`,
            how many `tokens` and how much `padding` was embedded, and how often a batch was `halved`.
        """
        ids = np.arange(blocks.start, blocks.stop)
        titles = self._corpus.title_ids(ids).truncated(title_limit(self._corpus.block_length))
        bodies = self._corpus.body_ids(ids).truncated(self._corpus.block_length - 3 - titles.lengths)
        contents = hashes_of_blocks(titles, bodies)
        embeddings = np.empty((len(blocks), self._dimension), np.float32)
        rows = np.arange(len(blocks))
        if self._reusable is not None:
            is_old = self._reusable.copy_into(embeddings, contents)
            rows = np.flatnonzero(~is_old)
            tell(Counter(reused=int(is_old.sum())))

        def embed_batch(batch: tuple[np.ndarray, int]) -> None:
            of_batch, length = rows[batch[0]], min(batch[1], self._corpus.block_length)
            counts = Counter()
            embeddings[of_batch] = self._embed_rows(titles.take(of_batch), bodies.take(of_batch), length, counts)
            tell(counts)

        lengths = 3 + titles.lengths + bodies.lengths
        batches = batches_by_length(lengths[rows], self._tokens_per_batch)
        # A batch that failed is seen here.
        for _ in self._threads.map(embed_batch, batches):
            pass
        return EmbeddedBlocks(embeddings, contents)

    @property
    def _dimension(self) -> int:
        return self._embed_document.structured_outputs['embedding'].shape[-1]

    def _embed_rows(self, titles: Ragged, bodies: Ragged, length: int, counts: Counter) -> np.ndarray:
        """Embeds one batch, or what memory has room for at a time, float32 `[batch, dimension]`."""
        num_rows = titles.num_rows
        if num_rows > 1 and num_rows * length > self._tokens_that_fit:
            halves = np.array_split(np.arange(num_rows), 2)
            return np.concatenate(
                [self._embed_rows(titles.take(half), bodies.take(half), length, counts) for half in halves]
            )
        # Not as documents of this length: their titles would be cut again, for the shorter room.
        packed = pack_pairs(titles, bodies, length, self._corpus.vocabulary)
        try:
            # [batch, dimension]
            embedded = self._embed_document(token_ids=packed.token_ids, segment_ids=packed.segment_ids)['embedding']
            # A GPU computes on; what goes wrong there is seen here.
            embeddings = embedded.numpy()
        except self._ran_out_of_memory as error:
            if num_rows == 1:
                raise RealmError(
                    f'Memory ran out over one block of {length} wordpieces. Give the workers more memory, or start '
                    'fewer of them on a machine.'
                ) from error
            self._tokens_that_fit = min(self._tokens_that_fit, num_rows * length // 2)
            counts.update(halved=1)
            logging.getLogger(__name__).warning(
                'Memory ran out over a batch of %d × %d wordpieces: it is halved, and so are all as large.',
                *packed.token_ids.shape,
            )
            return self._embed_rows(titles, bodies, length, counts)
        tokens = int((3 + titles.lengths + bodies.lengths).sum())
        counts.update(blocks=num_rows, tokens=tokens, padding=packed.token_ids.size - tokens)
        return embeddings


def batches_by_length(lengths: np.ndarray, tokens_per_batch: int) -> Iterator[tuple[np.ndarray, int]]:
    """Groups rows of about equal length into batches.

    Args:
      lengths: length of each row, `[rows]`.
      tokens_per_batch: most wordpieces in a batch, padding counted; a longer row is a batch of its own.

    Yields:
      The rows of a batch, ascending, and the multiple of `LENGTH_STEP` they are padded to; longest last.
    """
    padded_lengths = -(-lengths // LENGTH_STEP) * LENGTH_STEP
    for length in np.unique(padded_lengths):
        rows = np.flatnonzero(padded_lengths == length)
        batch_size = max(1, tokens_per_batch // int(length))
        for start in range(0, len(rows), batch_size):
            yield rows[start : start + batch_size], int(length)
