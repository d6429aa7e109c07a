"""BERT from TensorFlow Hub and to it: what is computed is compared, not names alone."""

import dataclasses
import functools
import http.server
import json
import pathlib
import re
import subprocess
import sys
import tarfile
import threading
import zlib

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub

from realm_tf.config import EncoderConfig, load_config
from realm_tf.errors import RealmError
from realm_tf.models.retriever_tower import RetrieverTower
from realm_tf.text.vocabulary import Vocabulary
from realm_tf.weights import tf_hub, tf_hub_saved_models
from realm_tf.weights.networks import make_retriever
from realm_tf.weights.parameters import assign_parameters, named_parameters
from realm_tf.weights.pretrained import Pretrained
from realm_tf.weights.sources import read_source, source_digest

PIECES = ('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *(f'piece{number}' for number in range(45)))
# Three heads of 16: neither is what another BERT has by convention.
TINY = EncoderConfig(
    num_layers=2,
    hidden_size=48,
    num_heads=3,
    intermediate_size=80,
    vocabulary_size=len(PIECES),
    max_positions=24,
    num_segments=2,
    dropout=0.0,
)
# Names in SavedModels of four releases of the TensorFlow Model Garden, where they differ from the last one's.
RELEASES = {
    '2.1': (
        ('transformer/', 'encoder/'),
        ('self_attention/attention_output', 'self_attention_output'),
        ('position_embedding/embeddings', 'embedding_postprocessor/position_embeddings'),
        ('type_embeddings/embeddings', 'embedding_postprocessor/type_embeddings'),
        ('embeddings/layer_norm', 'embedding_postprocessor/layer_norm'),
        ('', 'bert_model/'),
    ),
    '2.2': (('self_attention/attention_output', 'self_attention_output'),),
    '2.4': (),
    '2.20': (('', 'bert_encoder_v2_1/'),),
}


def shapes_in_the_model_garden(config=TINY):
    hidden, inner = config.hidden_size, config.intermediate_size
    heads, size = config.num_heads, hidden // config.num_heads
    shapes = {
        'word_embeddings/embeddings': (config.vocabulary_size, hidden),
        'position_embedding/embeddings': (config.max_positions, hidden),
        'type_embeddings/embeddings': (config.num_segments, hidden),
        'embeddings/layer_norm/gamma': (hidden,),
        'embeddings/layer_norm/beta': (hidden,),
        'pooler_transform/kernel': (hidden, hidden),
        'pooler_transform/bias': (hidden,),
    }
    for number in range(config.num_layers):
        layer = f'transformer/layer_{number}'
        for part in ('query', 'key', 'value'):
            shapes[f'{layer}/self_attention/{part}/kernel'] = (hidden, heads, size)
            shapes[f'{layer}/self_attention/{part}/bias'] = (heads, size)
        shapes[f'{layer}/self_attention/attention_output/kernel'] = (heads, size, hidden)
        shapes[f'{layer}/self_attention/attention_output/bias'] = (hidden,)
        shapes[f'{layer}/intermediate/kernel'] = (hidden, inner)
        shapes[f'{layer}/intermediate/bias'] = (inner,)
        shapes[f'{layer}/output/kernel'] = (inner, hidden)
        shapes[f'{layer}/output/bias'] = (hidden,)
        for norm in ('self_attention_layer_norm', 'output_layer_norm'):
            shapes[f'{layer}/{norm}/gamma'] = shapes[f'{layer}/{norm}/beta'] = (hidden,)
    return shapes


def head_shapes(config=TINY):
    hidden = config.hidden_size
    return {
        'bert/cls/predictions/output_bias/bias': (config.vocabulary_size,),
        'bert/cls/predictions/transform/dense/kernel': (hidden, hidden),
        'bert/cls/predictions/transform/dense/bias': (hidden,),
        'bert/cls/predictions/transform/LayerNorm/gamma': (hidden,),
        'bert/cls/predictions/transform/LayerNorm/beta': (hidden,),
    }


def values(shapes):
    """An array for each name, that no other name has; around 1 where it is the scale of a LayerNorm."""

    def value(name, shape):
        scale = np.random.default_rng(zlib.crc32(name.encode())).normal(scale=0.2, size=shape)
        return (scale + name.endswith('gamma')).astype(np.float32)

    return {name: value(name, shape) for name, shape in shapes.items()}


def bert_with_heads_apart(v, word_ids, mask, type_ids):
    """BERT as the Model Garden computes it, every head with a dimension of its own: [sequence, pooled] outputs."""

    def norm(x, name):
        mean, variance = tf.nn.moments(x, -1, keepdims=True)
        return (x - mean) / tf.sqrt(variance + 1e-12) * v[f'{name}/gamma'] + v[f'{name}/beta']

    x = tf.gather(v['word_embeddings/embeddings'], word_ids) + tf.gather(v['type_embeddings/embeddings'], type_ids)
    x = norm(x + v['position_embedding/embeddings'][: tf.shape(x)[1]], 'embeddings/layer_norm')
    for number in range(TINY.num_layers):
        layer = f'transformer/layer_{number}'
        attention = f'{layer}/self_attention'
        query, key, value = (
            tf.einsum('blh,had->blad', x, v[f'{attention}/{part}/kernel']) + v[f'{attention}/{part}/bias']
            for part in ('query', 'key', 'value')
        )
        logits = tf.einsum('bqad,bkad->baqk', query, key) / tf.sqrt(float(query.shape[-1]))
        logits += -1e9 * tf.cast(mask[:, None, None, :] == 0, tf.float32)
        attended = tf.einsum('baqk,bkad->bqad', tf.nn.softmax(logits), value)
        output = tf.einsum('bqad,adh->bqh', attended, v[f'{attention}/attention_output/kernel'])
        x = norm(x + output + v[f'{attention}/attention_output/bias'], f'{attention}_layer_norm')
        inner = tf.nn.gelu(x @ v[f'{layer}/intermediate/kernel'] + v[f'{layer}/intermediate/bias'], approximate=True)
        x = norm(x + inner @ v[f'{layer}/output/kernel'] + v[f'{layer}/output/bias'], f'{layer}/output_layer_norm')
    return x, tf.tanh(x[:, 0] @ v['pooler_transform/kernel'] + v['pooler_transform/bias'])


def renamed(name, release):
    for today, then in RELEASES[release]:
        name = name.replace(today, then, 1)
    return name


def write_saved_model(path, arrays, release='2.4', head=None, lower_case=True):
    """Writes a SavedModel with variables of these names, which computes with them; the head in `mlm`, as there."""
    path.mkdir(parents=True, exist_ok=True)
    model = tf.train.Checkpoint()
    variables = {name: tf.Variable(array, name=renamed(name, release)) for name, array in arrays.items()}
    model.variables = list(variables.values())
    if head is not None:
        model.mlm = tf.train.Checkpoint()
        model.mlm.variables = model.variables + [tf.Variable(array, name=name) for name, array in head.items()]

    @tf.function(
        input_signature=[
            {name: tf.TensorSpec([None, None], tf.int32) for name in ('input_word_ids', 'input_mask', 'input_type_ids')}
        ]
    )
    def call(inputs):
        ids, mask, types = (inputs[name] for name in ('input_word_ids', 'input_mask', 'input_type_ids'))
        sequence, pooled = bert_with_heads_apart(variables, ids, mask, types)
        return {'sequence_output': sequence, 'pooled_output': pooled, 'default': pooled}

    if 'pooler_transform/bias' in variables:
        model.__call__ = call
    vocabulary = path.parent / 'vocab.txt'
    vocabulary.write_text('\n'.join(PIECES) + '\n')
    model.vocab_file = tf.saved_model.Asset(str(vocabulary))
    model.do_lower_case = tf.Variable(lower_case, trainable=False)
    tf.saved_model.save(model, str(path))
    return path


def inputs(seed=0):
    """Token ids with padding, a mask that is 0 there, segments."""
    random = np.random.default_rng(seed)
    ids = random.integers(5, len(PIECES), (3, 12)).astype(np.int32)
    ids[1, 8:] = ids[2, 3:] = 0
    return {
        'input_word_ids': ids,
        'input_mask': (ids != 0).astype(np.int32),
        'input_type_ids': np.repeat([[0] * 5 + [1] * 7], 3, axis=0).astype(np.int32),
    }


def called(model, arguments):
    return model({name: tf.constant(value) for name, value in arguments.items()})


def tower_of(parameters):
    tower = RetrieverTower(dataclasses.asdict(TINY), projection_size=8, dtype='float32')
    tower.build()
    fresh = {name: np.asarray(variable) for name, variable in named_parameters(tower).items()}
    assign_parameters(tower, {name: parameters.get(name, fresh[name]) for name in fresh}, 'the test')
    return tower


def assert_computes_the_same(found, model):
    """What was read computes what the SavedModel does."""
    arguments = inputs()
    expected = called(model, arguments)
    tower = tower_of(found.parts['bert'])
    ids, segments = arguments['input_word_ids'], arguments['input_type_ids']
    present = arguments['input_mask'] == 1
    np.testing.assert_allclose(
        np.asarray(tower.encoder(ids, segments))[present], expected['sequence_output'].numpy()[present], atol=1e-5
    )
    np.testing.assert_allclose(tower.pool(ids, segments), expected['pooled_output'], atol=1e-5)


@pytest.mark.parametrize('release', RELEASES)
def test_every_release_of_the_model_garden_is_read(tmp_path, release):
    head = values(head_shapes()) if release in ('2.4', '2.20') else None
    path = write_saved_model(tmp_path / 'bert', values(shapes_in_the_model_garden()), release, head)
    assert tf_hub.recognises(path)
    found = tf_hub.read(path)
    assert found.encoder == dataclasses.replace(TINY, dropout=found.encoder.dropout)
    assert found.vocabulary.pieces == PIECES
    assert_computes_the_same(found, hub.load(str(path)))
    heads = {name: array for name, array in found.parts['bert'].items() if name.startswith('head/')}
    expected_heads = (
        {}
        if head is None
        else {
            'head/transform/kernel': head['bert/cls/predictions/transform/dense/kernel'],
            'head/transform/bias': head['bert/cls/predictions/transform/dense/bias'],
            'head/layer_norm/gamma': head['bert/cls/predictions/transform/LayerNorm/gamma'],
            'head/layer_norm/beta': head['bert/cls/predictions/transform/LayerNorm/beta'],
            'head/bias': head['bert/cls/predictions/output_bias/bias'],
        }
    )
    assert heads.keys() == expected_heads.keys()
    for name, array in expected_heads.items():
        np.testing.assert_array_equal(heads[name], array)


@pytest.mark.parametrize('with_head', [True, False])
@pytest.mark.parametrize('type_of_encoder', ['bert', 'bert_v2'])
def test_what_the_model_garden_itself_writes_is_read(tmp_path, type_of_encoder, with_head):
    pytest.importorskip('official.nlp.tools.export_tfhub_lib', reason='needs tf-models-official')
    from official.nlp.configs import encoders
    from official.nlp.tools import export_tfhub_lib

    sizes = encoders.BertEncoderConfig(
        vocab_size=TINY.vocabulary_size,
        hidden_size=TINY.hidden_size,
        num_layers=TINY.num_layers,
        num_attention_heads=TINY.num_heads,
        intermediate_size=TINY.intermediate_size,
        max_position_embeddings=TINY.max_positions,
    )
    config = encoders.EncoderConfig(type=type_of_encoder, **{type_of_encoder: sizes})
    _, network = export_tfhub_lib._create_model(encoder_config=config, with_mlm=with_head)
    random = np.random.default_rng(2)
    for variable in network.variables:
        variable.assign(random.normal(scale=0.3, size=variable.shape) + ('gamma' in variable.name))
    objects = network.checkpoint_items if with_head else {'model': network, 'encoder': network}
    (tmp_path / 'vocab.txt').write_text('\n'.join(PIECES) + '\n')
    export_tfhub_lib.export_model(
        str(tmp_path / 'bert'),
        encoder_config=config,
        model_checkpoint_path=tf.train.Checkpoint(**objects).save(str(tmp_path / 'checkpoint')),
        with_mlm=with_head,
        vocab_file=str(tmp_path / 'vocab.txt'),
        do_lower_case=True,
    )
    found = tf_hub.read(tmp_path / 'bert')
    assert ('head/bias' in found.parts['bert']) == with_head
    assert_computes_the_same(found, hub.load(str(tmp_path / 'bert')))


KEY = 'transformer/layer_1/self_attention/key/kernel'


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        ({KEY: None}, f'lacks {KEY}'),
        ({'pooler_transform/bias': None}, 'lacks pooler_transform/bias'),
        ({KEY: (48, 3, 8)}, rf'{KEY} has the shape \(48, 3, 8\); .* \(48, 3, 16\)'),
        ({KEY: (48, 48)}, rf'{KEY} has the shape \(48, 48\); .* \(48, 3, 16\)'),
        ({'transformer/layer_0/strange': (2,)}, r'unexpected transformer/layer_0/strange \(2,\)'),
        ({'word_embeddings/embeddings': None}, 'a SavedModel with 0 variables word_embeddings/embeddings'),
        ({'other/word_embeddings/embeddings': (50, 48)}, 'a SavedModel with 2 variables word_embeddings/embeddings'),
    ],
)
def test_a_variable_that_is_missing_unexpected_or_misshapen_is_named(tmp_path, change, said):
    shapes = {name: shape for name, shape in (shapes_in_the_model_garden() | change).items() if shape}
    model = tf.train.Checkpoint()
    model.variables = [tf.Variable(array, name=name) for name, array in values(shapes).items()]
    tf.saved_model.save(model, str(tmp_path / 'bert'))
    with pytest.raises(RealmError, match=said):
        tf_hub.read(tmp_path / 'bert')


def test_heads_that_do_not_make_up_the_hidden_size(tmp_path):
    attention = r'.*/self_attention/'
    shapes = {
        name: tuple(20 if size == 16 and re.match(attention, name) else size for size in shape)
        for name, shape in shapes_in_the_model_garden().items()
    }
    model = tf.train.Checkpoint()
    model.variables = [tf.Variable(array, name=name) for name, array in values(shapes).items()]
    tf.saved_model.save(model, str(tmp_path / 'bert'))
    with pytest.raises(RealmError, match='3 heads of 20, which do not make up its hidden size of 48'):
        tf_hub.read(tmp_path / 'bert')


def test_a_cased_bert_is_refused(tmp_path):
    path = write_saved_model(tmp_path / 'bert', values(shapes_in_the_model_garden()), lower_case=False)
    with pytest.raises(RealmError, match='is a cased BERT'):
        tf_hub.read(path)


def test_files_that_are_cut_off_or_missing_give_a_sentence(tmp_path):
    path = write_saved_model(tmp_path / 'bert', values(shapes_in_the_model_garden()))
    data = path / 'variables' / 'variables.data-00000-of-00001'
    data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])
    with pytest.raises(RealmError, match=r'cannot be read .*Is it whole\?'):
        tf_hub.read(path)
    data.unlink()
    with pytest.raises(RealmError, match=r'cannot be read .*Is it whole\?'):
        tf_hub.read(path)
    (path / 'variables' / 'variables.index').unlink()
    assert not tf_hub.recognises(path)


@pytest.fixture
def served(tmp_path, monkeypatch):
    """The address of a server of archives, and the directory they lie in."""
    monkeypatch.setenv('TFHUB_CACHE_DIR', str(tmp_path / 'cache'))
    (tmp_path / 'served').mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(
        ('127.0.0.1', 0), functools.partial(Quiet, directory=str(tmp_path / 'served'))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}', tmp_path / 'served'
    server.shutdown()
    server.server_close()


def test_a_handle_is_downloaded_once(tmp_path, served):
    address, directory = served
    path = write_saved_model(tmp_path / 'bert', values(shapes_in_the_model_garden()))
    with tarfile.open(directory / 'bert.tar.gz', 'w:gz') as archive:
        archive.add(path, arcname='.')
    handle = f'{address}/bert.tar.gz'
    assert tf_hub.is_handle(handle)
    found = read_source(handle)
    assert found.source == handle
    for name, array in tf_hub.read(path).parts['bert'].items():
        np.testing.assert_array_equal(found.parts['bert'][name], array)
    (directory / 'bert.tar.gz').unlink()
    assert source_digest(handle) == source_digest(path)


def test_a_handle_that_cannot_be_downloaded_says_what_to_do(served):
    address, directory = served
    (directory / 'page.tar.gz').write_text('<html>')
    for handle in (f'{address}/nothing.tar.gz', f'{address}/page.tar.gz', 'http://127.0.0.1:1/bert.tar.gz'):
        with pytest.raises(RealmError, match=r'could not be downloaded .*name the directory with'):
            tf_hub.located(handle)


def retriever_settings(pooling='cls', shared=True):
    config = load_config('tiny', overrides={'retriever.pooling': pooling, 'retriever.shared_towers': shared})
    return dataclasses.replace(config, encoder=TINY)


def written(path, config):
    """What `write` makes of random towers, and the towers' parameters by the name of their directory."""
    retriever = make_retriever(config)
    random = np.random.default_rng(1)
    for variable in retriever.trainable_variables:
        scale = random.normal(scale=0.2, size=variable.shape)
        variable.assign(scale + variable.path.endswith('gamma'))
    towers = {'query_tower': retriever.query_tower, 'document_tower': retriever.document_tower}
    parts = {
        part: {
            name.partition('/')[2]: np.asarray(variable)
            for name, variable in named_parameters(retriever).items()
            if name.startswith(f'{tower.name}/')
        }
        for part, tower in towers.items()
    }
    pretrained = Pretrained('the test', config.encoder, Vocabulary(PIECES), parts)
    directories = tf_hub_saved_models.write(pretrained, path, config)
    return directories, parts


def in_numpy(parameters, arguments, bert_in_numpy):
    """The outputs of every layer, by BERT written out."""
    theirs = {
        'word_embeddings': 'embeddings/word_embeddings',
        'position_embeddings': 'embeddings/position_embeddings',
        'segment_embeddings': 'embeddings/token_type_embeddings',
        'embedding_layer_norm': 'embeddings/LayerNorm',
        'attention_output': 'attention/output/dense',
        'attention_layer_norm': 'attention/output/LayerNorm',
        'intermediate': 'intermediate/dense',
        'output': 'output/dense',
        'output_layer_norm': 'output/LayerNorm',
    }
    weights = {}
    for name, array in parameters.items():
        path, _, last = name.removeprefix('encoder/').rpartition('/')
        layer, _, block = path.rpartition('/')
        prefix = f'encoder/{layer}/' if layer else ''
        if block == 'query_key_value':
            for part, share in zip(('query', 'key', 'value'), np.split(array, 3, axis=-1), strict=True):
                weights[f'{prefix}attention/self/{part}/{last}'] = share
        elif name.startswith('encoder/'):
            weights[f'{prefix}{theirs[block]}/{last}' if block else theirs[last]] = array
    return bert_in_numpy.sequence_outputs(
        weights,
        TINY.num_heads,
        arguments['input_word_ids'],
        arguments['input_mask'],
        arguments['input_type_ids'],
    )


@pytest.mark.parametrize('pooling', ['cls', 'mean'])
def test_what_is_written_computes_what_bert_does(tmp_path, bert_in_numpy, pooling):
    (directory,), parts = written(tmp_path / 'hub', retriever_settings(pooling))
    parameters = parts['query_tower']
    model = hub.load(str(directory))
    arguments = inputs()
    # A mask that says more than the ids: the third position is there and is not to be seen.
    arguments['input_mask'][0, 2] = 0
    found = called(model, arguments)
    assert set(found) == {'pooled_output', 'default', 'sequence_output', 'encoder_outputs'}
    present = arguments['input_mask'] == 1
    expected = in_numpy(parameters, arguments, bert_in_numpy)
    assert len(found['encoder_outputs']) == TINY.num_layers
    for output, layer in zip(found['encoder_outputs'], expected, strict=True):
        np.testing.assert_allclose(output.numpy()[present], layer[present], atol=1e-5)
    np.testing.assert_array_equal(found['sequence_output'], found['encoder_outputs'][-1])
    if pooling == 'cls':
        pooled = np.tanh(expected[-1][:, 0] @ parameters['pooler/kernel'] + parameters['pooler/bias'])
    else:
        pooled = np.stack([row[mask].mean(axis=0) for row, mask in zip(expected[-1], present, strict=True)])
    np.testing.assert_allclose(found['pooled_output'], pooled, atol=1e-5)
    np.testing.assert_array_equal(found['default'], found['pooled_output'])
    served = model.signatures['serving_default'](**{name: tf.constant(value) for name, value in arguments.items()})
    for name in ('pooled_output', 'sequence_output', 'default'):
        np.testing.assert_array_equal(served[name], found[name])
    assert pathlib.Path(model.vocab_file.asset_path.numpy().decode()).read_text().split() == list(PIECES)
    assert model.do_lower_case.numpy()


def test_separate_towers_are_two_saved_models_and_come_back_as_they_were(tmp_path):
    directories, parts = written(tmp_path / 'hub', retriever_settings(shared=False))
    assert [directory.name for directory in directories] == ['query_tower', 'document_tower']
    for directory in directories:
        found = tf_hub.read(directory)
        assert found.encoder == dataclasses.replace(TINY, dropout=found.encoder.dropout)
        assert found.vocabulary.pieces == PIECES
        expected = {name: array for name, array in parts[directory.name].items() if 'projection' not in name}
        assert found.parts['bert'].keys() == expected.keys()
        for name, array in expected.items():
            np.testing.assert_array_equal(found.parts['bert'][name], array)


def test_embeddings_have_no_place_in_it(tmp_path):
    retriever = Pretrained('the test', TINY, Vocabulary(PIECES), {})
    with pytest.raises(RealmError, match='no place for a corpus and its embeddings'):
        tf_hub_saved_models.write(retriever, tmp_path / 'hub', retriever_settings(), embeddings=object())


def test_it_can_be_trained_on(tmp_path):
    (directory,), _ = written(tmp_path / 'hub', retriever_settings())
    model = hub.load(str(directory))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(called(model, inputs())['pooled_output'] ** 2)
    gradients = tape.gradient(loss, list(model.trainable_variables))
    assert len(gradients) == len(shapes_in_the_model_garden())
    assert all(np.any(tf.convert_to_tensor(gradient)) for gradient in gradients)


def test_hub_keras_layer_takes_it(tmp_path):
    tf_keras = pytest.importorskip('tf_keras')
    (directory,), _ = written(tmp_path / 'hub', retriever_settings())
    layer = hub.KerasLayer(str(directory), trainable=True)
    entries = {name: tf_keras.layers.Input((None,), dtype=tf.int32, name=name) for name in inputs()}
    network = tf_keras.Model(entries, layer(entries)['pooled_output'])
    found = network.predict(inputs(), verbose=0)
    np.testing.assert_allclose(found, called(hub.load(str(directory)), inputs())['pooled_output'], atol=1e-5)
    assert len(layer.trainable_variables) == len(shapes_in_the_model_garden())


def test_the_session_loader_of_the_c_api_opens_it(tmp_path):
    from tensorflow.core.protobuf import saved_model_pb2

    (directory,), _ = written(tmp_path / 'hub', retriever_settings())
    saved = saved_model_pb2.SavedModel.FromString((directory / 'saved_model.pb').read_bytes())
    signature = saved.meta_graphs[0].signature_def['serving_default']
    arguments = inputs()
    request = {
        'path': str(directory),
        'libraries': [],
        'inputs': {signature.inputs[name].name: value.tolist() for name, value in arguments.items()},
        'outputs': {name: signature.outputs[name].name for name in ('pooled_output', 'sequence_output')},
    }
    loader = pathlib.Path(__file__).parents[1] / 'export' / 'session_loader.py'
    ended = subprocess.run(
        [sys.executable, str(loader)], input=json.dumps(request), capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    expected = called(hub.load(str(directory)), arguments)
    for name, values_there in json.loads(ended.stdout).items():
        np.testing.assert_allclose(values_there, expected[name].numpy().reshape(-1), atol=1e-5)
