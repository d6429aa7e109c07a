"""What realm convert writes: read back bit for bit, and loaded by transformers."""

import json
import os
import pathlib
import subprocess

import numpy as np
import pytest
import tensorflow as tf

from realm_tf.config import load_config
from realm_tf.corpus.block_store import BlockStore
from realm_tf.errors import RealmError
from realm_tf.evaluation.predictor import Predictor
from realm_tf.search.embeddings import Embeddings
from realm_tf.search.exact import ExactSearcher
from realm_tf.text.wordpiece import WordPieceTokenizer
from realm_tf.weights.convert import convert
from realm_tf.weights.encoder_artifact import Encoder
from realm_tf.weights.hugging_face import read
from realm_tf.weights.import_weights import import_weights
from realm_tf.weights.model_artifact import Model
from tests.weights import layouts
from tests.weights.layouts import CONFIG, SETTINGS, random_arrays, write_directory

PYTHON = os.environ.get('REALM_ORACLE_PYTHON')
needs_transformers = pytest.mark.skipif(
    not PYTHON, reason='needs REALM_ORACLE_PYTHON, a Python with torch and transformers 4.40.2'
)
INPUTS = {
    'token_ids': [[2, 7, 8, 9, 3, 10, 11, 3], [2, 5, 3, 12, 3, 0, 0, 0], [2, 30, 31, 4, 3, 6, 3, 0]],
    'segment_ids': [[0, 0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 1, 1, 0]],
    'mask_position': 2,
}


def config_of(**changed):
    return load_config(overrides=SETTINGS | {name.replace('__', '.'): value for name, value in changed.items()})


def encoder_of(tmp_path, layout, **changed):
    """An encoder of random arrays, of everything that an encoder can have."""
    write_directory(tmp_path / 'retriever', CONFIG, random_arrays(layout(CONFIG), seed=1))
    write_directory(tmp_path / 'kae', CONFIG, random_arrays(layouts.encoder(CONFIG), seed=2))
    import_weights([tmp_path / 'retriever', tmp_path / 'kae'], tmp_path / 'encoder', config_of(**changed))
    return tmp_path / 'encoder'


@pytest.fixture(scope='module')
def model(tmp_path_factory, tiny_corpus):
    """A model of random arrays, and its embeddings of the tiny corpus."""
    path = tmp_path_factory.mktemp('model')
    corpus = BlockStore.open(tiny_corpus)
    config = CONFIG | {'vocab_size': 30522, 'num_block_records': len(corpus)}
    write_directory(path / 'source', config, random_arrays(layouts.openqa(config), 3), corpus.vocabulary.pieces)
    settings = config_of(
        encoder__vocabulary_size=30522,
        finetune__question_length=24,
        finetune__reader_length=64,
        finetune__reader_blocks=3,
        finetune__num_candidates=20,
    )
    belongs = {'corpus_path': tiny_corpus, 'embeddings_path': path / 'embeddings'}
    import_weights([path / 'source'], path / 'model', settings, **belongs)
    return path


def require_same_files(one, other, *names):
    for name in names:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def test_an_encoder_comes_back_bit_for_bit(tmp_path):
    encoder = encoder_of(tmp_path, layouts.embedder)
    written = convert(encoder, tmp_path / 'out', 'hugging-face')
    assert [path.name for path in written] == ['embedder', 'encoder']
    import_weights(written, tmp_path / 'again', config_of())
    files = ('retriever.safetensors', 'knowledge_augmented_encoder.safetensors', 'vocab.txt')
    require_same_files(encoder, tmp_path / 'again', *files)


def test_separate_towers_come_back_bit_for_bit(tmp_path):
    encoder = encoder_of(tmp_path, layouts.scorer, retriever__shared_towers=False)
    written = convert(encoder, tmp_path / 'out', 'hugging-face')
    assert [path.name for path in written] == ['scorer', 'encoder']
    import_weights(written, tmp_path / 'again', config_of(retriever__shared_towers=False))
    files = ('retriever.safetensors', 'knowledge_augmented_encoder.safetensors')
    require_same_files(encoder, tmp_path / 'again', *files)


def test_a_model_with_its_embeddings_comes_back_bit_for_bit(tmp_path, model, tiny_corpus):
    belongs = {'corpus_path': tiny_corpus, 'embeddings_path': model / 'embeddings'}
    written = convert(model / 'model', tmp_path / 'out', 'hugging-face', **belongs)
    assert [path.name for path in written] == ['embedder', 'reader', 'openqa']
    belongs['embeddings_path'] = tmp_path / 'embeddings'
    import_weights([tmp_path / 'out' / 'openqa'], tmp_path / 'again', Model.open(model / 'model').config, **belongs)
    require_same_files(model / 'model', tmp_path / 'again', 'retriever.safetensors', 'reader.safetensors')
    embeddings = Embeddings.open(model / 'embeddings')
    require_same_files(model / 'embeddings', tmp_path / 'embeddings', *embeddings.artifact.files)
    records = np.load(tmp_path / 'out' / 'openqa' / 'block_records.npy', allow_pickle=True)
    corpus = BlockStore.open(tiny_corpus)
    assert [record.decode() for record in records] == corpus.texts(np.arange(len(corpus)))


def test_a_model_without_embeddings_is_its_parts(tmp_path, model):
    written = convert(model / 'model', tmp_path / 'out', 'hugging-face')
    assert [path.name for path in written] == ['embedder', 'reader']
    parts = read(written[1], allow_pickle=False).parts
    assert parts.keys() == {'reader'}


def test_what_no_forward_pass_uses_is_zero(tmp_path):
    from realm_tf.weights.hugging_face import read_arrays

    convert(encoder_of(tmp_path, layouts.embedder), tmp_path / 'out', 'hugging-face')
    embedder = read_arrays(tmp_path / 'out' / 'embedder', allow_pickle=False)
    encoder = read_arrays(tmp_path / 'out' / 'encoder', allow_pickle=False)
    unused = {name for name in embedder if name.startswith('cls.predictions.')}
    assert len(unused) == 6 and not any(embedder[name].any() for name in unused)
    assert all(embedder[name].any() for name in embedder.keys() - unused)
    assert not encoder['realm.pooler.dense.weight'].any()


def test_what_the_classes_cannot_express_is_refused(tmp_path):
    write_directory(tmp_path / 'bert', layouts.BERT, random_arrays(layouts.body(layouts.BERT)))
    import_weights([tmp_path / 'bert'], tmp_path / 'mean', config_of(retriever__pooling='mean'))
    import_weights([tmp_path / 'bert'], tmp_path / 'epsilon', config_of(retriever__projection_layer_norm_epsilon=1e-3))
    with pytest.raises(RealmError, match='by the mean of the wordpieces'):
        convert(tmp_path / 'mean', tmp_path / 'out', 'hugging-face')
    with pytest.raises(RealmError, match=r'one epsilon .*projection_layer_norm_epsilon = 0\.001'):
        convert(tmp_path / 'epsilon', tmp_path / 'out', 'hugging-face')
    assert not (tmp_path / 'out').exists()


def test_what_does_not_belong_to_the_model_is_refused(tmp_path, model, tiny_corpus, tiny_embeddings):
    with pytest.raises(RealmError, match='was not made from the embeddings'):
        convert(model / 'model', tmp_path / 'out', 'hugging-face', embeddings_path=tiny_embeddings)
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / 'file').touch()
    with pytest.raises(RealmError, match='is not empty'):
        convert(model / 'model', tmp_path / 'out', 'hugging-face')


def in_transformers(directory, tmp_path, **more):
    """What transformers finds in the directories."""
    (tmp_path / 'inputs.json').write_text(json.dumps(INPUTS | more))
    program = pathlib.Path(__file__).parent / 'load_in_transformers.py'
    command = [PYTHON, program, directory, tmp_path / 'inputs.json', tmp_path / 'found.json']
    subprocess.run(list(map(str, command)), check=True)
    found = json.loads((tmp_path / 'found.json').read_text())
    assert found['arrays'] == {
        path.name: {'missing_keys': [], 'unexpected_keys': [], 'mismatched_keys': []} for path in directory.iterdir()
    }
    return found


def require_same_embeddings(retriever, found):
    ids, segments = (tf.constant(INPUTS[name]) for name in ('token_ids', 'segment_ids'))
    np.testing.assert_allclose(retriever.embed_queries(ids), found['queries'], atol=1e-4)
    np.testing.assert_allclose(retriever.embed_documents(ids, segments), found['documents'], atol=1e-4)


@pytest.mark.slow
@needs_transformers
@pytest.mark.parametrize('shared', [True, False])
def test_transformers_loads_an_encoder_and_finds_the_same(tmp_path, shared):
    layout = layouts.embedder if shared else layouts.scorer
    encoder = encoder_of(tmp_path, layout, retriever__shared_towers=shared)
    convert(encoder, tmp_path / 'out', 'hugging-face')
    found = in_transformers(tmp_path / 'out', tmp_path)
    encoder = Encoder.open(encoder)
    require_same_embeddings(encoder.retriever(), found)
    ids, segments = (tf.constant(INPUTS[name]) for name in ('token_ids', 'segment_ids'))
    logits = encoder.knowledge_augmented_encoder()(ids, segments, tf.fill([3, 1], INPUTS['mask_position']))
    np.testing.assert_allclose(logits[:, 0], found['logits'], atol=1e-4)


@pytest.mark.slow
@needs_transformers
def test_transformers_answers_as_the_model_does(tmp_path, model, tiny_corpus):
    convert(
        model / 'model',
        tmp_path / 'out',
        'hugging-face',
        corpus_path=tiny_corpus,
        embeddings_path=model / 'embeddings',
    )
    questions = ['When was Alba founded?', 'Who was born in Dorn?', 'What language do they speak in Elsö?']
    found = in_transformers(tmp_path / 'out', tmp_path, questions=questions)
    ours = Model.open(model / 'model')
    require_same_embeddings(ours.retriever(), found)
    embeddings = Embeddings.open(model / 'embeddings')
    searcher = ExactSearcher.build(embeddings.shards)
    predictions = Predictor.of_model(ours, BlockStore.open(tiny_corpus), embeddings, searcher).predict(questions)
    tokenizer = WordPieceTokenizer(ours.vocabulary)
    for prediction, answer in zip(predictions, found['answers'], strict=True):
        texts = [prediction.answer, answer['answer']]
        one, other = (row.tolist() for row in tokenizer.tokenize_to_ragged(texts).rows())
        assert one and one == other
