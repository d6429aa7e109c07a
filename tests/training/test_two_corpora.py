"""Pre-training on the sentences of one corpus, with the knowledge of another."""

import json

import numpy as np
import pytest

from realm_tf.artifacts import open_artifact
from realm_tf.cli import realm
from realm_tf.errors import RealmError


def test_sentences_come_from_the_one_and_candidates_from_the_other(
    tmp_path, news, tiny_corpus, tiny_encoder, tiny_embeddings, tiny_index, capsys
):
    paths = {'--corpus': tiny_corpus, '--spans': news / 'spans', '--encoder': tiny_encoder}
    paths |= {'--embeddings': tiny_embeddings, '--index': tiny_index, '--output': tmp_path / 'run'}
    command = ['pretrain', '--preset', 'tiny', '--set', 'pretrain.steps=3', '--set', 'pretrain.exclude_article=true']
    command += [str(part) for option in paths.items() for part in option]
    with pytest.raises(RealmError, match='was not made from the corpus'):
        realm(command, standalone_mode=False)
    command[command.index(str(tmp_path / 'run'))] = str(tmp_path / 'with both')
    command += ['--pretraining-corpus', str(news / 'corpus')]
    realm(command, standalone_mode=False)

    encoder = open_artifact(tmp_path / 'with both' / 'encoder', 'encoder')
    recipe = json.loads((tmp_path / 'with both' / 'run.json').read_text())
    corpora = {'corpus': tiny_corpus, 'pretraining_corpus': news / 'corpus'}
    for role, path in corpora.items():
        assert encoder.inputs[role] == recipe['inputs'][role] == open_artifact(path, 'corpus').digest
    metrics = [json.loads(line) for line in (tmp_path / 'with both' / 'metrics.jsonl').read_text().splitlines()]
    assert len(metrics) == 3 and np.isfinite([line['loss'] for line in metrics]).all()
    # Made from the same, there is nothing to do.
    realm(command, standalone_mode=False)
    assert capsys.readouterr().out.splitlines()[-1] == f'{tmp_path / "with both"} is up to date.'
