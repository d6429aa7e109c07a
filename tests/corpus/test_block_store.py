"""What is said of all blocks at once is what is said of each."""

import numpy as np

from realm_tf.corpus.block_store import BlockStore


def test_sentences_are_counted_without_being_read(tiny_corpus):
    corpus = BlockStore.open(tiny_corpus)
    counts = corpus.sentence_counts()
    assert counts.tolist() == corpus.sentence_starts(np.arange(len(corpus))).lengths.tolist()
    assert counts.min() >= 1 and counts.max() >= 2
