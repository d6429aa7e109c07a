import itertools
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
from etils import epath
from hypothesis import strategies

from beam_jobs.embedding_reports import Reporter
from beam_jobs.embedding_shards import shards_of
from realm_tf.artifacts import make_artifact, open_artifact
from realm_tf.config import config_to_dict, load_config
from realm_tf.corpus.arrow_shards import shard_name as corpus_shard_name
from realm_tf.corpus.block_store import SHARDS, VOCABULARY, Block, BlockStore, write_blocks
from realm_tf.embedding.block_embedder import LENGTH_STEP
from realm_tf.search.embeddings import Embeddings, contents_files, contents_name, shard_name
from realm_tf.text.packing import pack_documents
from realm_tf.text.vocabulary import Vocabulary
from tests.beam_jobs.ended import assert_ended

REPOSITORY = pathlib.Path(__file__).parents[2]
VOCABULARY_OF_ALL = Vocabulary(('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *(f'piece{id}' for id in range(60))))
BLOCK_LENGTH = 100
NUM_BLOCKS, NUM_SHARDS = 90, 6
NUM_CORPUS_SHARDS = 3
BLOCKS_PER_SHARD = 16
# Small batches, so that there are several of a length.
SETTINGS = {'embed.tokens_per_batch': 600, 'embed.blocks_per_shard': BLOCKS_PER_SHARD}


def make_corpus(path, blocks):
    with make_artifact(path, 'corpus', configuration={'block_length': BLOCK_LENGTH}, inputs={}) as draft:
        VOCABULARY_OF_ALL.write(draft.path / VOCABULARY)
        for shard, ids in enumerate(np.array_split(np.arange(len(blocks)), NUM_CORPUS_SHARDS)):
            write_blocks(draft.path / corpus_shard_name(SHARDS, shard, NUM_CORPUS_SHARDS), [blocks[id] for id in ids])
    return path


@pytest.fixture(scope='module')
def blocks():
    """Blocks of very different lengths; some titles and bodies are too long."""
    random = np.random.default_rng(0)

    def wordpieces(longest):
        return random.integers(5, len(VOCABULARY_OF_ALL.pieces), random.integers(1, longest))

    return [Block(f'd{id}', 't', 'x', wordpieces(80), wordpieces(110), [0]) for id in range(NUM_BLOCKS)]


@pytest.fixture(scope='module')
def corpus(blocks, tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp('corpus') / 'corpus', blocks)


def make_encoder(path, vocabulary, trouble=None):
    """A network small enough to be made here: a bag of wordpieces, whose order and segments count, and a projection.

    Args:
      path: of the encoder artefact.
      vocabulary: its wordpieces.
      trouble: a directory. While it holds a file `wait`, the network does not go on; while it holds `fail`, it fails
        over batches of several rows; while it holds `memory`, it asks for more memory than there can be over those of
        more than three.
    """
    import tensorflow as tf

    # A variable, as what depends on constants alone is computed once.
    directory = tf.Variable(str(trouble or ''))

    def is_there(name):
        return tf.size(tf.io.matching_files(directory + f'/{name}')) > 0

    def get_into_trouble(batch_size):
        waiting = tf.while_loop(lambda _: is_there('wait'), lambda count: count + 1, [0])
        checks = [tf.debugging.assert_equal(is_there('fail') & (batch_size > 1), False, 'It is said to fail.')]
        with tf.control_dependencies([*waiting, *checks]):
            is_too_large = is_there('memory') & (batch_size > 3)
            size = tf.where(is_too_large, tf.constant(2**45, tf.int64), tf.constant(1, tf.int64))
            # Numbers that are not random would not be made at all.
            return tf.random.uniform([size])

    class Bag(tf.Module):
        def __init__(self):
            random = tf.random.Generator.from_seed(3)
            self.wordpieces = tf.Variable(random.normal([len(vocabulary.pieces), 24]))
            self.segments = tf.Variable(random.normal([2, 24]))
            self.directory = directory
            self.projection = tf.Variable(random.normal([24, 16]))

        @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)] * 2)
        def embed_document(self, token_ids, segment_ids):
            # [batch, length, 1]
            weights = tf.cast(token_ids > 0, tf.float32)[..., None]
            weights /= tf.range(1.0, tf.cast(tf.shape(token_ids)[1], tf.float32) + 1.0)[:, None]
            hidden = tf.gather(self.wordpieces, token_ids) + tf.gather(self.segments, segment_ids)
            with tf.control_dependencies([get_into_trouble(tf.shape(token_ids)[0])] if trouble else []):
                hidden = tf.identity(hidden)
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
    settings = ('--preset', 'tiny', *(f'--set={name}={value}' for name, value in SETTINGS.items()))
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
        packed = pack_documents(store.title_ids(block), store.body_ids(block), store.block_length, store.vocabulary)
        inputs = {'token_ids': packed.token_ids[:, :length], 'segment_ids': packed.segment_ids[:, :length]}
        rows.append(model(**inputs)['embedding'].numpy()[0])
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
    assert set(artifact.files) == set(files_of_embeddings())
    assert [len(shard) for shard in Embeddings.open(embedded[0]).shards] == [15] * NUM_SHARDS


def files_of_embeddings():
    return [name(shard, NUM_SHARDS) for shard in range(NUM_SHARDS) for name in (shard_name, contents_name)]


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


def assert_same_bytes(path, expected):
    for name in ('manifest.json', *files_of_embeddings()):
        assert (path / name).read_bytes() == (expected / name).read_bytes()


def test_two_processes_write_the_same_bytes(corpus, encoder, embedded, tmp_path):
    ended = embed(corpus, encoder, tmp_path / 'embeddings', '--num_workers', '2')
    assert ended.returncode == 0, ended.stderr
    assert_same_bytes(tmp_path / 'embeddings', embedded[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    'workers',
    [
        ('--num_workers', '16'),
        ('--runner=FnApiRunner', '--direct_running_mode=multi_processing', '--direct_num_workers=16'),
    ],
    ids=['num_workers', 'options of Beam'],
)
def test_sixteen_processes_write_the_same_bytes(workers, corpus, encoder, embedded, tmp_path):
    ended = embed(corpus, encoder, tmp_path / 'embeddings', *workers)
    assert ended.returncode == 0, ended.stderr
    assert f'Embedded {NUM_BLOCKS} blocks' in ended.stdout
    assert_same_bytes(tmp_path / 'embeddings', embedded[0])


def test_a_run_goes_on_from_what_is_whole(corpus, encoder, embedded, tmp_path):
    """Of a run that was interrupted, what is torn, was altered, or has no report is made again."""
    output = tmp_path / 'embeddings'
    config = load_config('tiny', overrides=SETTINGS)
    inputs = {'corpus': open_artifact(corpus).digest, 'encoder': open_artifact(encoder).digest}
    with (
        pytest.raises(KeyboardInterrupt),
        make_artifact(output, 'embeddings', configuration=config_to_dict(config.embed), inputs=inputs) as draft,
    ):
        shards = shards_of(draft.path, BlockStore.open(corpus).shard_ranges, BLOCKS_PER_SHARD)
        for shard in shards:
            for path in map(pathlib.Path, (shard.embeddings, shard.contents)):
                path.write_bytes((embedded[0] / path.name).read_bytes())
            Reporter(shard.report).finish(shard.checksums())
        raise KeyboardInterrupt
    os.truncate(shards[0].embeddings, 200)
    altered = bytearray(pathlib.Path(shards[2].embeddings).read_bytes())
    altered[-1] ^= 1
    pathlib.Path(shards[2].embeddings).write_bytes(altered)
    shards[3].report.unlink()
    pathlib.Path(shards[4].contents).unlink()
    ended = embed(corpus, encoder, output)
    assert ended.returncode == 0, ended.stderr
    assert 'Embedded 60 blocks' in ended.stdout and '30 were there' in ended.stdout
    assert_same_bytes(output, embedded[0])


@pytest.fixture(scope='module')
def troubled_encoder(tmp_path_factory):
    """An encoder like the other, that gets into the trouble that a directory says; and the directory."""
    trouble = tmp_path_factory.mktemp('trouble')
    return make_encoder(tmp_path_factory.mktemp('troubled') / 'encoder', VOCABULARY_OF_ALL, trouble), trouble


@pytest.fixture(scope='module')
def embedded_without_trouble(corpus, troubled_encoder, tmp_path_factory):
    path = tmp_path_factory.mktemp('embedded') / 'embeddings'
    ended = embed(corpus, troubled_encoder[0], path)
    assert ended.returncode == 0, ended.stderr
    return path


@pytest.fixture
def trouble(troubled_encoder):
    """Says what trouble the encoder gets into."""
    yield troubled_encoder[1]
    for file in troubled_encoder[1].iterdir():
        file.unlink()


def test_a_batch_that_memory_has_no_room_for_is_halved(corpus, troubled_encoder, embedded, trouble, tmp_path):
    (trouble / 'memory').touch()
    ended = embed(corpus, troubled_encoder[0], tmp_path / 'embeddings')
    assert ended.returncode == 0, ended.stderr
    assert re.search(r'Memory ran out, and a batch was halved, [1-9]\d* times', ended.stdout)
    expected = Embeddings.open(embedded[0]).as_array()
    np.testing.assert_allclose(Embeddings.open(tmp_path / 'embeddings').as_array(), expected, atol=1e-5)


def test_a_job_that_failed_goes_on_to_the_same_bytes(
    corpus, troubled_encoder, embedded_without_trouble, trouble, tmp_path
):
    output = tmp_path / 'embeddings'
    (trouble / 'fail').touch()
    ended = embed(corpus, troubled_encoder[0], output, '--num_workers', '2')
    assert ended.returncode != 0 and 'It is said to fail.' in ended.stderr
    assert not (output / 'manifest.json').exists()
    (trouble / 'fail').unlink()
    ended = embed(corpus, troubled_encoder[0], output, '--num_workers', '2')
    assert ended.returncode == 0, ended.stderr
    assert_same_bytes(output, embedded_without_trouble)


def test_a_worker_that_is_killed_ends_the_job_which_then_goes_on(
    corpus, troubled_encoder, embedded_without_trouble, trouble, tmp_path
):
    output = tmp_path / 'embeddings'
    (trouble / 'wait').touch()
    job = start(corpus, troubled_encoder[0], output, '--num_workers', '2')
    try:
        # A report is there when a worker is at work.
        wait_until(lambda: list(output.glob('.embeddings-*.json')))
        worker = next(child for child in reversed(wait_for_workers(job.pid, 2)) if not child.children())
        worker.kill()
        _, said = job.communicate(timeout=60)
    finally:
        job.kill()
    assert job.returncode == 2
    assert 'realm: A worker process ended (signal 9, as when memory runs out). The same command goes on' in said
    (trouble / 'wait').unlink()
    ended = embed(corpus, troubled_encoder[0], output, '--num_workers', '2')
    assert ended.returncode == 0, ended.stderr
    assert_same_bytes(output, embedded_without_trouble)


@pytest.mark.parametrize('num_workers', [1, 2])
def test_a_job_that_gets_no_further_is_given_up(num_workers, corpus, troubled_encoder, trouble, tmp_path):
    (trouble / 'wait').touch()
    output = tmp_path / 'embeddings'
    job = start(corpus, troubled_encoder[0], output, f'--num_workers={num_workers}', '--stall_minutes=0.15')
    try:
        workers = wait_for_workers(job.pid, 1) if num_workers > 1 else []
        _, said = job.communicate(timeout=90)
    finally:
        job.kill()
    assert job.returncode == 2
    assert 'realm: No worker has got further for 0.15 minutes, so the job was given up.' in said
    assert_ended(workers, seconds=3)


def test_of_an_edited_corpus_only_what_changed_is_embedded(blocks, encoder, embedded, tmp_path):
    """A block is found wherever it now stands."""
    edited = [*blocks[3:40], blocks[5]._replace(title_ids=[7, 8, 9]), *blocks[40:]]
    edited[70] = edited[70]._replace(body_ids=[*edited[70].body_ids[:-1], 6, 7])
    corpus = make_corpus(tmp_path / 'corpus', edited)
    ended = embed(corpus, encoder, tmp_path / 'all')
    assert ended.returncode == 0, ended.stderr
    ended = embed(corpus, encoder, tmp_path / 'reused', '--reuse', str(embedded[0]))
    assert ended.returncode == 0, ended.stderr
    assert 'Embedded 2 blocks' in ended.stdout and '86 blocks reused' in ended.stdout
    everything, reused = Embeddings.open(tmp_path / 'all'), Embeddings.open(tmp_path / 'reused')
    np.testing.assert_allclose(reused.as_array(), everything.as_array(), atol=1e-5)
    np.testing.assert_array_equal(*(np.concatenate(contents_of(made)) for made in (reused, everything)))
    # Not embedded again: the very bytes of before.
    np.testing.assert_array_equal(reused.as_array()[0], Embeddings.open(embedded[0]).as_array()[3])


def contents_of(embeddings):
    return [np.load(file) for file in contents_files(embeddings.artifact)]


def test_what_is_reused_is_not_replaced(blocks, corpus, encoder, tmp_path):
    embeddings = tmp_path / 'embeddings'
    ended = embed(make_corpus(tmp_path / 'corpus', blocks[:8]), encoder, embeddings)
    assert ended.returncode == 0, ended.stderr
    before = Embeddings.open(embeddings).artifact
    ended = embed(corpus, encoder, embeddings, '--reuse', str(embeddings), '--overwrite')
    assert ended.returncode == 2 and 'cannot be replaced by it. Name another directory.' in ended.stderr
    assert Embeddings.open(embeddings).artifact == before


def test_embeddings_of_another_encoder_are_not_reused(corpus, troubled_encoder, embedded, tmp_path):
    ended = embed(corpus, troubled_encoder[0], tmp_path / 'embeddings', '--reuse', str(embedded[0]))
    assert ended.returncode == 2 and 'was not made from the encoder' in ended.stderr
    assert not (tmp_path / 'embeddings').exists()


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
    job = start(corpus, encoder, tmp_path / 'embeddings', '--num_workers', '2')
    try:
        workers = wait_for_workers(job.pid, 2)
        job.send_signal(signal.SIGINT)
        job.communicate(timeout=30)
        assert job.returncode == 130
        assert_ended(workers, seconds=3)
    finally:
        job.kill()
    recipe = json.loads((tmp_path / 'embeddings' / 'recipe.json').read_text())
    assert recipe['kind'] == 'embeddings' and not (tmp_path / 'embeddings' / 'manifest.json').exists()


def start(*arguments):
    return subprocess.Popen(
        command(*arguments), cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def wait_for_workers(pid, number):
    """Waits until there are workers, and returns them."""
    wait_until(lambda: len(psutil.Process(pid).children(recursive=True)) >= number)
    return psutil.Process(pid).children(recursive=True)


def wait_until(is_so):
    for _ in range(1200):
        if is_so():
            return
        time.sleep(0.05)
    raise AssertionError('It did not happen within a minute.')


@hypothesis.given(
    sizes=strategies.lists(strategies.integers(0, 50), min_size=1, max_size=6), limit=strategies.integers(1, 60)
)
def test_shards_hold_every_block_once_in_order(sizes, limit):
    ends = np.cumsum([0, *sizes]).tolist()
    corpus_shards = [range(start, end) for start, end in itertools.pairwise(ends)]
    shards = shards_of(epath.Path('somewhere'), corpus_shards, limit)
    assert [id for shard in shards for id in shard.blocks] == list(range(ends[-1]))
    assert max(len(shard.blocks) for shard in shards) <= limit
    names = [shard.embeddings for shard in shards]
    assert names == sorted(set(names))
