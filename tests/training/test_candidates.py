"""Candidates on small corpora full of duplicates, against the rules spelled out one block at a time."""

import itertools
import tempfile

import numpy as np
import pytest
from etils import epath
from hypothesis import given, settings
from hypothesis import strategies as st

from realm_tf.artifacts import make_artifact
from realm_tf.corpus.arrow_shards import shard_name
from realm_tf.corpus.block_store import KIND, SHARDS, VOCABULARY, Block, BlockStore, write_blocks
from realm_tf.corpus.duplicates import hashes_of_blocks
from realm_tf.errors import RealmError
from realm_tf.search.exact import ExactSearcher
from realm_tf.search.index import searcher_class
from realm_tf.text.ragged import Ragged
from realm_tf.training.candidates import CandidateRules, _repeated

DIMENSION = 3

# Documents of a title and the bodies of their blocks, so few different ones that many are alike.
documents = st.lists(st.tuples(st.integers(0, 1), st.lists(st.integers(0, 5), min_size=1, max_size=6)), max_size=12)
corpora = st.lists(documents, min_size=1, max_size=3).filter(any)


def write_corpus(path, vocabulary, shards):
    """Writes documents `(title, bodies)` of each shard as a corpus."""
    with make_artifact(path, KIND, configuration={'block_length': 16}, inputs={}) as draft:
        vocabulary.write(draft.path / VOCABULARY)
        for number, of_shard in enumerate(shards):
            blocks = [
                Block(f'{number}-{document}', f'title {title}', f'body {body}', [500 + title], [600 + body] * 4, [0])
                for document, (title, bodies) in enumerate(of_shard)
                for body in bodies
            ]
            write_blocks(draft.path / shard_name(SHARDS, number, len(shards)), blocks)
    return BlockStore.open(path)


def contents_and_documents(shards):
    """The content and the document of each block."""
    contents = [(title, body) for of_shard in shards for title, bodies in of_shard for body in bodies]
    of_all = itertools.chain.from_iterable(shards)
    numbers = [number for number, (_, bodies) in enumerate(of_all) for _ in bodies]
    return contents, numbers


def allowed(ranking, source, contents, numbers, exclude_article):
    """The rules, one block at a time."""
    kept, seen = [], {contents[source]}
    for block in ranking:
        if contents[block] not in seen and not (exclude_article and numbers[block] == numbers[source]):
            kept.append(block)
            seen.add(contents[block])
    return kept


@given(shards=corpora, exclude_article=st.booleans(), k=st.integers(1, 8), margin=st.integers(0, 9), data=st.data())
@settings(max_examples=150)
def test_candidates_are_the_best_blocks_that_the_rules_allow(vocabulary, shards, exclude_article, k, margin, data):
    contents, numbers = contents_and_documents(shards)
    scores = st.lists(st.integers(-2, 2), min_size=DIMENSION, max_size=DIMENSION)
    vectors = np.array([data.draw(scores) for _ in contents], np.float32)
    sources = np.array(data.draw(st.lists(st.integers(0, len(contents) - 1), min_size=1, max_size=6)))
    queries = np.array([data.draw(scores) for _ in sources], np.float32)
    with tempfile.TemporaryDirectory() as directory:
        corpus = write_corpus(epath.Path(directory), vocabulary, shards)
        rules = CandidateRules(corpus, corpus, exclude_article=exclude_article)
        searcher = ExactSearcher.build([vectors])
        found = searcher.search_filtered(queries, k, rules.filter_of(sources), margin)
        rankings = np.argsort(-(queries @ vectors.T), axis=1, kind='stable')
        expected = [
            allowed(ranking.tolist(), source, contents, numbers, exclude_article)[:k]
            for ranking, source in zip(rankings, sources.tolist(), strict=True)
        ]
        assert [row[row >= 0].tolist() for row in found.block_ids] == expected

        fewest = min(
            len(allowed(range(len(contents)), source, contents, numbers, exclude_article))
            for source in range(len(contents))
        )
        if fewest >= k:
            rules.require(k)
            assert found.found.all()
        else:
            with pytest.raises(RealmError, match=f'there may be only {fewest}'):
                rules.require(k)
        # What the first blocks promise, all of them keep.
        assert all(rules._fewest_among(number) <= fewest for number in range(1, len(contents)))


@given(shards=corpora, k=st.integers(1, 8), data=st.data())
def test_sentences_of_another_corpus_find_their_duplicates_left_out_and_no_document(vocabulary, shards, k, data):
    contents, numbers = contents_and_documents(shards)
    others = data.draw(documents.filter(lambda others: others and [others] != shards))
    other_contents, _ = contents_and_documents([others])
    sources = np.arange(len(other_contents))
    with tempfile.TemporaryDirectory() as directory:
        knowledge = write_corpus(epath.Path(directory) / 'knowledge', vocabulary, shards)
        pretraining = write_corpus(epath.Path(directory) / 'pretraining', vocabulary, [others])
        rules = CandidateRules(knowledge, pretraining, exclude_article=True)
        searcher = ExactSearcher.build([np.ones((len(contents), DIMENSION), np.float32)])
        found = searcher.search_filtered(
            np.ones((len(sources), DIMENSION), np.float32), k, rules.filter_of(sources), margin=1
        )
    for row, source in zip(found.block_ids, sources, strict=True):
        # The source stands after the knowledge corpus, in a document of its own.
        with_source = [*contents, other_contents[source]], [*numbers, -1]
        expected = allowed(range(len(contents)), len(contents), *with_source, exclude_article=True)
        assert row[row >= 0].tolist() == expected[:k]


def test_scann_fills_all_candidates_where_most_of_the_best_are_left_out(tmp_path, vocabulary):
    # 2000 blocks of one document of copies, nearest to every query, and 20 others.
    shards = [[(0, [0] * 2000), *((1, [body]) for body in range(1, 21))]]
    corpus = write_corpus(tmp_path / 'corpus', vocabulary, shards)
    random = np.random.default_rng(0)
    vectors = random.standard_normal((len(corpus), 8), np.float32)
    vectors[:2000, 0] += 20
    queries = np.tile(np.eye(8, dtype=np.float32)[0], (3, 1)) + 0.1 * random.standard_normal((3, 8), np.float32)
    searcher = searcher_class('scann').build([vectors])
    assert not searcher.is_exact
    for exclude_article in (False, True):
        rules = CandidateRules(corpus, corpus, exclude_article=exclude_article)
        rules.require(7)
        found = searcher.search_filtered(queries, 7, rules.filter_of(np.array([0, 17, 2003])), margin=8)
        assert found.found.all()
        assert (found.block_ids[:2] >= 2000).all()
        # Not of the document: one of its copies is a candidate.
        assert (found.block_ids[2] < 2000).sum() == 1 and 2003 not in found.block_ids[2]


def test_the_documents_of_blocks(tmp_path, vocabulary):
    shards = [[(0, [0, 1]), (0, [0])], [], [(1, [2, 2, 2]), (1, [3])]]
    corpus = write_corpus(tmp_path / 'corpus', vocabulary, shards)
    numbers = corpus.document_numbers()
    assert numbers.dtype == np.int32
    assert numbers.tolist() == [0, 0, 1, 2, 2, 2, 3]


@given(st.lists(st.lists(st.integers(0, 3), min_size=5, max_size=5), min_size=1, max_size=4))
def test_values_that_were_there_before(rows):
    expected = [[value in row[:position] for position, value in enumerate(row)] for row in rows]
    assert _repeated(np.array(rows)).tolist() == expected


pieces = st.lists(st.integers(0, 2), max_size=3)


@given(st.lists(st.tuples(pieces, pieces), max_size=30))
def test_blocks_have_the_same_hash_if_and_only_if_they_are_alike(blocks):
    titles, bodies = ([block[part] for block in blocks] for part in (0, 1))
    hashes = hashes_of_blocks(Ragged.of(titles), Ragged.of(bodies))
    assert hashes.dtype == np.uint64 and hashes.shape == (len(blocks),)
    for one, hash_of_one in zip(blocks, hashes, strict=True):
        assert [other == one for other in blocks] == (hashes == hash_of_one).tolist()
