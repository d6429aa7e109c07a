"""How far the weights have gone from those of the index."""

import dataclasses

import pytest

from realm_tf.config import recipe
from realm_tf.files import read_json_lines
from realm_tf.training import pretrain
from realm_tf.training.runs import prepare_run


@pytest.mark.parametrize('accumulation_steps, learning_rate', [(1, 0.0), (2, 0.0), (1, 1e-3)])
def test_the_weights_drift_and_not_their_dropout(
    tmp_path, tiny_corpus, tiny_spans, first, tiny_config, accumulation_steps, learning_rate
):
    optimizer = dataclasses.replace(tiny_config.pretrain.optimizer, learning_rate=learning_rate, warmup_steps=0)
    settings = {'steps': 4, 'refresh': 'none', 'refresh_every': 2, 'accumulation_steps': accumulation_steps}
    config = dataclasses.replace(
        tiny_config,
        encoder=dataclasses.replace(tiny_config.encoder, dropout=0.1),
        pretrain=dataclasses.replace(tiny_config.pretrain, optimizer=optimizer, **settings),
    )
    prepare_run(tmp_path, 'encoder', configuration=recipe(config, *pretrain.RECIPE), inputs={})
    pretrain.train(tiny_corpus, tiny_spans, first.encoder, first.embeddings, first.index, tmp_path, config)
    drifts = {line['step']: line['drift'] for line in read_json_lines(tmp_path / 'metrics.jsonl') if 'drift' in line}
    assert list(drifts) == [2, 4]
    if learning_rate:
        assert drifts[4] < drifts[2] < 0.9999
    else:
        assert drifts == pytest.approx({2: 1, 4: 1}, abs=1e-5)
