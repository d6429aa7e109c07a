"""The jobs as Dataflow would get them: their graphs are built, and nothing is sent."""

import os
import pathlib
import subprocess
import sys

import apache_beam as beam
import pytest
from etils import epath

from beam_jobs import embed_blocks
from beam_jobs.embedding_shards import shards_of
from beam_jobs.options import parse
from realm_tf.artifacts import make_artifact, open_artifact

REPOSITORY = pathlib.Path(__file__).parents[2]
DATAFLOW = (
    *('--runner=DataflowRunner', '--dry_run=True', '--project=some-project', '--region=us-central1'),
    *('--temp_location=gs://some-bucket/temp', '--sdk_container_image=some/image', '--experiments=use_runner_v2'),
    *('--num_workers=16', '--machine_type=n2-standard-4', '--autoscaling_algorithm=NONE'),
)


def build_graph(module, *arguments):
    command = [sys.executable, '-m', f'beam_jobs.{module}', *DATAFLOW, '--preset', 'tiny', *map(str, arguments)]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=120)


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
    # A terabyte, of which nothing is read.
    (tmp_path / 'documents.jsonl').touch()
    os.truncate(tmp_path / 'documents.jsonl', 1 << 40)
    inputs = {
        'build_corpus': ('--input', tmp_path / 'documents.jsonl', '--vocabulary', vocabulary_path),
        'tag_spans': ('--corpus', tiny_corpus),
        'embed_blocks': ('--corpus', tiny_corpus, '--encoder', tiny_encoder),
    }
    output = tmp_path / 'output'
    with make_artifact(output, 'corpus', configuration={}, inputs={}) as draft:
        (draft.path / 'made.txt').write_text('before')
    before = open_artifact(output)
    ended = build_graph(module, *inputs[module], '--output', output, '--overwrite')
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == f'The job for DataflowRunner with 16 workers was built: {steps}. Nothing was run.\n'
    assert open_artifact(output) == before and (output / 'made.txt').read_text() == 'before'


def test_what_dataflow_is_asked_for():
    """Sixteen workers of the machine, the container and the accelerator that the command line names."""
    pytest.importorskip('google.cloud.storage', reason='apache-beam[gcp] is not installed')
    from apache_beam.runners.dataflow.internal import apiclient

    accelerator = 'type:nvidia-tesla-t4;count:1;install-nvidia-driver'
    paths = ('--corpus=gs://b/corpus', '--encoder=gs://b/encoder', '--output=gs://b/embeddings')
    arguments = [*DATAFLOW, *paths, f'--resource_hints=accelerator={accelerator}']
    options = parse(arguments, embed_blocks.__name__, embed_blocks.EmbedBlocksOptions)
    shards = shards_of(epath.Path('gs://b/embeddings'), [range(100_000)], blocks_per_shard=1000)
    with beam.Pipeline(options=options) as pipeline:
        embed_blocks.add_steps(pipeline, shards, {'corpus': 'gs://b/corpus', 'encoder': 'gs://b/encoder'})
    job = pipeline.result.job.proto_pipeline
    (pool,) = apiclient.Environment([], options, '2', 'gs://b/pipeline.pb', job).proto.worker_pools
    assert (pool.num_workers, pool.machine_type) == (16, 'n2-standard-4')
    assert [image.container_image for image in pool.sdk_harness_container_images] == ['some/image']
    hints = [dict(environment.resource_hints) for environment in job.components.environments.values()]
    assert {'beam:resources:accelerator:v1': accelerator.encode()} in hints


def test_options_that_make_no_job_are_a_sentence(tmp_path, tiny_corpus):
    pytest.importorskip('google.cloud.storage', reason='apache-beam[gcp] is not installed')
    paths = ('--corpus', tiny_corpus, '--output', tmp_path / 'output', '--project=x')
    ended = build_graph('tag_spans', *paths)
    assert ended.returncode == 2 and 'Traceback' not in ended.stderr
    assert 'The options do not make a job' in ended.stderr and 'Invalid Project ID' in ended.stderr
