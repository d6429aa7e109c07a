import hypothesis
import numpy as np
from hypothesis import strategies

from realm_tf.embedding.block_embedder import LENGTH_STEP, batches_by_length


@hypothesis.given(
    lengths=strategies.lists(strategies.integers(1, 300), max_size=60), tokens_per_batch=strategies.integers(1, 2000)
)
def test_batches_hold_every_row_once_and_are_bounded(lengths, tokens_per_batch):
    lengths = np.array(lengths, np.int64)
    batches = list(batches_by_length(lengths, tokens_per_batch))
    rows = np.concatenate([rows for rows, _ in batches]) if batches else np.zeros(0)
    assert sorted(rows) == list(range(len(lengths)))
    for rows, length in batches:
        assert length % LENGTH_STEP == 0
        assert ((lengths[rows] <= length) & (lengths[rows] > length - LENGTH_STEP)).all()
        assert len(rows) == 1 or len(rows) * length <= tokens_per_batch
