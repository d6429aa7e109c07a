"""The jobs with all of their files on an object store; a directory stands in for it."""

import bz2
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from realm_tf.artifacts import open_artifact
from realm_tf.corpus.block_store import BlockStore
from realm_tf.search.embeddings import Embeddings
from tests.conftest import DOCUMENTS

REPOSITORY = pathlib.Path(__file__).parents[2]


def run_on_store(store, module, *arguments):
    command = [sys.executable, 'tests/object_store.py', str(store), f'beam_jobs.{module}', *map(str, arguments)]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


@pytest.fixture(scope='module')
def bucket(tmp_path_factory, vocabulary_path) -> pathlib.Path:
    """A bucket with documents and a vocabulary."""
    bucket = tmp_path_factory.mktemp('store') / 'bucket'
    bucket.mkdir()
    lines = ''.join(json.dumps(document, ensure_ascii=False) + '\n' for document in DOCUMENTS)
    (bucket / 'documents.jsonl.bz2').write_bytes(bz2.compress(lines.encode()))
    (bucket / 'vocab.txt').write_bytes(vocabulary_path.read_bytes())
    return bucket


def test_the_artefacts_are_those_made_on_a_disk(bucket, tiny_corpus, tiny_spans, tiny_encoder, tiny_embeddings):
    settings = ('--preset', 'tiny', '--set', 'encoder.dropout=0.0', '--set', 'corpus.block_length=48')
    texts = ('--input', 'gs://bucket/documents*.bz2', '--vocabulary', 'gs://bucket/vocab.txt')
    corpus = ('--corpus', 'gs://bucket/corpus')
    run_on_store(bucket.parent, 'build_corpus', *texts, '--output', 'gs://bucket/corpus', *settings)
    run_on_store(bucket.parent, 'tag_spans', *corpus, '--output', 'gs://bucket/spans', *settings)
    # TensorFlow loads a SavedModel by its own means.
    of_embeddings = ('--encoder', tiny_encoder, '--output', 'gs://bucket/embeddings')
    run_on_store(bucket.parent, 'embed_blocks', *corpus, *of_embeddings, *settings)
    made, expected = (BlockStore.open(path) for path in (bucket / 'corpus', tiny_corpus))
    ids = np.arange(len(expected))
    assert made.texts(ids) == expected.texts(ids)
    assert np.array_equal(made.body_ids(ids).values, expected.body_ids(ids).values)
    assert open_artifact(bucket / 'spans').counts == open_artifact(tiny_spans).counts
    embeddings = Embeddings.open(bucket / 'embeddings').as_array()
    np.testing.assert_allclose(embeddings, Embeddings.open(tiny_embeddings).as_array(), atol=1e-6)
