"""The inputs of pre-training."""

import dataclasses
import tempfile

import numpy as np
import pytest
import tensorflow as tf
from etils import epath
from hypothesis import given
from hypothesis import strategies as st

from beam_jobs import build_corpus
from beam_jobs.options import parse
from realm_tf.artifacts import make_artifact, open_artifact
from realm_tf.config import load_config
from realm_tf.corpus.block_store import Block, BlockStore, write_blocks
from realm_tf.corpus.span_store import SpanStore
from realm_tf.errors import RealmError
from realm_tf.search.index import build_index
from realm_tf.text.packing import pack_documents, title_limit
from realm_tf.text.ragged import Ragged
from realm_tf.text.vocabulary import Vocabulary
from realm_tf.training.current_index import CurrentIndex
from realm_tf.training.generations import Generation
from realm_tf.training.masking import MaskedQueries
from realm_tf.training.pretraining_batch import NULL_DOCUMENT, PretrainingBatches, _pack_candidates
from realm_tf.training.sampling import rows_of_step
from realm_tf.weights.encoder_artifact import Encoder
from tests.embedded import write_embeddings

QUERY_LENGTH = 12
BLOCK_LENGTH = 20


def test_the_joint_input_has_room_for_each_part_and_no_title(tmp_path, vocabulary_path):
    # Blocks of the authors are left as they are, however long.
    for name, record in (('blocks', b'one two three four five six seven eight nine ten ' * 4), ('titles', b'Uruguay')):
        with tf.io.TFRecordWriter(str(tmp_path / f'{name}.tfr')) as writer:
            writer.write(record)
    arguments = ['--input', str(tmp_path / 'blocks.tfr'), '--vocabulary', str(vocabulary_path)]
    arguments += ['--output', str(tmp_path / 'corpus')]
    config = load_config('tiny', overrides={'corpus.block_length': BLOCK_LENGTH})
    build_corpus.run(parse(arguments, build_corpus.__name__, build_corpus.BuildCorpusOptions), config)
    corpus = BlockStore.open(tmp_path / 'corpus')
    body, title = corpus.body_ids(np.array([0])).row(0), corpus.title_ids(np.array([0])).row(0)
    assert len(body) == 40

    vocabulary = corpus.vocabulary
    short, long = [vocabulary.mask_id], [vocabulary.mask_id] * 30
    none = np.zeros((2, 1), np.int32)
    masked = MaskedQueries(Ragged.of([short, long]), none, none, none)
    # The null document, and the block, for each sentence.
    packed = _pack_candidates(corpus, masked, np.zeros((2, 1), np.int64), QUERY_LENGTH)
    cls, sep = vocabulary.cls_id, vocabulary.sep_id
    rows = [
        [cls, *sentence, sep, *candidate, sep]
        for sentence in (short, long[: QUERY_LENGTH - 2])
        for candidate in ([], body[: BLOCK_LENGTH - 2])
    ]
    expected = Ragged.of(rows).padded(QUERY_LENGTH + BLOCK_LENGTH)
    np.testing.assert_array_equal(packed['joint_ids'], expected)
    room = BLOCK_LENGTH - 3 - len(title)
    documents = Ragged.of([[cls, sep, sep], [cls, *title, sep, *body[:room], sep]]).padded(BLOCK_LENGTH)
    np.testing.assert_array_equal(packed['document_ids'], np.tile(documents, (2, 1)))


def batches_of(corpus_path, spans_path, config):
    corpus = BlockStore.open(corpus_path)
    return PretrainingBatches(corpus, corpus, SpanStore.open(spans_path, corpus), config)


def current_index(run, encoder_path, embeddings_path, index_path, config):
    encoder = Encoder.open(encoder_path)
    first = Generation(0, encoder.artifact.path, epath.Path(embeddings_path), epath.Path(index_path))
    return CurrentIndex(run, encoder.retriever(config), first)


def other_index(directory, corpus_path, encoder_path, config, num_blocks=None):
    """Embeddings at random, of the first blocks, and an index over them."""
    num_blocks = num_blocks or open_artifact(corpus_path, 'corpus').counts['blocks']
    vectors = np.random.default_rng(1).standard_normal((num_blocks, config.retriever.projection_size), np.float32)
    write_embeddings(directory / 'embeddings', corpus_path, encoder_path, vectors)
    build_index(directory / 'embeddings', directory / 'index', config.index)
    return directory / 'embeddings', directory / 'index'


def same(one, other):
    return all(np.array_equal(one[name], other[name]) for name in one)


def test_a_batch_is_a_function_of_seed_step_and_generation(
    tmp_path, tiny_corpus, tiny_spans, tiny_encoder, tiny_embeddings, tiny_index, tiny_config
):
    def batch(step, config=tiny_config, generation=(tiny_embeddings, tiny_index), made_before=()):
        batches = batches_of(tiny_corpus, tiny_spans, config)
        index = current_index(tmp_path, tiny_encoder, *generation, config)
        for before in made_before:
            batches.of_step(before, index)
        return batches.of_step(step, index)

    of_step = batch(7, made_before=range(7))
    assert same(of_step, batch(7)) and same(of_step, batch(7, made_before=[30, 2]))
    assert not same(of_step, batch(8))
    # A second epoch takes the blocks in another order.
    seeded = batch(7, dataclasses.replace(tiny_config, seed=1))
    assert not np.array_equal(of_step['query_ids'], seeded['query_ids'])
    generation = other_index(tmp_path, tiny_corpus, tiny_encoder, tiny_config)
    refreshed = batch(7, generation=generation)
    of_the_index = {'candidate_ids', 'document_ids', 'document_segments', 'joint_ids', 'joint_segments'}
    for name in of_step:
        assert np.array_equal(of_step[name], refreshed[name]) == (name not in of_the_index)


@pytest.mark.parametrize('exclude_article', [False, True])
def test_devices_see_whole_numbers_of_fixed_shapes_and_the_null_document_first(
    tmp_path, tiny_corpus, tiny_spans, tiny_encoder, tiny_embeddings, tiny_index, tiny_config, exclude_article
):
    settings = dataclasses.replace(tiny_config.pretrain, exclude_article=exclude_article, num_candidates=6)
    config = dataclasses.replace(tiny_config, pretrain=settings)
    corpus = BlockStore.open(tiny_corpus)
    batches = batches_of(tiny_corpus, tiny_spans, config)
    index = current_index(tmp_path, tiny_encoder, tiny_embeddings, tiny_index, config)
    vocabulary = corpus.vocabulary
    everything = np.arange(len(corpus))
    blocks = pack_documents(
        corpus.title_ids(everything), corpus.body_ids(everything), corpus.block_length, vocabulary
    ).token_ids
    documents_of = corpus.document_numbers()
    spanned = np.flatnonzero(SpanStore.open(tiny_spans, corpus).counts())
    num_rows = settings.batch_size * settings.num_candidates
    joint_length = settings.query_length + corpus.block_length
    shapes = {
        'query_ids': (settings.batch_size, settings.query_length),
        'candidate_ids': (num_rows,),
        **dict.fromkeys(('mask_positions', 'gold_ids', 'mask_weights'), (settings.batch_size, settings.max_masks)),
        **dict.fromkeys(('document_ids', 'document_segments'), (num_rows, corpus.block_length)),
        **dict.fromkeys(('joint_ids', 'joint_segments'), (num_rows, joint_length)),
    }
    null = [vocabulary.cls_id, vocabulary.sep_id, vocabulary.sep_id] + [0] * (corpus.block_length - 3)
    for step in range(12):
        batch = batches.of_step(step, index)
        assert {name: array.shape for name, array in batch.items()} == shapes
        assert {array.dtype for array in batch.values()} == {np.dtype(np.int32)}
        assert set(np.unique(batch['mask_weights'])) <= {0, 1}
        weights = batch['mask_weights'] > 0
        assert weights.any(axis=1).all()
        masked = np.take_along_axis(batch['query_ids'], batch['mask_positions'], axis=1)
        assert (masked[weights] == vocabulary.mask_id).all() and (batch['mask_positions'][~weights] == 0).all()
        documents = batch['document_ids'].reshape(settings.batch_size, settings.num_candidates, -1)
        joint = batch['joint_ids'].reshape(settings.batch_size, settings.num_candidates, -1)
        sources = spanned[rows_of_step(len(spanned), settings.batch_size, step, config.seed)]
        told = batch['candidate_ids'].reshape(settings.batch_size, settings.num_candidates)
        for query, source, candidates, read, told_ids in zip(
            batch['query_ids'], sources, documents, joint, told, strict=True
        ):
            assert candidates[0].tolist() == null and told_ids[0] == NULL_DOCUMENT
            # [num_candidates - 1]: the towns have no duplicates
            ids = np.array([int(np.flatnonzero((blocks == row).all(axis=1)).item()) for row in candidates[1:]])
            assert len(np.unique(ids)) == len(ids) and source not in ids
            assert told_ids[1:].tolist() == ids.tolist()
            assert not exclude_article or not (documents_of[ids] == documents_of[source]).any()
            # Every candidate is read after the sentence.
            sentence = query[: np.flatnonzero(query)[-1] + 1].tolist()
            for row, body in zip(read, [[], *(body.tolist() for body in corpus.body_ids(ids).rows())], strict=True):
                expected = sentence + body + [vocabulary.sep_id]
                assert row.tolist() == expected + [0] * (joint_length - len(expected))


lengths = st.lists(st.tuples(st.integers(1, 80), st.integers(0, 40)), min_size=1, max_size=4)


@given(lengths, st.lists(st.integers(1, 30), min_size=1, max_size=3), st.data())
def test_every_part_of_the_inputs_is_cut_to_its_room(vocabulary, lengths, sentence_lengths, data):
    title, body, word = 500, 600, 700
    blocks = [Block('', '', '', [title] * of_title, [body] * of_body, [0]) for of_title, of_body in lengths]
    masked = Ragged.of([[word] * length for length in sentence_lengths])
    none = np.zeros((len(sentence_lengths), 1), np.int32)
    candidates = st.lists(st.integers(0, len(blocks) - 1), min_size=2, max_size=2)
    retrieved = np.array([data.draw(candidates) for _ in sentence_lengths])
    with tempfile.TemporaryDirectory() as directory:
        configuration = {'block_length': BLOCK_LENGTH}
        with make_artifact(epath.Path(directory), 'corpus', configuration=configuration, inputs={}) as draft:
            vocabulary.write(draft.path / 'vocab.txt')
            write_blocks(draft.path / 'blocks-00000-of-00001.arrow', blocks)
        corpus = BlockStore.open(directory)
        packed = _pack_candidates(corpus, MaskedQueries(masked, none, none, none), retrieved, QUERY_LENGTH)
    numbers_of_pieces = {
        name: np.stack([(packed[name] == piece).sum(axis=1) for piece in (word, title, body, vocabulary.sep_id)])
        for name in ('document_ids', 'joint_ids')
    }
    for row, block in enumerate(np.pad(retrieved, ((0, 0), (1, 0)), constant_values=-1).reshape(-1)):
        of_title, of_body = (0, 0) if block < 0 else lengths[block]
        of_title = min(of_title, title_limit(BLOCK_LENGTH))
        in_document = [0, of_title, min(of_body, BLOCK_LENGTH - 3 - of_title), 2]
        of_sentence = min(sentence_lengths[row // 3], QUERY_LENGTH - 2)
        in_joint = [of_sentence, 0, min(of_body, BLOCK_LENGTH - 2), 2]
        assert numbers_of_pieces['document_ids'][:, row].tolist() == in_document
        assert numbers_of_pieces['joint_ids'][:, row].tolist() == in_joint
        assert packed['document_segments'][row].sum() == in_document[2] + 1
        assert packed['joint_segments'][row].sum() == in_joint[2] + 1


def test_what_does_not_fit_is_a_sentence(
    tmp_path, tiny_corpus, tiny_spans, tiny_encoder, tiny_config, tiny_embeddings, tiny_index
):
    settings = dataclasses.replace(tiny_config.pretrain, num_candidates=1000)
    with pytest.raises(RealmError, match=r'too few different blocks for pretrain\.num_candidates = 1000'):
        batches_of(tiny_corpus, tiny_spans, dataclasses.replace(tiny_config, pretrain=settings))
    settings = dataclasses.replace(tiny_config.pretrain, batch_size=1000)
    with pytest.raises(RealmError, match='fewer than a batch'):
        batches_of(tiny_corpus, tiny_spans, dataclasses.replace(tiny_config, pretrain=settings))
    # An index of two blocks alone.
    generation = other_index(tmp_path, tiny_corpus, tiny_encoder, tiny_config, num_blocks=2)
    index = current_index(tmp_path, tiny_encoder, *generation, tiny_config)
    with pytest.raises(RealmError, match='The index finds fewer than 3 candidates'):
        batches_of(tiny_corpus, tiny_spans, tiny_config).of_step(0, index)

    corpus = BlockStore.open(tiny_corpus)
    other = Vocabulary((*corpus.vocabulary.pieces, 'one more'))
    with make_artifact(tmp_path / 'other', 'corpus', configuration={'block_length': 48}, inputs={}) as draft:
        other.write(draft.path / 'vocab.txt')
        write_blocks(draft.path / 'blocks-00000-of-00001.arrow', [])
    with pytest.raises(RealmError, match='different vocabularies'):
        PretrainingBatches(BlockStore.open(tmp_path / 'other'), corpus, SpanStore.open(tiny_spans, corpus), tiny_config)
