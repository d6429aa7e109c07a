import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import hypothesis
import numpy as np
import psutil
import pytest
from hypothesis import strategies

from beam_jobs.embed_blocks import LENGTH_STEP, batches_by_length
from realm_tf.artifacts import make_artifact, open_artifact
from realm_tf.config import config_to_dict, load_config
from realm_tf.corpus.arrow_shards import shard_name as corpus_shard_name
from realm_tf.corpus.block_store import SHARDS, VOCABULARY, Block, BlockStore, write_blocks
from realm_tf.search.embeddings import Embeddings, shard_name
from realm_tf.text.packing import pack_documents
from realm_tf.text.vocabulary import Vocabulary

REPOSITORY = pathlib.Path(__file__).parents[2]
VOCABULARY_OF_ALL = Vocabulary(('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *(f'piece{id}' for id in range(60))))
BLOCK_LENGTH = 100
NUM_BLOCKS, NUM_SHARDS = 90, 3


@pytest.fixture(scope='module')
def corpus(tmp_path_factory):
    """Blocks of very different lengths; some titles and bodies are too long."""
    random = np.random.default_rng(0)

    def wordpieces(longest):
        return random.integers(5, len(VOCABULARY_OF_ALL.pieces), random.integers(1, longest))

    blocks = [Block(f'd{id}', 't', 'x', wordpieces(80), wordpieces(110), [0]) for id in range(NUM_BLOCKS)]
    path = tmp_path_factory.mktemp('corpus') / 'corpus'
    with make_artifact(path, 'corpus', configuration={'block_length': BLOCK_LENGTH}, inputs={}) as draft:
        VOCABULARY_OF_ALL.write(draft.path / VOCABULARY)
        for shard, ids in enumerate(np.array_split(np.arange(NUM_BLOCKS), NUM_SHARDS)):
            write_blocks(draft.path / corpus_shard_name(SHARDS, shard, NUM_SHARDS), [blocks[id] for id in ids])
    return path


def make_encoder(path, vocabulary):
    """A network small enough to be made here: a bag of wordpieces, whose order and segments count, and a projection."""
    import tensorflow as tf

    class Bag(tf.Module):
        def __init__(self):
            random = tf.random.Generator.from_seed(3)
            self.wordpieces = tf.Variable(random.normal([len(vocabulary.pieces), 24]))
            self.segments = tf.Variable(random.normal([2, 24]))
            self.projection = tf.Variable(random.normal([24, 16]))

        @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)] * 2)
        def embed_document(self, token_ids, segment_ids):
            # [batch, length, 1]
            weights = tf.cast(token_ids > 0, tf.float32)[..., None]
            weights /= tf.range(1.0, tf.cast(tf.shape(token_ids)[1], tf.float32) + 1.0)[:, None]
            hidden = tf.gather(self.wordpieces, token_ids) + tf.gather(self.segments, segment_ids)
            return {'embedding': tf.tanh(tf.reduce_sum(hidden * weights, axis=1)) @ self.projection}

    bag = Bag()
    with make_artifact(path, 'encoder', configuration={}, inputs={}) as draft:
        vocabulary.write(draft.path / VOCABULARY)
        tf.saved_model.save(bag, str(draft.path / 'saved_model'), signatures={'embed_document': bag.embed_document})
    return path


@pytest.fixture(scope='module')
def encoder(tmp_path_factory):
    return make_encoder(tmp_path_factory.mktemp('encoder') / 'encoder', VOCABULARY_OF_ALL)


def command(corpus, encoder, output, *more):
    paths = ('--corpus', corpus, '--encoder', encoder, '--output', output)
    # Small batches, so that there are several of a length.
    settings = ('--preset', 'tiny', '--set', 'embed.tokens_per_batch=600')
    return [sys.executable, '-m', 'beam_jobs.embed_blocks', *map(str, paths), *settings, *more]


def embed(*arguments, environment=None):
    return subprocess.run(
        command(*arguments),
        cwd=REPOSITORY,
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope='module')
def embedded(corpus, encoder, tmp_path_factory):
    """The embeddings that one process makes, and what it said."""
    path = tmp_path_factory.mktemp('embeddings') / 'embeddings'
    ended = embed(corpus, encoder, path)
    assert ended.returncode == 0, ended.stderr
    return path, ended.stdout


def embedded_directly(corpus, encoder):
    """Every block on its own, without padding."""
    import tensorflow as tf

    model = tf.saved_model.load(str(encoder / 'saved_model')).signatures['embed_document']
    store = BlockStore.open(corpus)
    rows = []
    for id, length in enumerate(store.lengths()):
        block = np.array([id])
        packed = pack_documents(store.title_ids(block), store.body_ids(block), int(length), store.vocabulary)
        rows.append(model(token_ids=packed.token_ids, segment_ids=packed.segment_ids)['embedding'].numpy()[0])
    return np.stack(rows)


def test_equals_embedding_each_block_alone(corpus, encoder, embedded):
    embeddings = Embeddings.open(embedded[0])
    expected = embedded_directly(corpus, encoder)
    assert embeddings.as_array().dtype == np.float32
    np.testing.assert_allclose(embeddings.as_array(), expected, atol=1e-5)
    # Rows differ enough for another order to fail.
    assert np.abs(expected - np.roll(expected, 1, axis=0)).max(axis=1).min() > 0.1


def test_publishes_its_lineage(corpus, encoder, embedded):
    artifact = open_artifact(embedded[0], 'embeddings').verify()
    artifact.require_input('corpus', open_artifact(corpus)).require_input('encoder', open_artifact(encoder))
    assert artifact.counts['blocks'] == NUM_BLOCKS
    assert sorted(artifact.files) == [shard_name(shard, NUM_SHARDS) for shard in range(NUM_SHARDS)]
    assert [len(shard) for shard in Embeddings.open(embedded[0]).shards] == [30, 30, 30]


def test_counts_blocks_tokens_and_padding(corpus, embedded):
    blocks, tokens, padding = map(
        int,
        re.search(
            r'Embedded (\d+) blocks: ([\d,]+) tokens and (\d+) of padding', embedded[1].replace(',', '')
        ).groups(),
    )
    lengths = BlockStore.open(corpus).lengths()
    padded = np.minimum(-(-lengths // LENGTH_STEP) * LENGTH_STEP, BLOCK_LENGTH)
    assert (blocks, tokens, padding) == (NUM_BLOCKS, lengths.sum(), (padded - lengths).sum())


def test_two_processes_write_the_same_bytes(corpus, encoder, embedded, tmp_path):
    ended = embed(corpus, encoder, tmp_path / 'embeddings', '--num_workers', '2')
    assert ended.returncode == 0, ended.stderr
    for name in ('manifest.json', *(shard_name(shard, NUM_SHARDS) for shard in range(NUM_SHARDS))):
        assert (tmp_path / 'embeddings' / name).read_bytes() == (embedded[0] / name).read_bytes()


def test_an_interrupted_run_goes_on_from_finished_shards(corpus, encoder, embedded, tmp_path):
    config = load_config('tiny', overrides={'embed.tokens_per_batch': 600})
    inputs = {'corpus': open_artifact(corpus).digest, 'encoder': open_artifact(encoder).digest}
    output = tmp_path / 'embeddings'
    marked = np.full((30, 16), 7.0, np.float32)
    with (
        pytest.raises(KeyboardInterrupt),
        make_artifact(output, 'embeddings', configuration=config_to_dict(config.embed), inputs=inputs) as draft,
    ):
        np.save(draft.path / shard_name(1, NUM_SHARDS), marked)
        raise KeyboardInterrupt
    ended = embed(corpus, encoder, output)
    assert ended.returncode == 0, ended.stderr
    assert 'Embedded 60 blocks' in ended.stdout
    whole = Embeddings.open(embedded[0]).shards
    for shard, expected in zip(Embeddings.open(output).shards, [whole[0], marked, whole[2]], strict=True):
        np.testing.assert_array_equal(shard, expected)


def test_what_is_up_to_date_is_said_without_tensorflow(corpus, encoder, embedded, tmp_path):
    (tmp_path / 'tensorflow.py').write_text('raise AssertionError("TensorFlow was imported")')
    environment = {'PYTHONPATH': os.pathsep.join([str(tmp_path), os.environ.get('PYTHONPATH', '')])}
    ended = embed(corpus, encoder, embedded[0], environment=environment)
    assert (ended.returncode, ended.stdout) == (0, f'{embedded[0]} is up to date.\n'), ended.stderr


def test_another_vocabulary_is_refused(corpus, tmp_path):
    vocabulary = Vocabulary((*VOCABULARY_OF_ALL.pieces[:-1], 'other'))
    encoder = make_encoder(tmp_path / 'encoder', vocabulary)
    ended = embed(corpus, encoder, tmp_path / 'embeddings')
    assert ended.returncode == 2
    assert 'has another vocabulary' in ended.stderr and vocabulary.digest[:12] in ended.stderr
    assert not (tmp_path / 'embeddings').exists()


def test_an_interrupt_leaves_no_process_behind(corpus, encoder, tmp_path):
    job = subprocess.Popen(
        command(corpus, encoder, tmp_path / 'embeddings', '--num_workers', '2'),
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        workers = wait_for_workers(job.pid, 2)
        job.send_signal(signal.SIGINT)
        assert job.wait(timeout=30) == 130
        _, alive = psutil.wait_procs(workers, timeout=3)
        # Where nothing reaps orphans, a process that has ended stays as a zombie.
        assert all(worker.status() == psutil.STATUS_ZOMBIE for worker in alive)
    finally:
        job.kill()
    recipe = json.loads((tmp_path / 'embeddings' / 'recipe.json').read_text())
    assert recipe['kind'] == 'embeddings' and not (tmp_path / 'embeddings' / 'manifest.json').exists()


def wait_for_workers(pid, number):
    """Waits until there are workers, and returns them."""
    for _ in range(600):
        workers = psutil.Process(pid).children(recursive=True)
        if len(workers) >= number:
            return workers
        time.sleep(0.05)
    raise AssertionError('The workers did not start.')


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
