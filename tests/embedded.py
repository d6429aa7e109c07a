"""Embeddings as artefacts, of vectors that a test chose."""

import numpy as np
from etils import epath

from realm_tf.artifacts import make_artifact, open_artifact
from realm_tf.search.embeddings import shard_name


def write_embeddings(
    path: epath.PathLike, corpus: epath.PathLike, encoder: epath.PathLike, vectors: np.ndarray
) -> None:
    """Publishes vectors, float32 `[blocks, dimension]`, as embeddings of a corpus, or of its first blocks."""
    inputs = {'corpus': open_artifact(corpus, 'corpus').digest, 'encoder': open_artifact(encoder, 'encoder').digest}
    with make_artifact(path, 'embeddings', configuration={}, inputs=inputs) as draft:
        np.save(draft.path / shard_name(0, 1), vectors)
        draft.counts['blocks'] = len(vectors)
