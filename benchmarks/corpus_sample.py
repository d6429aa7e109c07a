"""Blocks of a corpus as a corpus of their own: some of them, or all of them again and again."""

import json
import os
import pathlib

import numpy as np

from realm_tf.artifacts import MANIFEST, Artifact, make_artifact, open_artifact
from realm_tf.corpus.arrow_shards import shard_name
from realm_tf.corpus.block_store import KIND, SHARDS, VOCABULARY, Block, BlockStore, write_blocks


def random_blocks(corpus: BlockStore, number: int) -> np.ndarray:
    """So many of its blocks, the same ones every time, in order: ids, int64 `[number]`; all of them if it has fewer."""
    return np.sort(np.random.default_rng(0).choice(len(corpus), min(number, len(corpus)), replace=False))


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


def multiplied(corpus: pathlib.Path, output: pathlib.Path, blocks: int) -> None:
    """Links the shards of a corpus until there are at least so many blocks."""
    artifact = open_artifact(corpus)
    shards = sorted(name for name in artifact.files if name.startswith(SHARDS))
    sizes = [len(rows) for rows in BlockStore(artifact).shard_ranges]
    number = int(np.searchsorted(np.cumsum(np.resize(sizes, 2 * len(sizes) * (blocks // sum(sizes) + 1))), blocks)) + 1
    files = {VOCABULARY: artifact.files[VOCABULARY]}
    os.link(corpus / VOCABULARY, output / VOCABULARY)
    for shard in range(number):
        source, name = shards[shard % len(shards)], shard_name(SHARDS, shard, number)
        os.link(corpus / source, output / name)
        files[name] = artifact.files[source]
    manifest = json.loads((corpus / MANIFEST).read_text()) | {'files': dict(files)}
    (output / MANIFEST).write_text(json.dumps(manifest))
