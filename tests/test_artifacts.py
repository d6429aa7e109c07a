import json
import os
import signal
import subprocess
import sys
import time

import pytest

from realm_tf.artifacts import MANIFEST, make_artifact, open_artifact, outdated_because
from realm_tf.errors import RealmError


def make(path, text='text', configuration=None, inputs=None, overwrite=False):
    with make_artifact(
        path, 'corpus', configuration=configuration or {'length': 3}, inputs=inputs or {}, overwrite=overwrite
    ) as draft:
        (draft.path / 'part').mkdir(exist_ok=True)
        (draft.path / 'part' / 'file.txt').write_text(text)
        draft.counts['blocks'] = 1
    return open_artifact(path, 'corpus')


MAKING = (
    'import sys\n'
    'from realm_tf.artifacts import make_artifact\n'
    'with make_artifact(sys.argv[1], "corpus", configuration={"a": 1}, inputs={}, overwrite=True) as draft:\n'
    '    (draft.path / "shard").write_text("done")\n'
    '    print("making", flush=True)\n'
    '    sys.stdin.read()\n'
)


def making(path):
    command = [sys.executable, '-c', MAKING, str(path)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_what_another_process_makes_is_left_to_it(tmp_path):
    path = tmp_path / 'corpus'
    with making(path) as other:
        assert other.stdout.readline()
        for overwrite in (False, True):
            with pytest.raises(RealmError, match=f'corpus is in use by process {other.pid} on'):
                make(path, overwrite=overwrite)
        assert (path / 'shard').read_text() == 'done'
        other.kill()
    assert set(make(path).files) == {'part/file.txt'}


@pytest.mark.parametrize('as_input', [True, False])
def test_what_it_is_made_from_is_not_replaced(tmp_path, as_input):
    old = make(tmp_path / 'index')
    named = {'inputs': {'models': f'{old.digest} other'}} if as_input else {'inputs': {}, 'read': [old]}
    with (
        pytest.raises(RealmError, match='index is what the new artefact would be made from, and cannot be replaced'),
        make_artifact(old.path, 'corpus', configuration={'length': 4}, overwrite=True, **named),
    ):
        pass
    assert open_artifact(old.path) == old


def test_an_artefact_half_removed_is_removed_and_made(tmp_path):
    path = tmp_path / 'corpus'
    number = 20_000
    with make_artifact(path, 'corpus', configuration={}, inputs={}) as draft:
        for name in range(number):
            (draft.path / f'{name}.txt').write_text('')
    with making(path) as other:
        # It is held while it is looked at, so that it is not done between two looks.
        other.send_signal(signal.SIGSTOP)
        while len(os.listdir(path)) >= number:
            other.send_signal(signal.SIGCONT)
            time.sleep(0.005)
            other.send_signal(signal.SIGSTOP)
        other.kill()
    left = {child.name for child in path.glob('*.txt')}
    assert left and not (path / MANIFEST).exists()
    assert set(make(path).files) == {'part/file.txt'}


def test_what_was_published_opens(tmp_path):
    artifact = make(tmp_path / 'corpus')
    assert artifact.counts == {'blocks': 1}
    assert artifact.files['part/file.txt']['bytes'] == 4
    assert artifact.verify() is artifact


@pytest.mark.skipif(os.getuid() != 0, reason='the owner of a file is changed by root alone')
def test_the_owner_of_an_artefact_needs_no_name_here(tmp_path):
    artifact = make(tmp_path / 'corpus')
    for path in (tmp_path / 'corpus').rglob('*'):
        os.chown(path, 54321, 54321)
    assert open_artifact(tmp_path / 'corpus') == artifact
    make(tmp_path / 'corpus', text='other', configuration={'length': 4}, overwrite=True)


def test_the_digest_depends_on_the_content_and_not_on_the_place(tmp_path):
    first, moved = make(tmp_path / 'first'), make(tmp_path / 'moved')
    assert first.digest == moved.digest
    assert first.digest != make(tmp_path / 'other', text='other').digest
    assert first.digest != make(tmp_path / 'set', configuration={'length': 4}).digest


def test_without_its_manifest_there_is_no_artefact(tmp_path):
    with pytest.raises(ZeroDivisionError), make_artifact(tmp_path / 'corpus', 'corpus', configuration={}, inputs={}):
        raise ZeroDivisionError
    with pytest.raises(RealmError, match=r'no finished corpus'):
        open_artifact(tmp_path / 'corpus', 'corpus')


@pytest.mark.parametrize('same_recipe', [True, False])
def test_parts_left_by_an_interrupted_run_are_kept_for_the_same_recipe_alone(tmp_path, same_recipe):
    path = tmp_path / 'corpus'
    with pytest.raises(KeyboardInterrupt), make_artifact(path, 'corpus', configuration={'a': 1}, inputs={}) as draft:
        (draft.path / 'shard').write_text('done')
        raise KeyboardInterrupt
    with make_artifact(path, 'corpus', configuration={'a': 1 if same_recipe else 2}, inputs={}) as draft:
        assert (draft.path / 'shard').exists() == same_recipe


def test_what_serves_the_making_only_is_kept_until_it_is_published(tmp_path):
    path = tmp_path / 'corpus'
    with pytest.raises(KeyboardInterrupt), make_artifact(path, 'corpus', configuration={}, inputs={}) as draft:
        (draft.path / '.counted').write_text('some')
        raise KeyboardInterrupt
    with make_artifact(path, 'corpus', configuration={}, inputs={}) as draft:
        assert (draft.path / '.counted').exists()
        (draft.path / 'file').write_text('text')
    assert {child.name for child in path.iterdir()} == {MANIFEST, 'file'}
    assert set(open_artifact(path).files) == {'file'}


def test_another_artefact_is_not_replaced_unasked(tmp_path):
    make(tmp_path / 'corpus')
    with pytest.raises(RealmError, match=r'setting length changed: 3 → 4.*--overwrite'):
        make(tmp_path / 'corpus', configuration={'length': 4})
    assert make(tmp_path / 'corpus', configuration={'length': 4}, overwrite=True).configuration == {'length': 4}


def test_a_directory_of_something_else_is_left_alone(tmp_path):
    (tmp_path / 'thesis.txt').write_text('years of work')
    with pytest.raises(RealmError, match='holds no artefact'):
        make(tmp_path, overwrite=True)
    assert (tmp_path / 'thesis.txt').exists()


def test_outdated_names_what_changed(tmp_path):
    make(tmp_path / 'corpus', inputs={'documents': 'a' * 64})
    reason = outdated_because(tmp_path / 'corpus', 'corpus', {'length': 3}, {'documents': 'b' * 64})
    assert reason == 'input documents changed: aaaaaaaaaaaa → bbbbbbbbbbbb'
    assert outdated_because(tmp_path / 'corpus', 'corpus', {'length': 3}, {'documents': 'a' * 64}) is None


def test_lineage_names_both_digests(tmp_path):
    corpus, other = make(tmp_path / 'corpus'), make(tmp_path / 'other', text='other')
    embeddings = make(tmp_path / 'embeddings', inputs={'corpus': corpus.digest})
    assert embeddings.require_input('corpus', corpus) is embeddings
    with pytest.raises(RealmError, match=f'{corpus.digest[:12]}.*{other.digest[:12]}'):
        embeddings.require_input('corpus', other)


def test_wrong_kind_damage_and_corruption_are_refused(tmp_path):
    path = tmp_path / 'corpus'
    make(path)
    with pytest.raises(RealmError, match='is of the kind corpus, where index is needed'):
        open_artifact(path, 'index')
    (path / 'part' / 'file.txt').write_text('texT')
    with pytest.raises(RealmError, match='checksum'):
        open_artifact(path).verify()
    (path / 'part' / 'file.txt').write_text('tex')
    with pytest.raises(RealmError, match='not 4 bytes long'):
        open_artifact(path)
    manifest = json.loads((path / MANIFEST).read_text())
    (path / MANIFEST).write_text(json.dumps(manifest | {'format_version': 99}))
    with pytest.raises(RealmError, match='format version 99'):
        open_artifact(path)
    (path / MANIFEST).write_bytes(b'{"kind": "\xff"}')
    with pytest.raises(RealmError, match='cannot be read as a manifest'):
        open_artifact(path)
