"""A sample of a corpus is a corpus."""

from benchmarks.corpus_sample import multiplied, write_sample
from realm_tf.corpus.block_store import BlockStore


def test_blocks_are_as_they_were_in_the_order_asked_for(tiny_corpus, tmp_path):
    corpus, ids = BlockStore.open(tiny_corpus), [3, 0, 3]
    write_sample(corpus, ids, tmp_path / 'sample')
    sample = BlockStore.open(tmp_path / 'sample')
    assert len(sample) == 3 and sample.vocabulary.digest == corpus.vocabulary.digest
    for column in ('document_ids', 'titles', 'texts'):
        assert getattr(sample, column)([0, 1, 2]) == getattr(corpus, column)(ids)
    for column in ('title_ids', 'body_ids', 'sentence_starts'):
        found, expected = getattr(sample, column)([0, 1, 2]).rows(), getattr(corpus, column)(ids).rows()
        assert [list(row) for row in found] == [list(row) for row in expected]


def test_a_corpus_is_taken_several_times(tiny_corpus, tmp_path):
    corpus = BlockStore.open(tiny_corpus)
    (tmp_path / 'repeated').mkdir()
    multiplied(tiny_corpus, tmp_path / 'repeated', 3 * len(corpus))
    repeated, rows = BlockStore.open(tmp_path / 'repeated'), list(range(len(corpus)))
    assert repeated.texts(list(range(len(repeated)))) == corpus.texts(rows) * 3
