"""The inputs of pre-training."""

import numpy as np
import tensorflow as tf

from beam_jobs import build_corpus
from beam_jobs.options import parse
from realm_tf.config import load_config
from realm_tf.corpus.block_store import BlockStore
from realm_tf.text.ragged import Ragged
from realm_tf.training.masking import MaskedQueries
from realm_tf.training.pretraining_batch import _pack_candidates

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
