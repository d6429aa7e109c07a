"""The layers run on another backend of Keras, and need no TensorFlow of their own."""

import ast
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from realm_tf.config import load_config
from realm_tf.weights.networks import make_knowledge_augmented_encoder, make_reader, make_retriever
from realm_tf.weights.parameters import save_parameters

MODELS = pathlib.Path(__file__).parents[2] / 'realm_tf' / 'models'

ON_JAX = """
import sys
import numpy as np
import keras
from realm_tf.config import load_config
from realm_tf.weights.networks import make_knowledge_augmented_encoder, make_reader, make_retriever
from realm_tf.weights.parameters import load_parameters
from realm_tf.models import losses
from realm_tf.models.dropout import Dropout

assert keras.backend.backend() == 'jax'
directory = sys.argv[1]
arrays = np.load(f'{directory}/inputs.npz')
tokens, segments, masks = arrays['tokens'], arrays['segments'], arrays['masks']
config = load_config('tiny', overrides={'encoder.vocabulary_size': 200})
networks = make_retriever(config), make_knowledge_augmented_encoder(config), make_reader(config)
for network in networks:
    load_parameters(network, f'{directory}/{network.name}.safetensors')
retriever, encoder, reader = networks
logits, is_span = reader(tokens, segments)
gold = losses.gold_log_probabilities(encoder(tokens, segments, masks)[None], masks[:1] * 0 + 7)
drop = Dropout(0.25).drawn(training=True)
ones = np.ones((100, 1000), np.float32)
assert abs((np.asarray(drop(ones)) == 0).mean() - 0.25) < 0.01 and (drop(ones) == drop(ones)).all()
np.savez(
    f'{directory}/outputs.npz', scores=retriever(tokens, tokens, segments), gold=gold, logits=logits, is_span=is_span
)
"""


def test_the_networks_compute_the_same_on_jax(tmp_path):
    pytest.importorskip('jax', reason='needs jax')
    config = load_config('tiny', overrides={'encoder.vocabulary_size': 200})
    tokens = np.random.default_rng(0).integers(5, 200, (3, 10)).astype(np.int32)
    tokens[1, 7:] = 0
    segments = np.where(tokens > 0, [[0] * 4 + [1] * 6], 0).astype(np.int32)
    masks = np.repeat([[1, 4]], 3, axis=0).astype(np.int32)
    np.savez(tmp_path / 'inputs.npz', tokens=tokens, segments=segments, masks=masks)
    networks = make_retriever(config), make_knowledge_augmented_encoder(config), make_reader(config)
    for network in networks:
        save_parameters(network, tmp_path / f'{network.name}.safetensors')
    environment = os.environ | {'KERAS_BACKEND': 'jax', 'JAX_PLATFORMS': 'cpu'}
    subprocess.run([sys.executable, '-c', ON_JAX, str(tmp_path)], env=environment, check=True, cwd=MODELS.parents[1])
    found = np.load(tmp_path / 'outputs.npz')
    retriever, encoder, reader = networks
    from realm_tf.models import losses

    gold = losses.gold_log_probabilities(np.asarray(encoder(tokens, segments, masks))[None], masks[:1] * 0 + 7)
    logits, is_span = reader(tokens, segments)
    np.testing.assert_allclose(found['scores'], retriever(tokens, tokens, segments), atol=1e-4)
    np.testing.assert_allclose(found['gold'], gold, atol=1e-4)
    np.testing.assert_array_equal(found['is_span'], is_span)
    np.testing.assert_allclose(found['logits'][is_span], np.asarray(logits)[is_span], atol=1e-4)


@pytest.mark.parametrize('path', sorted(MODELS.glob('*.py')), ids=lambda path: path.stem)
def test_models_import_keras_alone(path):
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module)
    allowed = {'keras', 'functools', 'math', 'collections.abc'}
    # What Keras has for these is undone by XLA with TensorFlow, or takes twice as long there.
    allowed |= {'tensorflow'} if path.stem in ('recomputation', 'dropout') else set()
    assert {name for name in imported if not name.startswith('realm_tf.models.')} <= allowed
