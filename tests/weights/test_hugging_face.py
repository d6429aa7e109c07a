"""What is read of Hugging Face directories, and what is refused."""

import json
import pathlib

import ml_dtypes
import numpy as np
import pytest

from realm_tf.errors import RealmError
from realm_tf.weights import hugging_face
from realm_tf.weights.hugging_face import read
from realm_tf.weights.tensor_files import write_tensors
from tests.weights import layouts
from tests.weights.layouts import CONFIG, random_arrays, write_directory

OPENQA = CONFIG | {'num_block_records': 11}


def directory(path, layout, config=CONFIG, **changed):
    arrays = random_arrays(layout(config)) | changed
    return write_directory(path, config, {name: array for name, array in arrays.items() if array is not None}), arrays


def require_body(part, arrays, prefix):
    """Every parameter of the encoder is where it belongs."""
    expected = {
        'word_embeddings': arrays[f'{prefix}embeddings.word_embeddings.weight'],
        'position_embeddings': arrays[f'{prefix}embeddings.position_embeddings.weight'],
        'segment_embeddings': arrays[f'{prefix}embeddings.token_type_embeddings.weight'],
        'embedding_layer_norm/gamma': arrays[f'{prefix}embeddings.LayerNorm.weight'],
        'embedding_layer_norm/beta': arrays[f'{prefix}embeddings.LayerNorm.bias'],
    }
    for layer in range(2):
        theirs, ours = f'{prefix}encoder.layer.{layer}.', f'layer_{layer}/'
        three = [f'{theirs}attention.self.{name}' for name in ('query', 'key', 'value')]
        expected[f'{ours}query_key_value/kernel'] = np.vstack([arrays[f'{name}.weight'] for name in three]).T
        expected[f'{ours}query_key_value/bias'] = np.hstack([arrays[f'{name}.bias'] for name in three])
        for one, other in (
            ('attention_output', 'attention.output.dense'),
            ('intermediate', 'intermediate.dense'),
            ('output', 'output.dense'),
        ):
            expected[f'{ours}{one}/kernel'] = arrays[f'{theirs}{other}.weight'].T
            expected[f'{ours}{one}/bias'] = arrays[f'{theirs}{other}.bias']
        for one, other in (
            ('attention_layer_norm', 'attention.output.LayerNorm'),
            ('output_layer_norm', 'output.LayerNorm'),
        ):
            expected[f'{ours}{one}/gamma'] = arrays[f'{theirs}{other}.weight']
            expected[f'{ours}{one}/beta'] = arrays[f'{theirs}{other}.bias']
    found = {name.removeprefix('encoder/'): array for name, array in part.items() if name.startswith('encoder/')}
    require_equal(found, expected)


def require_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def beside_body(part):
    return {name: array for name, array in part.items() if not name.startswith('encoder/')}


def tower_heads(arrays, prefix=''):
    return {
        'pooler/kernel': arrays[f'{prefix}realm.pooler.dense.weight'].T,
        'pooler/bias': arrays[f'{prefix}realm.pooler.dense.bias'],
        'projection/kernel': arrays[f'{prefix}cls.dense.weight'].T,
        'projection/bias': arrays[f'{prefix}cls.dense.bias'],
        'projection_layer_norm/gamma': arrays[f'{prefix}cls.LayerNorm.weight'],
        'projection_layer_norm/beta': arrays[f'{prefix}cls.LayerNorm.bias'],
    }


def head(arrays):
    return {
        'head/transform/kernel': arrays['cls.predictions.transform.dense.weight'].T,
        'head/transform/bias': arrays['cls.predictions.transform.dense.bias'],
        'head/layer_norm/gamma': arrays['cls.predictions.transform.LayerNorm.weight'],
        'head/layer_norm/beta': arrays['cls.predictions.transform.LayerNorm.bias'],
        'head/bias': arrays['cls.predictions.bias'],
    }


def span_scores(arrays, prefix=''):
    return {
        'ends/kernel': arrays[f'{prefix}qa_outputs.dense_intermediate.weight'].T,
        'ends/bias': arrays[f'{prefix}qa_outputs.dense_intermediate.bias'],
        'score/kernel': arrays[f'{prefix}qa_outputs.dense_output.weight'].T,
        'score/bias': arrays[f'{prefix}qa_outputs.dense_output.bias'],
        'layer_norm/gamma': arrays[f'{prefix}qa_outputs.layer_normalization.weight'],
        'layer_norm/beta': arrays[f'{prefix}qa_outputs.layer_normalization.bias'],
    }


def test_an_embedder_is_both_towers(tmp_path):
    path, arrays = directory(tmp_path / 'x', layouts.embedder)
    found = read(path, allow_pickle=False)
    assert found.parts.keys() == {'query_tower', 'document_tower'}
    for part in found.parts.values():
        require_body(part, arrays, 'realm.')
        require_equal(beside_body(part), tower_heads(arrays))
    assert found.vocabulary.pieces == tuple(layouts.PIECES)
    assert found.settings == {'retriever.projection_layer_norm_epsilon': 1e-12}


def test_a_scorer_has_two_towers(tmp_path):
    path, arrays = directory(tmp_path / 'x', layouts.scorer)
    parts = read(path, allow_pickle=False).parts
    for part, prefix in (('query_tower', 'query_embedder.'), ('document_tower', 'embedder.')):
        require_body(parts[part], arrays, f'{prefix}realm.')
        require_equal(beside_body(parts[part]), tower_heads(arrays, prefix))


def test_a_scorer_without_a_query_embedder_has_one(tmp_path):
    path, arrays = directory(tmp_path / 'x', lambda config: layouts.below('embedder.', layouts.embedder(config)))
    parts = read(path, allow_pickle=False).parts
    assert parts['query_tower'] is parts['document_tower']
    require_body(parts['query_tower'], arrays, 'embedder.realm.')


def test_a_knowledge_augmented_encoder(tmp_path):
    path, arrays = directory(tmp_path / 'x', layouts.encoder)
    parts = read(path, allow_pickle=False).parts
    assert parts.keys() == {'knowledge_augmented_encoder'}
    require_body(parts['knowledge_augmented_encoder'], arrays, 'realm.')
    require_equal(beside_body(parts['knowledge_augmented_encoder']), head(arrays))


def test_a_reader(tmp_path):
    path, arrays = directory(tmp_path / 'x', layouts.reader)
    found = read(path, allow_pickle=False)
    assert found.parts.keys() == {'reader'}
    require_body(found.parts['reader'], arrays, 'realm.')
    require_equal(beside_body(found.parts['reader']), span_scores(arrays))
    assert found.settings == {'finetune.reader_layer_norm_epsilon': 1e-3}


def test_open_question_answering_has_towers_reader_and_blocks(tmp_path):
    path, arrays = directory(tmp_path / 'x', layouts.openqa, OPENQA)
    found = read(path, allow_pickle=False)
    assert found.parts.keys() == {'query_tower', 'document_tower', 'reader'}
    require_body(found.parts['query_tower'], arrays, 'embedder.realm.')
    require_equal(beside_body(found.parts['query_tower']), tower_heads(arrays, 'embedder.'))
    require_body(found.parts['reader'], arrays, 'reader.realm.')
    require_equal(beside_body(found.parts['reader']), span_scores(arrays, 'reader.'))
    np.testing.assert_array_equal(found.block_embeddings, arrays['block_emb'])
    # Not in memory: in the paper's size they are 6.8 GB.
    assert isinstance(found.block_embeddings, np.memmap)


def test_a_bert_with_its_pooler_and_head(tmp_path):
    path, arrays = directory(tmp_path / 'x', layouts.bert_for_pre_training, layouts.BERT)
    parts = read(path, allow_pickle=False).parts
    require_body(parts['bert'], arrays, 'bert.')
    pooler = {'pooler/kernel': arrays['bert.pooler.dense.weight'].T, 'pooler/bias': arrays['bert.pooler.dense.bias']}
    require_equal(beside_body(parts['bert']), pooler | head(arrays))


def test_a_bare_bert(tmp_path):
    path, arrays = directory(tmp_path / 'x', layouts.body, layouts.BERT)
    require_body(read(path, allow_pickle=False).parts['bert'], arrays, '')


def test_the_names_of_old_files(tmp_path):
    arrays = random_arrays(layouts.bert_for_pre_training(layouts.BERT))
    old = {
        name.replace('LayerNorm.weight', 'LayerNorm.gamma').replace('LayerNorm.bias', 'LayerNorm.beta'): array
        for name, array in arrays.items()
    }
    path = write_directory(tmp_path / 'x', layouts.BERT, old)
    require_body(read(path, allow_pickle=False).parts['bert'], arrays, 'bert.')


@pytest.mark.parametrize('dtype', [np.float16, ml_dtypes.bfloat16])
def test_half_precision_becomes_float32(tmp_path, dtype):
    arrays = {name: array.astype(dtype) for name, array in random_arrays(layouts.encoder(CONFIG)).items()}
    part = read(write_directory(tmp_path / 'x', CONFIG, arrays), allow_pickle=False).parts[
        'knowledge_augmented_encoder'
    ]
    assert {array.dtype for array in part.values()} == {np.dtype(np.float32)}
    require_body(part, {name: array.astype(np.float32) for name, array in arrays.items()}, 'realm.')


def test_a_model_in_shards(tmp_path):
    path, arrays = directory(tmp_path / 'x', layouts.encoder)
    (path / 'model.safetensors').unlink()
    names = sorted(arrays)
    shards = {'model-00001-of-00002.safetensors': names[::2], 'model-00002-of-00002.safetensors': names[1::2]}
    for shard, of_shard in shards.items():
        write_tensors({name: arrays[name] for name in of_shard}, path / shard)
    weight_map = {name: shard for shard, of_shard in shards.items() for name in of_shard}
    (path / 'model.safetensors.index.json').write_text(json.dumps({'weight_map': weight_map}))
    require_body(read(path, allow_pickle=False).parts['knowledge_augmented_encoder'], arrays, 'realm.')
    assert len(hugging_face.files(path)) == 5
    (path / 'model-00002-of-00002.safetensors').unlink()
    with pytest.raises(RealmError, match=r'no weights at .*model-00002-of-00002'):
        read(path, allow_pickle=False)


def cut(path):
    whole = (path / 'model.safetensors').read_bytes()
    (path / 'model.safetensors').write_bytes(whole[:-100])


QUERY = 'realm.encoder.layer.1.attention.self.query.weight'


@pytest.mark.parametrize(
    ('changed', 'config', 'damage', 'message'),
    [
        ({QUERY: None}, {}, None, f'lacks {QUERY}'),
        ({QUERY: np.zeros((16, 8), np.float32)}, {}, None, rf'{QUERY} has the shape \(16, 8\); .* \(16, 16\)'),
        ({'cls.dense.weight': np.zeros((9, 16), np.float32)}, {}, None, r'cls.dense.weight .* \(9, 16\); .* \(8, 16\)'),
        ({'cls.more': np.zeros(3, np.float32)}, {}, None, 'unexpected cls.more'),
        ({}, {'vocab_size': 51}, None, r'word_embeddings.weight has the shape \(50, 16\); .* \(51, 16\)'),
        ({}, {'num_hidden_layers': 1}, None, 'unexpected realm.encoder.layer.1'),
        ({}, {'hidden_act': 'relu'}, None, "hidden_act = 'relu'"),
        ({}, {'hidden_size': None}, None, 'config.json has hidden_size = None: Input should be a valid integer'),
        ({}, {'num_attention_heads': 3}, None, 'num_attention_heads = 3: .* must divide the hidden size, which is 16'),
        ({}, {'model_type': 'roberta'}, None, "model_type = 'roberta', where one of bert, realm"),
        ({}, {}, cut, 'cannot be read as safetensors'),
        ({}, {}, lambda path: (path / 'config.json').write_text('{'), 'cannot be read as the configuration'),
        ({}, {}, lambda path: (path / 'config.json').write_text('{}'), 'model_type = None'),
        ({}, {}, lambda path: (path / 'config.json').write_text('[]'), 'config.json cannot .* no JSON object'),
        ({}, {}, lambda path: (path / 'config.json').write_bytes(b'{"a": "\xc3'), 'config.json cannot .* whole'),
        ({}, {}, lambda path: (path / 'vocab.txt').write_bytes(b'[PAD]\nb\xc3'), 'vocab.txt is not UTF-8 in line 2'),
        ({}, {}, lambda path: (path / 'model.safetensors').unlink(), 'no weights in'),
        ({}, {}, lambda path: (path / 'vocab.txt').write_text('a\nb\n'), 'not a BERT vocabulary'),
    ],
)
def test_what_is_wrong_is_named(tmp_path, changed, config, damage, message):
    path, _ = directory(tmp_path / 'x', layouts.embedder, **changed)
    if config:
        (path / 'config.json').write_text(json.dumps(CONFIG | config))
    if damage:
        damage(path)
    with pytest.raises(RealmError, match=message):
        read(path, allow_pickle=False)


@pytest.mark.parametrize(
    'name', ['cls.predictions.transform.dense.bias', 'cls.predictions.bias', 'bert.pooler.dense.weight']
)
def test_half_a_head_is_refused(tmp_path, name):
    path, _ = directory(tmp_path / 'x', layouts.bert_for_pre_training, layouts.BERT, **{name: None})
    with pytest.raises(RealmError, match=f'lacks {name}'):
        read(path, allow_pickle=False)


@pytest.mark.parametrize('name', ['cls.predictions.transform.more.weight', 'bert.pooler.more'])
def test_more_than_a_head_is_refused(tmp_path, name):
    more = {name: np.zeros(3, np.float32)}
    path, _ = directory(tmp_path / 'x', layouts.bert_for_pre_training, layouts.BERT, **more)
    with pytest.raises(RealmError, match=f'unexpected {name}'):
        read(path, allow_pickle=False)


def test_a_head_with_word_embeddings_of_its_own_is_refused(tmp_path):
    shape = (CONFIG['vocab_size'], CONFIG['hidden_size'])
    path, _ = directory(
        tmp_path / 'x', layouts.encoder, **{'cls.predictions.decoder.weight': np.ones(shape, np.float32)}
    )
    with pytest.raises(RealmError, match=r'decoder\.weight is not the word embeddings'):
        read(path, allow_pickle=False)


def test_a_file_that_torch_wrote_is_read_without_it():
    """`pytorch_model.bin` and `model.safetensors` of one embedder, from transformers."""
    golden = pathlib.Path(__file__).parents[1] / 'oracle' / 'golden'
    with pytest.raises(RealmError, match='--allow-pickle'):
        read(golden / 'embedder_pickled', allow_pickle=False)
    found = read(golden / 'embedder_pickled', allow_pickle=True).parts
    expected = read(golden / 'embedder', allow_pickle=False).parts
    for part in ('query_tower', 'document_tower'):
        require_equal(found[part], expected[part])
