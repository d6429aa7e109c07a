"""Blocks of a corpus as a corpus of their own."""

import pathlib

import numpy as np

from realm_tf.artifacts import Artifact, make_artifact, open_artifact
from realm_tf.corpus.arrow_shards import shard_name
from realm_tf.corpus.block_store import KIND, SHARDS, VOCABULARY, Block, BlockStore, write_blocks


def write_sample(corpus: BlockStore, ids: np.ndarray, path: pathlib.Path) -> Artifact:
    """Writes blocks of a corpus, in this order, in one shard; a block may be there more than once.

    Args:
      corpus: what they are taken from.
      ids: block ids, integers `[blocks]`.
      path: of the new artefact.
    """
    columns = (
        *(column(ids) for column in (corpus.document_ids, corpus.titles, corpus.texts)),
        *(column(ids).rows() for column in (corpus.title_ids, corpus.body_ids, corpus.sentence_starts)),
    )
    configuration = corpus.artifact.configuration
    with make_artifact(path, KIND, configuration=configuration, inputs={}) as draft:
        corpus.vocabulary.write(draft.path / VOCABULARY)
        write_blocks(draft.path / shard_name(SHARDS, 0, 1), list(map(Block, *columns)))
    return open_artifact(path, KIND)
