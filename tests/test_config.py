import json

import pytest

from realm_tf.config import (
    PRESETS,
    Config,
    config_from_dict,
    config_to_dict,
    load_config,
    parse_overrides,
    recipe,
    to_yaml,
)
from realm_tf.errors import RealmError


def test_the_paper_is_the_default():
    assert load_config('paper') == Config()
    assert Config().pretrain.num_candidates == 8
    assert Config().ict.optimizer.learning_rate == 1e-4
    assert Config().finetune.optimizer.learning_rate == 1e-5


@pytest.mark.parametrize('preset', PRESETS)
def test_every_preset_survives_json_and_yaml(preset, tmp_path):
    config = load_config(preset)
    assert config_from_dict(json.loads(json.dumps(config_to_dict(config)))) == config
    (tmp_path / 'config.yaml').write_text(to_yaml(config))
    assert load_config('paper', tmp_path / 'config.yaml') == config


def test_file_wins_over_preset_and_override_over_file(tmp_path):
    (tmp_path / 'config.yaml').write_text('ict: {steps: 5, batch_size: 6}')
    config = load_config('small', tmp_path / 'config.yaml', parse_overrides(['ict.steps=7', 'seed=3']))
    assert (config.ict.steps, config.ict.batch_size, config.seed) == (7, 6, 3)
    assert config.ict.optimizer == load_config('small').ict.optimizer


@pytest.mark.parametrize(
    ('override', 'sentence'),
    [
        ('pretrain.step=1', "no setting 'pretrain.step'"),
        ('nonsense=1', "no setting 'nonsense'"),
        ('pretrain.steps=many', "pretrain.steps = 'many'.*valid integer"),
        ('encoder.activation=relu', "'gelu_tanh' or 'gelu'"),
        ('seed', 'is not NAME=VALUE'),
        ('finetune.batch_size=0', 'finetune.batch_size = 0: input should be greater than 0'),
        ('finetune.max_steps=0', 'finetune.max_steps = 0: input should be greater than 0'),
        ('encoder.dropout=1', 'encoder.dropout = 1: input should be less than 1'),
        ('corpus.block_length=3', 'corpus.block_length = 3: input should be greater than 3'),
        ('index.recall=95', 'index.recall = 95: input should be less than or equal to 1'),
        ('index.recall=0.9', 'index.minimum_recall = 0.9: it must be less than index.recall, which is 0.9'),
        ('pretrain.refresh_every=0-20:5', "pretrain.refresh_every = '0-20:5': the last phase must have no end"),
        ('pretrain.max_stale_steps=4', 'pretrain.max_stale_steps = 4: it must be more than the 4 steps'),
        ('finetune.max_stale_steps=25', 'finetune.max_stale_steps = 25: it must be more than the 25 steps'),
        ('finetune.fresh_candidates=2', 'while finetune.refresh is none, as the document tower is frozen'),
        ('finetune={refresh: external, objective: reader}', 'no document tower is trained with the reader alone'),
        ('finetune={refresh: external, fresh_candidates: 201}', 'from 1 to finetune.num_candidates, which is 200'),
    ],
)
def test_a_wrong_setting_is_named(override, sentence):
    with pytest.raises(RealmError, match=sentence):
        load_config('small', overrides=parse_overrides([override]))


def test_an_unknown_preset_lists_the_known_ones():
    with pytest.raises(RealmError, match='paper, base, small, tiny'):
        load_config('large')


def test_a_recipe_holds_what_a_stage_depends_on():
    config = load_config('tiny')
    saved = recipe(config, 'ict')
    assert set(saved) == {'precision', 'rematerialize', 'skip_padding', 'seed', 'encoder', 'retriever', 'ict'}
    assert config_from_dict(saved).ict == config.ict
