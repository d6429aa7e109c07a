"""Embeddings of an earlier corpus, by the content of their blocks."""

import numpy as np
import pytest

from realm_tf.artifacts import make_artifact, open_artifact
from realm_tf.embedding.reuse import ReusableEmbeddings, require_reusable
from realm_tf.errors import RealmError
from realm_tf.search.embeddings import contents_name, shard_name

CONTENTS = np.array([7, 2**63, 5, 11, 5], np.uint64)
ROWS = np.arange(10, dtype=np.float32).reshape(5, 2)


def write_embeddings(path, encoder, has_contents=True):
    with make_artifact(path, 'embeddings', configuration={}, inputs={'encoder': encoder.digest}) as draft:
        for shard, rows in enumerate((slice(0, 2), slice(2, 5))):
            np.save(draft.path / shard_name(shard, 2), ROWS[rows])
            if has_contents:
                np.save(draft.path / contents_name(shard, 2), CONTENTS[rows])
        draft.counts['blocks'] = len(ROWS)
    return open_artifact(path)


@pytest.fixture
def encoders(tmp_path):
    for number in range(2):
        with make_artifact(tmp_path / f'encoder-{number}', 'encoder', configuration={'number': number}, inputs={}):
            pass
    return [open_artifact(tmp_path / f'encoder-{number}') for number in range(2)]


def test_rows_are_found_wherever_they_stand(encoders, tmp_path):
    reusable = ReusableEmbeddings(write_embeddings(tmp_path / 'old', encoders[0]))
    embeddings = np.full((5, 2), -1.0, np.float32)
    # Two that are not there lie before all and behind all.
    is_old = reusable.copy_into(embeddings, np.array([5, 2**64 - 1, 2**63, 0, 11], np.uint64))
    np.testing.assert_array_equal(is_old, [True, False, True, False, True])
    np.testing.assert_array_equal(embeddings, [ROWS[2], [-1, -1], ROWS[1], [-1, -1], ROWS[3]])


def test_a_shard_is_read_only_where_a_row_of_it_is_wanted(encoders, tmp_path):
    old = write_embeddings(tmp_path / 'old', encoders[0])
    (tmp_path / 'old' / shard_name(0, 2)).unlink()
    embeddings = np.empty((2, 2), np.float32)
    reusable = ReusableEmbeddings(old)
    assert reusable.copy_into(embeddings, CONTENTS[3:]).all()
    np.testing.assert_array_equal(embeddings, ROWS[[3, 2]])
    with pytest.raises(FileNotFoundError):
        reusable.copy_into(embeddings, CONTENTS[:2])


def test_those_of_another_encoder_are_refused(encoders, tmp_path):
    embeddings = write_embeddings(tmp_path / 'old', encoders[0])
    require_reusable(embeddings, encoders[0])
    with pytest.raises(RealmError, match='was not made from the encoder'):
        require_reusable(embeddings, encoders[1])


def test_those_without_contents_are_refused(encoders, tmp_path):
    with pytest.raises(RealmError, match='does not say which contents'):
        require_reusable(write_embeddings(tmp_path / 'old', encoders[0], has_contents=False), encoders[0])
