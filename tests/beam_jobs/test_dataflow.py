"""The jobs as Dataflow would get them: their graphs are built, and nothing is sent."""

import pathlib
import subprocess
import sys

import pytest

REPOSITORY = pathlib.Path(__file__).parents[2]
DATAFLOW = (
    *('--runner=DataflowRunner', '--dry_run=True', '--project=some-project', '--region=us-central1'),
    *('--temp_location=gs://some-bucket/temp', '--sdk_container_image=some/image', '--experiments=use_runner_v2'),
    *('--num_workers=16', '--machine_type=n2-standard-4', '--autoscaling_algorithm=NONE'),
)


def build_graph(module, *arguments):
    command = [sys.executable, '-m', f'beam_jobs.{module}', *DATAFLOW, '--preset', 'tiny', *map(str, arguments)]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ('module', 'steps'),
    [
        (
            'build_corpus',
            'Files, Spread files over workers, Scan, Wait for all scans, Plan shards, '
            'Spread shards over workers, Build',
        ),
        ('tag_spans', 'Shards, Spread over workers, Tag'),
        ('embed_blocks', 'Shards, Spread over workers, Embed'),
    ],
)
def test_the_job_graph_is_built_offline(module, steps, tmp_path, tiny_corpus, tiny_encoder, vocabulary_path):
    pytest.importorskip('google.cloud.storage', reason='apache-beam[gcp] is not installed')
    (tmp_path / 'documents.jsonl').write_text('{"id": "1", "title": "One", "text": "A text."}\n')
    inputs = {
        'build_corpus': ('--input', tmp_path / 'documents.jsonl', '--vocabulary', vocabulary_path),
        'tag_spans': ('--corpus', tiny_corpus),
        'embed_blocks': ('--corpus', tiny_corpus, '--encoder', tiny_encoder),
    }
    ended = build_graph(module, *inputs[module], '--output', tmp_path / 'output')
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == f'The job for DataflowRunner with 16 workers was built: {steps}. Nothing was run.\n'
    assert not (tmp_path / 'output' / 'manifest.json').exists()


def test_options_that_make_no_job_are_a_sentence(tmp_path, tiny_corpus):
    pytest.importorskip('google.cloud.storage', reason='apache-beam[gcp] is not installed')
    paths = ('--corpus', tiny_corpus, '--output', tmp_path / 'output', '--project=x')
    ended = build_graph('tag_spans', *paths)
    assert ended.returncode == 2 and 'Traceback' not in ended.stderr
    assert 'The options do not make a job' in ended.stderr and 'Invalid Project ID' in ended.stderr
