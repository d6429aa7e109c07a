"""Embeddings of blocks that came with weights, as an embeddings artefact."""

from collections.abc import Mapping

import numpy as np
from etils import epath

from realm_tf.artifacts import Artifact, make_artifact, open_artifact, open_whole, outdated_because
from realm_tf.corpus.block_store import BlockStore
from realm_tf.errors import RealmError
from realm_tf.progress import tracked
from realm_tf.search.embeddings import shard_name

_ROWS_AT_ONCE = 1 << 16


def write_imported_embeddings(
    block_embeddings: np.ndarray,
    output: epath.PathLike,
    corpus: BlockStore,
    *,
    source: str,
    made_by: Mapping[str, str],
    overwrite: bool = False,
) -> Artifact:
    """Writes embeddings in the shards of the corpus, float32, a piece at a time.

    That they are of these blocks, in this order, cannot be seen; that there are as many, can.

    Args:
      block_embeddings: `[blocks, dimension]`; sliced by rows.
      output: the embeddings artefact.
      corpus: the corpus.
      source: where the embeddings come from, for messages.
      made_by: digests of what made them, by role.
      overwrite: whether another artefact there is replaced.

    Raises:
      RealmError: if the corpus has another number of blocks.
    """
    if len(block_embeddings) != len(corpus):
        raise RealmError(
            f'{source} has embeddings of {len(block_embeddings):,} blocks, and the corpus {corpus.artifact.path} has '
            f'{len(corpus):,} blocks: they are of another corpus, or it was cut otherwise.'
        )
    inputs = {'corpus': corpus.artifact.digest, **made_by}
    if outdated_because(output, 'embeddings', {}, inputs) is None:
        return open_artifact(output, 'embeddings')
    with make_artifact(output, 'embeddings', configuration={}, inputs=inputs, overwrite=overwrite) as draft:
        num_shards = len(corpus.shard_ranges)
        for number, blocks in enumerate(tracked(corpus.shard_ranges, 'Block embeddings', 'shard')):
            file = draft.path / shard_name(number, num_shards)
            if not file.exists():
                _write_rows(file, block_embeddings, blocks)
        draft.counts['blocks'] = len(corpus)
    return open_artifact(output, 'embeddings')


def _write_rows(path: epath.Path, block_embeddings: np.ndarray, blocks: range) -> None:
    shape = (len(blocks), block_embeddings.shape[1])
    with open_whole(path) as file:
        header = {'descr': np.lib.format.dtype_to_descr(np.dtype(np.float32)), 'fortran_order': False, 'shape': shape}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(blocks.start, blocks.stop, _ROWS_AT_ONCE):
            rows = block_embeddings[start : min(start + _ROWS_AT_ONCE, blocks.stop)]
            file.write(np.ascontiguousarray(rows, np.float32).tobytes())
