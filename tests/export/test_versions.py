"""Numbers of versions: none is taken twice, whatever lies in the directory and whoever else writes there."""

import shutil

import pytest

from export.__main__ import export
from export.versions import KIND, SERVING, newest_version, next_version
from realm_tf.artifacts import make_artifact, open_artifact
from realm_tf.errors import RealmError
from realm_tf.locks import lock


def write_artifact(path):
    with make_artifact(path, KIND, configuration={}, inputs={}) as draft:
        (draft.path / 'file').write_text('text')


def test_the_next_version_is_after_all_that_are_there_and_the_newest_is_whole(tmp_path):
    assert (newest_version(tmp_path / 'none'), next_version(tmp_path / 'none')) == (0, 1)
    write_artifact(tmp_path / '2')
    for name in ('3', '10', '.11', 'serving', '1a'):
        (tmp_path / name).mkdir()
    assert (newest_version(tmp_path), next_version(tmp_path)) == (2, 11)


def test_an_export_goes_beside_what_is_there(tmp_path, tiny_model, tiny_corpus, tiny_embeddings):
    paths = {'--model': tiny_model, '--corpus': tiny_corpus, '--embeddings': tiny_embeddings, '--output': tmp_path}
    arguments = [str(part) for pair in paths.items() for part in pair]
    # Of somebody else, and what an export of something else left behind.
    (tmp_path / '1').mkdir()
    (tmp_path / '1' / 'saved_model.pb').write_text('foreign')
    write_artifact(tmp_path / '.2')
    with lock(tmp_path / 'export.lock'), pytest.raises(RealmError, match='is in use by process'):
        export.main(arguments, standalone_mode=False)
    export.main(arguments, standalone_mode=False)
    assert set(open_artifact(tmp_path / '2', KIND).inputs) == {'model', 'corpus', 'embeddings'}
    assert {path.name for path in tmp_path.iterdir()} == {'1', '2', 'serving', 'export.lock'}
    assert (tmp_path / '1' / 'saved_model.pb').read_text() == 'foreign'


def test_no_version_is_without_what_a_server_is_started_with(
    tmp_path, tiny_export, tiny_model, tiny_corpus, tiny_embeddings, capsys
):
    paths = {'--model': tiny_model, '--corpus': tiny_corpus, '--embeddings': tiny_embeddings, '--output': tmp_path}
    arguments = [str(part) for pair in paths.items() for part in pair]
    # As good as interrupted there.
    (tmp_path / SERVING).write_text('in the way')
    with pytest.raises(FileExistsError):
        export.main(arguments, standalone_mode=False)
    assert newest_version(tmp_path) == 0
    (tmp_path / SERVING).unlink()
    shutil.copytree(tiny_export / '1', tmp_path / '1')
    export.main(arguments, standalone_mode=False)
    assert capsys.readouterr().out == f'{tmp_path / "1"} is up to date.\n'
    names = {path.name for path in (tiny_export / SERVING).iterdir()}
    assert {path.name for path in (tmp_path / SERVING).iterdir()} == names
    for name in names:
        assert (tmp_path / SERVING / name).read_text() == (tiny_export / SERVING / name).read_text()
