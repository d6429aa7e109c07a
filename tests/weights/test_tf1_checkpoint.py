"""Checkpoints with the exact names and shapes of the authors' and BERT's are read into the right places."""

import dataclasses
import json
import subprocess
import sys
import zlib

import numpy as np
import pytest
import tensorflow as tf

from realm_tf.config import EncoderConfig, load_config
from realm_tf.errors import RealmError
from realm_tf.models.bert_encoder import BertEncoder
from realm_tf.models.knowledge_augmented_encoder import KnowledgeAugmentedEncoder
from realm_tf.models.retriever_tower import RetrieverTower
from realm_tf.models.span_reader import SpanReader
from realm_tf.weights import tf1_checkpoint
from realm_tf.weights.convert import convert
from realm_tf.weights.import_weights import import_weights
from realm_tf.weights.parameters import assign_parameters
from realm_tf.weights.sources import read_source, source_digest

PIECES = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'] + [f'piece{number}' for number in range(45)]
TINY = EncoderConfig(
    num_layers=2,
    hidden_size=128,
    num_heads=2,
    intermediate_size=96,
    vocabulary_size=len(PIECES),
    max_positions=24,
    num_segments=2,
)
EMBEDDING, SPAN, BLOCKS = 16, 12, 37


def dense(name, inputs, outputs):
    return {f'{name}/kernel': (inputs, outputs), f'{name}/bias': (outputs,)}


def layer_norm(name, size):
    return {f'{name}/gamma': (size,), f'{name}/beta': (size,)}


def bert_shapes(prefix='', config=TINY):
    """The variables of BERT's release, the next-sentence head left out."""
    hidden, inner = config.hidden_size, config.intermediate_size
    shapes = {
        'bert/embeddings/word_embeddings': (config.vocabulary_size, hidden),
        'bert/embeddings/position_embeddings': (config.max_positions, hidden),
        'bert/embeddings/token_type_embeddings': (config.num_segments, hidden),
        **layer_norm('bert/embeddings/LayerNorm', hidden),
        **dense('bert/pooler/dense', hidden, hidden),
        **dense('cls/predictions/transform/dense', hidden, hidden),
        **layer_norm('cls/predictions/transform/LayerNorm', hidden),
        'cls/predictions/output_bias': (config.vocabulary_size,),
    }
    for number in range(config.num_layers):
        layer = f'bert/encoder/layer_{number}'
        for part in ('query', 'key', 'value'):
            shapes |= dense(f'{layer}/attention/self/{part}', hidden, hidden)
        shapes |= dense(f'{layer}/attention/output/dense', hidden, hidden)
        shapes |= layer_norm(f'{layer}/attention/output/LayerNorm', hidden)
        shapes |= dense(f'{layer}/intermediate/dense', hidden, inner)
        shapes |= dense(f'{layer}/output/dense', inner, hidden)
        shapes |= layer_norm(f'{layer}/output/LayerNorm', hidden)
    return {prefix + name: shape for name, shape in shapes.items()}


def embedder_shapes(config=TINY, embedding=EMBEDDING):
    return {
        **bert_shapes('module/module/module/', config),
        **dense('module/module/dense', config.hidden_size, embedding),
        **layer_norm('module/module/LayerNorm', embedding),
    }


def fine_tuned_shapes(config=TINY, embedding=EMBEDDING, span=SPAN):
    trained = {
        **bert_shapes('module/module/module/module/', config),
        **dense('module/module/module/dense', config.hidden_size, embedding),
        **layer_norm('module/module/module/LayerNorm', embedding),
        **bert_shapes('reader/module/', config),
        **dense('reader/dense', config.hidden_size, 2 * span),
        **dense('reader/dense_1', span, 1),
        **layer_norm('reader/layer_normalization', span),
    }
    moments = {f'{name}/{moment}': shape for name, shape in trained.items() for moment in ('adam_m', 'adam_v')}
    return {**trained, **moments}


def values(shapes):
    """An array for each name, that no other name has; around 1 where it is the scale of a LayerNorm."""

    def value(name, shape):
        scale = np.random.default_rng(zlib.crc32(name.encode())).normal(scale=0.1, size=shape)
        return (scale + name.endswith('gamma')).astype(np.float32)

    return {name: value(name, shape) for name, shape in shapes.items()}


def write(prefix, arrays):
    """Writes a checkpoint as TensorFlow 1's Saver does: names, and no graph of objects."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    names = sorted(arrays)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=names,
        shape_and_slices=[''] * len(names),
        tensors=[tf.convert_to_tensor(arrays[name]) for name in names],
    )


def write_pretraining(path, config=TINY, embedding=EMBEDDING, blocks=BLOCKS):
    """Writes the authors' pre-trained directory; returns its arrays by directory."""
    arrays = {'bert': values(bert_shapes(config=config)), 'embedder': values(embedder_shapes(config, embedding))}
    for module, variables in arrays.items():
        write(path / module / 'variables' / 'variables', variables)
    arrays['encoded'] = values({'block_emb': (blocks, embedding)})
    write(path / 'embedder' / 'encoded' / 'encoded.ckpt', arrays['encoded'])
    (path / 'embedder' / 'assets').mkdir()
    (path / 'embedder' / 'assets' / 'vocab.txt').write_text('\n'.join(PIECES) + '\n')
    return arrays


def below(arrays, prefix):
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}


def assert_is_encoder(parameters, weights, numpy_bert, config=TINY):
    """The parameters of a part are those of a BERT: it computes what BERT written out does."""
    encoder = BertEncoder(**dataclasses.asdict(dataclasses.replace(config, dropout=0.0)), dtype='float32')
    encoder.build()
    assign_parameters(encoder, below(parameters, 'encoder/'), 'the test')
    random = np.random.default_rng(0)
    token_ids = random.integers(5, config.vocabulary_size, (2, 11)).astype(np.int32)
    token_ids[1, 7:] = 0
    segment_ids = np.repeat([[0] * 5 + [1] * 6], 2, axis=0).astype(np.int32)
    arguments = (config.num_heads, token_ids, (token_ids != 0).astype(np.int32), segment_ids)
    expected = numpy_bert.sequence_outputs(below(weights, 'bert/'), *arguments)[-1]
    found = np.asarray(encoder(token_ids, segment_ids))
    present = token_ids != 0
    np.testing.assert_allclose(found[present], expected[present], atol=1e-4)


def assert_arrays(parameters, expected):
    for name, array in expected.items():
        np.testing.assert_array_equal(parameters[name], array, err_msg=name)


def head_of(weights):
    return {
        'head/transform/kernel': weights['cls/predictions/transform/dense/kernel'],
        'head/transform/bias': weights['cls/predictions/transform/dense/bias'],
        'head/layer_norm/gamma': weights['cls/predictions/transform/LayerNorm/gamma'],
        'head/layer_norm/beta': weights['cls/predictions/transform/LayerNorm/beta'],
        'head/bias': weights['cls/predictions/output_bias'],
    }


def pooler_of(weights):
    return {'pooler/kernel': weights['bert/pooler/dense/kernel'], 'pooler/bias': weights['bert/pooler/dense/bias']}


def projection_of(weights):
    return {
        'projection/kernel': weights['dense/kernel'],
        'projection/bias': weights['dense/bias'],
        'projection_layer_norm/gamma': weights['LayerNorm/gamma'],
        'projection_layer_norm/beta': weights['LayerNorm/beta'],
    }


def assert_fits(layer, parameters):
    """The network takes the parameters: every name, every shape."""
    layer.build()
    assign_parameters(layer, parameters, 'the test')


def tower(config=TINY, embedding=EMBEDDING):
    return RetrieverTower(dataclasses.asdict(config), projection_size=embedding, dtype='float32')


def test_the_pretrained_directory(tmp_path, bert_in_numpy):
    arrays = write_pretraining(tmp_path)
    assert tf1_checkpoint.recognises(tmp_path)
    found = tf1_checkpoint.read(tmp_path)
    assert found.encoder == TINY
    assert found.vocabulary.pieces == tuple(PIECES)
    assert set(found.parts) == {'query_tower', 'document_tower', 'knowledge_augmented_encoder'}
    embedder = below(arrays['embedder'], 'module/module/module/')
    projection = below(arrays['embedder'], 'module/module/')
    for part in ('query_tower', 'document_tower'):
        assert_is_encoder(found.parts[part], embedder, bert_in_numpy)
        assert_arrays(found.parts[part], pooler_of(embedder) | projection_of(projection))
        assert_fits(tower(), found.parts[part])
    reader = found.parts['knowledge_augmented_encoder']
    assert_is_encoder(reader, arrays['bert'], bert_in_numpy)
    assert_arrays(reader, head_of(arrays['bert']))
    assert_fits(KnowledgeAugmentedEncoder(dataclasses.asdict(TINY), dtype='float32'), reader)
    assert isinstance(found.block_embeddings, np.memmap)
    np.testing.assert_array_equal(found.block_embeddings, arrays['encoded']['block_emb'])
    np.testing.assert_array_equal(found.block_embeddings[5:9], arrays['encoded']['block_emb'][5:9])


def test_the_embedder_alone(tmp_path):
    arrays = write_pretraining(tmp_path)
    found = tf1_checkpoint.read(tmp_path / 'embedder')
    assert set(found.parts) == {'query_tower', 'document_tower'}
    assert found.vocabulary.pieces == tuple(PIECES)
    np.testing.assert_array_equal(found.block_embeddings, arrays['encoded']['block_emb'])


def test_the_reader_of_pretraining_alone_is_a_bert(tmp_path, bert_in_numpy):
    arrays = write_pretraining(tmp_path)
    found = tf1_checkpoint.read(tmp_path / 'bert')
    assert set(found.parts) == {'bert'}
    assert_is_encoder(found.parts['bert'], arrays['bert'], bert_in_numpy)
    assert_arrays(found.parts['bert'], pooler_of(arrays['bert']) | head_of(arrays['bert']))
    assert found.vocabulary is None
    assert found.block_embeddings is None


@pytest.mark.parametrize('named', ['', 'export', 'export/best_default', 'export/best_default/checkpoint'])
def test_the_fine_tuned_model(tmp_path, bert_in_numpy, named):
    arrays = values(fine_tuned_shapes()) | {'global_step': np.int64(68000)}
    write(tmp_path / 'export' / 'best_default' / 'checkpoint' / 'model.ckpt-68000', arrays)
    found = tf1_checkpoint.read(tmp_path / named)
    assert found.encoder == TINY
    assert set(found.parts) == {'query_tower', 'reader'}
    query, reader = found.parts['query_tower'], found.parts['reader']
    assert_is_encoder(query, below(arrays, 'module/module/module/module/'), bert_in_numpy)
    assert_arrays(query, pooler_of(below(arrays, 'module/module/module/module/')))
    assert_arrays(query, projection_of(below(arrays, 'module/module/module/')))
    assert_fits(tower(), query)
    assert_is_encoder(reader, below(arrays, 'reader/module/'), bert_in_numpy)
    expected = {
        'ends/kernel': arrays['reader/dense/kernel'],
        'ends/bias': arrays['reader/dense/bias'],
        'layer_norm/gamma': arrays['reader/layer_normalization/gamma'],
        'layer_norm/beta': arrays['reader/layer_normalization/beta'],
        'score/kernel': arrays['reader/dense_1/kernel'],
        'score/bias': arrays['reader/dense_1/bias'],
    }
    assert_arrays(reader, expected)
    assert_fits(SpanReader(dataclasses.asdict(TINY), span_size=SPAN, dtype='float32'), reader)


def test_bert_as_it_was_released(tmp_path, bert_in_numpy):
    arrays = values({**bert_shapes(), 'cls/seq_relationship/output_weights': (2, 128)})
    arrays |= values({'cls/seq_relationship/output_bias': (2,)})
    write(tmp_path / 'bert_model.ckpt', arrays)
    (tmp_path / 'vocab.txt').write_text('\n'.join(PIECES) + '\n')
    config = {
        'attention_probs_dropout_prob': 0.1,
        'hidden_act': 'gelu',
        'hidden_dropout_prob': 0.1,
        'hidden_size': 128,
        'initializer_range': 0.02,
        'intermediate_size': 96,
        'max_position_embeddings': 24,
        'num_attention_heads': 4,
        'num_hidden_layers': 2,
        'type_vocab_size': 2,
        'vocab_size': 50,
    }
    (tmp_path / 'bert_config.json').write_text(json.dumps(config))
    for path in (tmp_path, tmp_path / 'bert_model.ckpt', tmp_path / 'bert_model.ckpt.index'):
        assert tf1_checkpoint.recognises(path)
        found = tf1_checkpoint.read(path)
        four_heads = dataclasses.replace(TINY, num_heads=4)
        assert found.encoder == four_heads
        assert set(found.parts) == {'bert'}
        assert_is_encoder(found.parts['bert'], arrays, bert_in_numpy, four_heads)
        assert_arrays(found.parts['bert'], pooler_of(arrays) | head_of(arrays))
    names = {file.name for file in tf1_checkpoint.files(tmp_path)}
    data = {'bert_model.ckpt.index', 'bert_model.ckpt.data-00000-of-00001'}
    assert names == data | {'vocab.txt', 'bert_config.json'}
    for setting, value, said in (
        ('hidden_act', 'relu', 'gelu is needed'),
        ('num_hidden_layers', 3, r'num_hidden_layers = 3; .*bert_model.ckpt beside it has 2'),
    ):
        (tmp_path / 'bert_config.json').write_text(json.dumps(config | {setting: value}))
        with pytest.raises(RealmError, match=said):
            tf1_checkpoint.read(tmp_path)
    (tmp_path / 'bert_config.json').write_text('{')
    with pytest.raises(RealmError, match='cannot be read as the configuration of a BERT'):
        tf1_checkpoint.read(tmp_path)


def test_the_newest_of_several_checkpoints_is_read_and_said(tmp_path, capsys):
    for step in (900, 1000, 20):
        arrays = values(bert_shapes())
        write(tmp_path / f'model.ckpt-{step}', arrays | {'cls/predictions/output_bias': np.full(50, step, np.float32)})
    assert tf1_checkpoint.read(tmp_path).parts['bert']['head/bias'][0] == 1000
    assert 'holds 3 checkpoints: model.ckpt-1000 is read' in capsys.readouterr().out
    (tmp_path / 'checkpoint').write_text('model_checkpoint_path: "/home/them/run/model.ckpt-900"\n')
    assert tf1_checkpoint.read(tmp_path).parts['bert']['head/bias'][0] == 900
    assert 'model.ckpt-900 is read' in capsys.readouterr().out
    assert tf1_checkpoint.read(tmp_path / 'model.ckpt-20').parts['bert']['head/bias'][0] == 20
    assert capsys.readouterr().out == ''


QUERY = 'bert/encoder/layer_1/attention/self/query/kernel'


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        ({QUERY: None}, f'lacks {QUERY}'),
        ({'bert/pooler/dense/bias': None}, 'lacks bert/pooler/dense/bias'),
        ({'cls/predictions/strange': (3, 4)}, r'unexpected cls/predictions/strange \(3, 4\)'),
        ({'bert/encoder/layer_0/strange': (3, 4)}, r'unexpected bert/encoder/layer_0/strange \(3, 4\)'),
        ({QUERY: (128, 64)}, rf'{QUERY} has the shape \(128, 64\); .* \(128, 128\)'),
        ({'bert/embeddings/LayerNorm/gamma': (128, 1)}, r'gamma has the shape \(128, 1\); .* \(128\)'),
        ({'module/bert/embeddings/word_embeddings': (50, 128)}, 'both bert/embeddings/word_embeddings and module/bert'),
    ],
)
def test_a_variable_that_is_missing_unexpected_or_misshapen_is_named(tmp_path, change, said):
    shapes = {name: shape for name, shape in (bert_shapes() | change).items() if shape}
    write(tmp_path / 'bert_model.ckpt', values(shapes))
    with pytest.raises(RealmError, match=said):
        tf1_checkpoint.read(tmp_path)


def test_a_hidden_size_that_does_not_tell_the_heads(tmp_path):
    write(tmp_path / 'bert_model.ckpt', values(bert_shapes(config=dataclasses.replace(TINY, hidden_size=100))))
    with pytest.raises(RealmError, match='hidden size of 100 is no multiple of 64'):
        tf1_checkpoint.read(tmp_path)


def test_block_embeddings_of_another_size_than_the_projection(tmp_path):
    write_pretraining(tmp_path)
    write(tmp_path / 'embedder' / 'encoded' / 'encoded.ckpt', values({'block_emb': (BLOCKS, 8)}))
    with pytest.raises(RealmError, match=r'block_emb has the shape \(37, 8\); .* \(any, 16\)'):
        tf1_checkpoint.read(tmp_path)


def test_block_embeddings_of_another_name(tmp_path):
    write_pretraining(tmp_path)
    write(tmp_path / 'embedder' / 'encoded' / 'encoded.ckpt', values({'embeddings': (BLOCKS, EMBEDDING)}))
    with pytest.raises(RealmError, match=r'encoded.ckpt lacks block_emb'):
        tf1_checkpoint.read(tmp_path)


def test_a_bert_without_layers(tmp_path):
    shapes = {name: shape for name, shape in bert_shapes().items() if 'encoder' not in name}
    write(tmp_path / 'bert_model.ckpt', values(shapes))
    with pytest.raises(RealmError, match=r'lacks bert/encoder/layer_0/.* and 11 more'):
        tf1_checkpoint.read(tmp_path)


def test_block_embeddings_beside_another_variable_are_read_too(tmp_path):
    write_pretraining(tmp_path)
    arrays = values({'block_emb': (BLOCKS, EMBEDDING)})
    write(tmp_path / 'embedder' / 'encoded' / 'encoded.ckpt', {'a': np.float32(1), **arrays})
    np.testing.assert_array_equal(tf1_checkpoint.read(tmp_path).block_embeddings, arrays['block_emb'])


def test_two_networks_of_different_sizes(tmp_path):
    write_pretraining(tmp_path)
    other = dataclasses.replace(TINY, intermediate_size=32)
    write(tmp_path / 'bert' / 'variables' / 'variables', values(bert_shapes(config=other)))
    with pytest.raises(RealmError, match=r'intermediate_size=96.*intermediate_size=32'):
        tf1_checkpoint.read(tmp_path)


@pytest.mark.parametrize(
    ('file', 'said'),
    [
        ('embedder/variables/variables.data-00000-of-00001', r'of .*embedder/variables/variables cannot be read'),
        ('embedder/variables/variables.index', 'variables.index cannot be read as a checkpoint'),
        ('embedder/encoded/encoded.ckpt.data-00000-of-00001', r'block_emb of .*encoded.ckpt cannot be read'),
    ],
)
def test_a_file_that_is_cut_off_gives_a_sentence(tmp_path, file, said):
    write_pretraining(tmp_path)
    data = (tmp_path / file).read_bytes()
    for length in (0, len(data) // 2, 3 * len(data) // 4):
        (tmp_path / file).write_bytes(data[:length])
        with pytest.raises(RealmError, match=said):
            tf1_checkpoint.read(tmp_path)


@pytest.mark.parametrize(
    ('file', 'said'),
    [
        ('embedder/variables/variables.data-00000-of-00001', r'of .*embedder/variables/variables cannot be read'),
        ('embedder/variables/variables.index', r'no .*variables.index, which says what the checkpoint holds'),
        ('embedder/encoded/encoded.ckpt.index', r'no .*encoded.ckpt.index, which says'),
        ('embedder/encoded/encoded.ckpt.data-00000-of-00001', r'block_emb of .*encoded.ckpt cannot be read'),
    ],
)
def test_a_file_that_is_missing_gives_a_sentence(tmp_path, file, said):
    write_pretraining(tmp_path)
    (tmp_path / file).unlink()
    with pytest.raises(RealmError, match=said):
        tf1_checkpoint.read(tmp_path)


def test_what_is_no_network_gives_a_sentence(tmp_path):
    write_pretraining(tmp_path)
    with pytest.raises(RealmError, match='holds block_emb, and no BERT'):
        tf1_checkpoint.read(tmp_path / 'embedder' / 'encoded')
    for path in (tmp_path / 'embedder' / 'assets', tmp_path / 'nothing'):
        assert not tf1_checkpoint.recognises(path)
        with pytest.raises(RealmError, match='no TensorFlow 1 checkpoint'):
            tf1_checkpoint.read(path)
    (tmp_path / 'bert' / 'variables').rename(tmp_path / 'bert' / 'moved')
    with pytest.raises(RealmError, match=r'lacks bert/variables/, .*name .*embedder to read that alone'):
        tf1_checkpoint.read(tmp_path)


def test_a_checkpoint_of_tensorflow_2_is_not_taken_for_one_of_tensorflow_1(tmp_path):
    tf.train.Checkpoint(step=tf.Variable(3)).write(str(tmp_path / 'checkpoint-3'))
    assert not tf1_checkpoint.recognises(tmp_path)


def test_it_is_told_from_other_sources_and_known_by_its_content(tmp_path):
    write_pretraining(tmp_path)
    for module in ('embedder', 'bert'):
        # They lie in TF-Hub modules of TensorFlow 1, and are not to be taken for BERTs of TensorFlow Hub.
        (tmp_path / module / 'saved_model.pb').write_bytes(b'')
        assert set(read_source(tmp_path / module).parts) == set(tf1_checkpoint.read(tmp_path / module).parts)
    assert len(read_source(tmp_path).parts) == 3
    digest = source_digest(tmp_path)
    assert digest == source_digest(tmp_path)
    write(tmp_path / 'embedder' / 'encoded' / 'encoded.ckpt', {'block_emb': np.ones((BLOCKS, EMBEDDING), np.float32)})
    assert digest != source_digest(tmp_path)


def test_from_the_authors_directory_to_an_encoder_and_on_to_tensorflow_hub(tmp_path):
    write_pretraining(tmp_path / 'authors')
    settings = {f'encoder.{name}': value for name, value in dataclasses.asdict(TINY).items()}
    config = load_config('paper', overrides={**settings, 'retriever.projection_size': EMBEDDING})
    import_weights([tmp_path / 'authors'], tmp_path / 'encoder', config)
    (directory,) = convert(tmp_path / 'encoder', tmp_path / 'hub', 'tf-hub')
    found = read_source(directory)
    expected = tf1_checkpoint.read(tmp_path / 'authors').parts['query_tower']
    assert found.encoder == TINY
    assert_arrays(found.parts['bert'], {name: expected[name] for name in expected if 'projection' not in name})
    with pytest.raises(RealmError, match='not empty'):
        convert(tmp_path / 'encoder', tmp_path / 'hub', 'tf-hub')


READ_A_SLICE = """
import resource, sys
from realm_tf.weights import tf1_checkpoint
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
import tensorflow
blocks = tf1_checkpoint._block_embeddings_of(tf1_checkpoint.epath.Path(sys.argv[1]), {'E': 128})
before = peak()
total = sum(float(blocks[start : start + 1000, 0].sum()) for start in range(0, len(blocks), 100_000))
print(blocks.shape[0], peak() - before, total)
"""


@pytest.mark.slow
def test_at_full_size(tmp_path, bert_in_numpy):
    """BERT-base with the authors' names; the block embeddings have 1,000,000 rows, theirs 13,353,718."""
    base, blocks = EncoderConfig(), 1_000_000
    arrays = write_pretraining(tmp_path, base, 128, blocks)
    (tmp_path / 'embedder' / 'assets' / 'vocab.txt').unlink()
    found = tf1_checkpoint.read(tmp_path)
    assert found.encoder == base
    embedder = below(arrays['embedder'], 'module/module/module/')
    assert_is_encoder(found.parts['document_tower'], embedder, bert_in_numpy, base)
    assert_fits(tower(base, 128), found.parts['document_tower'])
    assert_is_encoder(found.parts['knowledge_augmented_encoder'], arrays['bert'], bert_in_numpy, base)
    assert_fits(
        KnowledgeAugmentedEncoder(dataclasses.asdict(base), dtype='float32'), found.parts['knowledge_augmented_encoder']
    )
    np.testing.assert_array_equal(found.block_embeddings[::9999], arrays['encoded']['block_emb'][::9999])
    fine_tuned = {name: shape for name, shape in fine_tuned_shapes(base, 128, 256).items() if '/adam_' not in name}
    arrays = values(fine_tuned)
    write(tmp_path / 'qa' / 'model.ckpt-1', arrays)
    found = tf1_checkpoint.read(tmp_path / 'qa')
    assert_is_encoder(found.parts['reader'], below(arrays, 'reader/module/'), bert_in_numpy, base)
    assert_fits(SpanReader(dataclasses.asdict(base), dtype='float32'), found.parts['reader'])
    assert_fits(tower(base, 128), found.parts['query_tower'])


@pytest.mark.slow
def test_a_slice_of_the_block_embeddings_costs_a_slice_of_memory(tmp_path):
    rows = 1_000_000
    write(tmp_path / 'encoded' / 'encoded.ckpt', {'block_emb': np.ones((rows, 128), np.float32)})
    command = [sys.executable, '-c', READ_A_SLICE, str(tmp_path / 'variables' / 'variables')]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    found, megabytes, total = map(float, ended.stdout.split())
    assert (found, total) == (rows, 10 * 1000)
    # 512 MB as a whole.
    assert megabytes < 64
