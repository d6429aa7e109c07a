"""Hugging Face directories with random arrays, their names spelled out as transformers 4.40 has them."""

import json
import pathlib

import numpy as np

from realm_tf.weights.tensor_files import write_tensors

SPECIAL = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
PIECES = SPECIAL + [f'w{number}' for number in range(45)]
CONFIG = {
    'model_type': 'realm',
    'num_hidden_layers': 2,
    'hidden_size': 16,
    'num_attention_heads': 2,
    'intermediate_size': 24,
    'vocab_size': len(PIECES),
    'max_position_embeddings': 64,
    'type_vocab_size': 2,
    'hidden_act': 'gelu_new',
    'layer_norm_eps': 1e-12,
    'retriever_proj_size': 8,
    'span_hidden_size': 6,
    'reader_layer_norm_eps': 1e-3,
}
BERT = CONFIG | {'model_type': 'bert'}
# The settings that fit it.
SETTINGS = {
    'precision': 'float32',
    'encoder.num_layers': 2,
    'encoder.hidden_size': 16,
    'encoder.num_heads': 2,
    'encoder.intermediate_size': 24,
    'encoder.vocabulary_size': len(PIECES),
    'encoder.max_positions': 64,
    'retriever.projection_size': 8,
    'finetune.reader_hidden_size': 6,
}


def dense(name, inputs, outputs):
    return {f'{name}.weight': (outputs, inputs), f'{name}.bias': (outputs,)}


def layer_norm(name, size):
    return {f'{name}.weight': (size,), f'{name}.bias': (size,)}


def below(prefix, shapes):
    return {f'{prefix}{name}': shape for name, shape in shapes.items()}


def body(config):
    """Shapes of a `BertModel` with its pooler."""
    hidden, inner = config['hidden_size'], config['intermediate_size']
    shapes = {
        'embeddings.word_embeddings.weight': (config['vocab_size'], hidden),
        'embeddings.position_embeddings.weight': (config['max_position_embeddings'], hidden),
        'embeddings.token_type_embeddings.weight': (config['type_vocab_size'], hidden),
        **layer_norm('embeddings.LayerNorm', hidden),
        **dense('pooler.dense', hidden, hidden),
    }
    for layer in range(config['num_hidden_layers']):
        shapes |= below(
            f'encoder.layer.{layer}.',
            {
                **dense('attention.self.query', hidden, hidden),
                **dense('attention.self.key', hidden, hidden),
                **dense('attention.self.value', hidden, hidden),
                **dense('attention.output.dense', hidden, hidden),
                **layer_norm('attention.output.LayerNorm', hidden),
                **dense('intermediate.dense', hidden, inner),
                **dense('output.dense', inner, hidden),
                **layer_norm('output.LayerNorm', hidden),
            },
        )
    return shapes


def predictions(config):
    hidden = config['hidden_size']
    return {
        'cls.predictions.bias': (config['vocab_size'],),
        **dense('cls.predictions.transform.dense', hidden, hidden),
        **layer_norm('cls.predictions.transform.LayerNorm', hidden),
    }


def embedder(config):
    return {
        **below('realm.', body(config)),
        **predictions(config),
        'cls.predictions.decoder.weight': (config['vocab_size'], config['hidden_size']),
        **dense('cls.dense', config['hidden_size'], config['retriever_proj_size']),
        **layer_norm('cls.LayerNorm', config['retriever_proj_size']),
    }


def scorer(config):
    return below('embedder.', embedder(config)) | below('query_embedder.', embedder(config))


def encoder(config):
    return below('realm.', body(config)) | predictions(config)


def reader(config):
    return {
        **below('realm.', body(config)),
        **predictions(config),
        'cls.predictions.decoder.weight': (config['vocab_size'], config['hidden_size']),
        **dense('qa_outputs.dense_intermediate', config['hidden_size'], 2 * config['span_hidden_size']),
        **dense('qa_outputs.dense_output', config['span_hidden_size'], 1),
        **layer_norm('qa_outputs.layer_normalization', config['span_hidden_size']),
    }


def openqa(config):
    blocks = {'block_emb': (config['num_block_records'], config['retriever_proj_size'])}
    return blocks | below('embedder.', embedder(config)) | below('reader.', reader(config))


def bert_for_pre_training(config):
    heads = predictions(config) | dense('cls.seq_relationship', config['hidden_size'], 2)
    return below('bert.', body(config)) | heads


def random_arrays(shapes, seed=0):
    generator = np.random.default_rng(seed)
    return {
        name: generator.normal(float('LayerNorm.weight' in name), 0.3, shape).astype(np.float32)
        for name, shape in shapes.items()
    }


def write_directory(path, config, arrays, pieces=PIECES) -> pathlib.Path:
    """Writes `config.json`, `vocab.txt` and `model.safetensors`."""
    path.mkdir(parents=True)
    (path / 'config.json').write_text(json.dumps(config))
    if pieces:
        (path / 'vocab.txt').write_text('\n'.join(pieces) + '\n')
    write_tensors(arrays, path / 'model.safetensors')
    return path
