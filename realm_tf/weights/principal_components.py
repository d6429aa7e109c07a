"""A projection to start from that keeps what the encoder already says: its principal components, or all of it.

The paper's projection starts at random and is trained for long. Where the body was itself trained to embed texts, this
start keeps most of what it knows; a short training goes on from there.
"""

import numpy as np

from realm_tf.corpus.block_store import BlockStore
from realm_tf.errors import RealmError
from realm_tf.models.dual_encoder import DualEncoder
from realm_tf.models.retriever_tower import RetrieverTower
from realm_tf.progress import tracked
from realm_tf.text.packing import pack_documents

BLOCKS = 512
_BATCH = 32
# Inner products of the LayerNorm's outputs are cosines times this; 20 is what sentence encoders are trained with.
SCALE = 20.0


def project_on_principal_components(retriever: DualEncoder, corpus: BlockStore, seed: int) -> None:
    """Sets the projection of a retriever, for queries and documents, from `BLOCKS` random blocks of a corpus.

    Raises:
      RealmError: if there are fewer blocks than components.
    """
    count = min(len(corpus), BLOCKS)
    tower = retriever.document_tower
    if count < tower.projection_size:
        raise RealmError(
            f'{count} blocks (at most {BLOCKS} of the corpus are taken) are too few for {tower.projection_size} '
            'principal components: name a larger corpus, or give --set retriever.projection_start=random.'
        )
    rows = np.sort(np.random.default_rng(seed).choice(len(corpus), count, replace=False))
    packed = pack_documents(corpus.title_ids(rows), corpus.body_ids(rows), corpus.block_length, corpus.vocabulary)
    batches = [slice(start, start + _BATCH) for start in range(0, count, _BATCH)]
    pooled = [
        np.asarray(tower.pool(packed.token_ids[batch], packed.segment_ids[batch]))
        for batch in tracked(batches, 'Principal components', 'batch')
    ]
    share = set_projection(tower, np.concatenate(pooled))
    if not retriever.shared_towers:
        for ours, theirs in zip(
            (retriever.query_tower.projection, retriever.query_tower.projection_layer_norm),
            (tower.projection, tower.projection_layer_norm),
            strict=True,
        ):
            ours.set_weights(theirs.get_weights())
    print(f'The projection keeps {share:.1%} of the variance of {count} blocks.')


def project_identically(retriever: DualEncoder) -> None:
    """Lets a retriever's projection pass on what the encoder says.

    Inner products are then its cosines times `SCALE`, but that the LayerNorm takes off each embedding's own mean, which
    is next to nothing.

    Raises:
      RealmError: if an embedding has another size than the encoder.
    """
    for tower in {id(tower): tower for tower in (retriever.query_tower, retriever.document_tower)}.values():
        size, width = tower.projection_size, tower.encoder.hidden_size
        if size != width:
            raise RealmError(
                f"retriever.projection_start = 'identity' needs retriever.projection_size = {width}, the width of the "
                f'encoder; it is {size}.'
            )
        tower.projection.kernel.assign(np.eye(size, dtype=np.float32))
        tower.projection.bias.assign(np.zeros(size, np.float32))
        tower.projection_layer_norm.gamma.assign(np.full(size, np.sqrt(SCALE / size), np.float32))


def set_projection(tower: RetrieverTower, pooled: np.ndarray) -> float:
    """Sets a tower's projection and its LayerNorm from the principal components of pooled texts.

    Args:
      tower: the tower; its projection is replaced.
      pooled: pooled texts before the projection, no fewer than components, float32 `[texts, hidden_size]`.

    Returns:
      The share of the variance that the projection keeps, from 0 to 1.
    """
    size = tower.projection_size
    mean = pooled.mean(axis=0)
    _, singular_values, components = np.linalg.svd(pooled - mean, full_matrices=False)
    # [hidden_size, projection_size]
    kernel = components[:size].T
    # The LayerNorm after it subtracts the mean of each embedding: a random rotation spreads what the first components
    # hold over all of them, so that this costs next to nothing.
    rotation, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((size, size)))
    kernel = kernel @ rotation
    tower.projection.kernel.assign(kernel.astype(np.float32))
    tower.projection.bias.assign((-mean @ kernel).astype(np.float32))
    tower.projection_layer_norm.gamma.assign(np.full(size, np.sqrt(SCALE / size), np.float32))
    return float(np.sum(singular_values[:size] ** 2) / np.sum(singular_values**2))
