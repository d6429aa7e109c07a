"""A query tower between where its fine-tuning began and where it ended."""

import dataclasses

import numpy as np
import pytest

from realm_tf.artifacts import make_artifact
from realm_tf.errors import RealmError
from realm_tf.weights.encoder_artifact import RETRIEVER, Encoder
from realm_tf.weights.import_weights import import_weights
from realm_tf.weights.interpolate import interpolate
from realm_tf.weights.model_artifact import READER, Model
from realm_tf.weights.tensor_files import read_tensors

QUESTION = np.array([[2, 5, 6, 3]], np.int32)


@pytest.mark.parametrize('share', [0.0, 0.25, 1.0])
def test_each_weight_is_between_before_and_after(tmp_path, tiny_model, tiny_encoder, share):
    made = interpolate([tiny_model], tiny_encoder, share, tmp_path / 'model')
    before, after, found = (read_tensors(path / RETRIEVER) for path in (tiny_encoder, tiny_model, made.path))
    assert found.keys() == after.keys()
    assert any(not np.array_equal(before[name], after[name]) for name in after)
    for name, value in found.items():
        np.testing.assert_allclose(value, (1 - share) * before[name] + share * after[name], rtol=1e-6, atol=1e-8)
    readers = read_tensors(tiny_model / READER), read_tensors(made.path / READER)
    assert all(np.array_equal(readers[0][name], readers[1][name]) for name in readers[0])


def test_of_several_models_it_is_the_mean(tmp_path, tiny_model, tiny_encoder):
    half = interpolate([tiny_model], tiny_encoder, 0.5, tmp_path / 'half')
    made = interpolate([half.path, tiny_model], tiny_encoder, 1.0, tmp_path / 'model')
    expected = interpolate([tiny_model], tiny_encoder, 0.75, tmp_path / 'expected')
    found, wanted = (read_tensors(artifact.path / RETRIEVER) for artifact in (made, expected))
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-6, atol=1e-8)
    assert made.digest != interpolate([half.path], tiny_encoder, 1.0, tmp_path / 'of one').digest


def test_every_model_has_to_begin_with_the_encoder(tmp_path, tiny_model, tiny_encoder):
    model = Model.open(tiny_model).artifact
    inputs = {**model.inputs, 'encoder': 'another'}
    with make_artifact(tmp_path / 'other', 'model', configuration=model.configuration, inputs=inputs) as draft:
        (draft.path / 'vocab.txt').write_bytes((tiny_model / 'vocab.txt').read_bytes())
    with pytest.raises(RealmError, match='other was not made from the encoder'):
        interpolate([tiny_model, tmp_path / 'other'], tiny_encoder, 0.5, tmp_path / 'model')


def test_without_any_share_questions_are_embedded_as_by_the_encoder(tmp_path, tiny_model, tiny_encoder):
    made = Model.open(interpolate([tiny_model], tiny_encoder, 0.0, tmp_path / 'model').path)
    expected, found, tuned = (
        np.asarray(artifact.retriever().embed_queries(QUESTION))
        for artifact in (Encoder.open(tiny_encoder), made, Model.open(tiny_model))
    )
    np.testing.assert_array_equal(found, expected)
    assert not np.array_equal(tuned, expected)


def test_it_answers_with_the_same_embeddings_and_is_made_once(tmp_path, tiny_model, tiny_encoder, tiny_embeddings):
    made = interpolate([tiny_model], tiny_encoder, 0.5, tmp_path / 'model')
    for role in ('encoder', 'embeddings', 'corpus'):
        assert made.inputs[role] == Model.open(tiny_model).artifact.inputs[role]
    assert interpolate([tiny_model], tiny_encoder, 0.5, tmp_path / 'model').digest == made.digest
    with pytest.raises(RealmError, match='overwrite'):
        interpolate([tiny_model], tiny_encoder, 0.75, tmp_path / 'model')
    assert interpolate([tiny_model], tiny_encoder, 0.75, made.path, overwrite=True).digest != made.digest


def test_another_encoder_is_refused(tmp_path, pretrained_directory, tiny_config, tiny_model):
    import_weights([pretrained_directory], tmp_path / 'encoder', dataclasses.replace(tiny_config, seed=1), random=True)
    with pytest.raises(RealmError, match='was not made from the encoder'):
        interpolate([tiny_model], tmp_path / 'encoder', 0.5, tmp_path / 'model')


def test_a_model_with_documents_of_its_own_is_refused(tmp_path, tiny_model, tiny_encoder):
    model = Model.open(tiny_model).artifact
    refreshed = {**model.configuration, 'finetune': {**model.configuration['finetune'], 'refresh': 'synchronous'}}
    with make_artifact(tmp_path / 'refreshed', 'model', configuration=refreshed, inputs=model.inputs) as draft:
        (draft.path / 'vocab.txt').write_bytes((tiny_model / 'vocab.txt').read_bytes())
    with pytest.raises(RealmError, match=r'finetune\.refresh = synchronous: the query tower'):
        interpolate([tmp_path / 'refreshed'], tiny_encoder, 0.5, tmp_path / 'model')
