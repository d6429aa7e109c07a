"""What TensorFlow Serving is given, read back as it reads it."""

import dataclasses
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from tensorflow_serving.config import model_server_config_pb2

from export.answers import answers_of
from export.parts import PART
from export.serving.limits import Limits
from export.serving.served_model import ServedModel
from export.serving_files import memory_bytes, read_warm_up
from export.versions import SERVING
from realm_tf.config import load_config
from realm_tf.search.index import build_index


def test_the_model_configuration_is_one(tiny_export):
    text = (tiny_export / SERVING / 'models.config').read_text()
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    (model,) = config.model_config_list.config
    assert (model.name, model.base_path, model.model_platform) == ('realm', '/models/realm', 'tensorflow')


def batching_parameters():
    """`BatchingParameters` of TensorFlow Serving's session_bundle_config.proto, which its package does not bring."""
    file = descriptor_pb2.FileDescriptorProto(name='batching_parameters.proto', syntax='proto3')
    file.dependency.append(wrappers_pb2.DESCRIPTOR.name)
    message = file.message_type.add(name='BatchingParameters')
    numbers = ('max_batch_size', 'batch_timeout_micros', 'max_enqueued_batches', 'num_batch_threads')
    kinds = dict.fromkeys((*numbers, 'max_execution_batch_size'), 'Int64Value')
    for number, (name, kind) in enumerate((kinds | {'enable_large_batch_splitting': 'BoolValue'}).items(), 1):
        message.field.add(name=name, number=number, type='TYPE_MESSAGE', type_name=f'.google.protobuf.{kind}')
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName('BatchingParameters'))()


def test_a_large_request_is_computed_in_parts_and_several_may_wait(tiny_export):
    text = (tiny_export / SERVING / 'batching_parameters.txt').read_text()
    parameters = text_format.Parse(text, batching_parameters())
    assert parameters.enable_large_batch_splitting.value
    assert parameters.max_batch_size.value == Limits().max_rows and parameters.max_execution_batch_size.value == PART
    # The queue is counted in batches that are computed.
    assert parameters.max_enqueued_batches.value * PART >= 4 * Limits().max_rows


def test_manifests_mount_the_model_and_agree_on_memory(tiny_export):
    compose = yaml.safe_load((tiny_export / SERVING / 'compose.yaml').read_text())['services']['realm']
    deployment, service = yaml.safe_load_all((tiny_export / SERVING / 'kubernetes.yaml').read_text())
    (container,) = deployment['spec']['template']['spec']['containers']
    assert compose['command'] == container['args'] and compose['image'] == container['image']
    assert compose['volumes'][0]['target'] == container['volumeMounts'][0]['mountPath'] == '/models/realm'
    assert container['env'] == [{'name': name, 'value': value} for name, value in compose['environment'].items()]
    memory = int(compose['mem_limit'].removesuffix('m'))
    assert container['resources']['limits']['memory'] == f'{memory}Mi' and memory >= 768
    assert {port['targetPort'] for port in service['spec']['ports']} == {port['name'] for port in container['ports']}
    for argument in container['args']:
        name, _, path = argument.partition('=/models/realm/')
        assert not path or (tiny_export / path).exists(), name


def test_memory_grows_with_what_it_is_for():
    tiny, base = load_config('tiny'), load_config('base')
    assert memory_bytes(1 << 30, 1000, base) > memory_bytes(1 << 30, 1000, tiny)
    assert memory_bytes(10 << 30, 0, tiny) > 20 << 30
    assert memory_bytes(0, 13_000_000, tiny) - memory_bytes(0, 0, tiny) > 2_000_000_000


def test_the_warm_up_is_replayed(tiny_export):
    requests = read_warm_up(tiny_export / '1')
    assert {name for name, _ in requests} == {'serving_default', 'retrieve'}
    assert requests[0][1]['question'].tolist() == [b'What is Alba?']
    assert max(len(inputs['question']) for _, inputs in requests) > 1
    model = ServedModel(tiny_export / '1')
    for name, inputs in requests:
        outputs = model.run(name, inputs)
        assert {len(values) for values in outputs.values()} == {len(inputs['question'])}
        if name == 'serving_default':
            found = answers_of({name: values.tolist() for name, values in outputs.items()})
            assert all(found) and np.isfinite(outputs['score']).all()
    model.close()


def export(paths, *arguments):
    command = ['-m', 'export', *(part for pair in paths.items() for part in pair), *arguments]
    return subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_questions_of_ones_own_and_an_edited_corpus(
    tmp_path, tiny_corpus, tiny_embeddings, tiny_model, tiny_questions, edited
):
    """A model whose corpus was edited is exported again, without training, as the next version."""
    paths = {
        '--model': tiny_model,
        '--corpus': tiny_corpus,
        '--embeddings': tiny_embeddings,
        '--output': tmp_path / 'm',
    }
    ended = export(paths, '--questions', tiny_questions, '--min-probability', '1')
    assert ended.returncode == 0, ended.stderr
    first = json.loads(tiny_questions.read_text().splitlines()[0])['question']
    assert read_warm_up(tmp_path / 'm' / '1')[0][1]['question'].tolist() == [first.encode()]
    model = ServedModel(tmp_path / 'm' / '1')
    # Nothing is as probable as that.
    assert model.run('', {'question': np.array([first.encode()], object)})['answer'].tolist() == [b'']
    model.close()

    ended = export(paths | edited)
    assert ended.returncode == 2 and 'was not made from the corpus' in ended.stderr
    ended = export(paths | edited, '--update')
    assert ended.returncode == 0, ended.stderr
    require_edited(tmp_path / 'm' / '2')


@pytest.mark.slow
@pytest.mark.parametrize('searcher', ['ivf', 'scann'])
def test_an_edited_corpus_with_a_new_index(
    tmp_path, tiny_export, tiny_model, tiny_embeddings, tiny_config, edited, searcher
):
    shutil.copytree(tiny_export, tmp_path / 'm')
    paths = {'--model': tiny_model, '--output': tmp_path / 'm', '--searcher': searcher} | edited
    settings = dataclasses.replace(tiny_config.index, searcher=searcher)
    build_index(tiny_embeddings, tmp_path / 'old', settings)
    build_index(edited['--embeddings'], tmp_path / 'new', settings)
    ended = export(paths, '--update', '--index', tmp_path / 'old')
    assert ended.returncode == 2 and 'was not made from the embeddings' in ended.stderr
    ended = export(paths, '--update', '--index', tmp_path / 'new')
    assert ended.returncode == 0, ended.stderr
    require_edited(tmp_path / 'm' / '2')


def require_edited(version):
    """Checks that a version answers from the edited corpus."""
    model = ServedModel(version)
    found = model.run('retrieve', {'question': np.array([b'Zembla'], object)})
    assert model.version == 2 and found['title'][0, 0].startswith(b'Zembla')
    model.close()


@pytest.fixture(scope='module')
def edited(tmp_path_factory, tiny_corpus, tiny_encoder):
    """An edited corpus and its embeddings by the same encoder, by option."""
    directory = tmp_path_factory.mktemp('edited')
    corpus, embeddings = write_edited_corpus(directory, tiny_corpus), directory / 'embeddings'
    command = ['--corpus', corpus, '--encoder', tiny_encoder, '--output', embeddings, '--preset', 'tiny']
    subprocess.run([sys.executable, '-m', 'beam_jobs.embed_blocks', *map(str, command)], check=True)
    return {'--corpus': corpus, '--embeddings': embeddings}


def write_edited_corpus(tmp_path, tiny_corpus):
    lines = [
        {'id': f'{number}', 'title': f'Zembla {number}', 'text': f'Zembla {number} is a new town. It lies in Peru.'}
        for number in range(20)
    ]
    (tmp_path / 'new.jsonl').write_text(''.join(json.dumps(line) + '\n' for line in lines))
    arguments = ['--input', tmp_path / 'new.jsonl', '--vocabulary', tiny_corpus / 'vocab.txt']
    arguments += ['--output', tmp_path / 'edited', '--preset', 'tiny', '--set', 'corpus.block_length=48']
    subprocess.run([sys.executable, '-m', 'beam_jobs.build_corpus', *map(str, arguments)], check=True)
    return tmp_path / 'edited'


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        (('--searcher', 'ivf'), '--searcher ivf and scann need --index'),
        (('--searcher', 'scann'), '--searcher ivf and scann need --index'),
        (('--index', 'somewhere'), 'exact has none'),
        (('--update',), 'nowhere'),
    ],
)
def test_what_is_wrong_is_said(arguments, sentence):
    ended = export(dict.fromkeys(('--model', '--corpus', '--embeddings', '--output'), 'nowhere'), *arguments)
    assert ended.returncode == 2 and sentence in ended.stderr and 'Traceback' not in ended.stderr


def test_a_question_file_that_is_not_there_is_said(tmp_path, tiny_corpus, tiny_embeddings, tiny_model):
    paths = {'--model': tiny_model, '--corpus': tiny_corpus, '--embeddings': tiny_embeddings, '--output': tmp_path}
    ended = export(paths, '--questions', 'nowhere')
    assert ended.returncode == 2 and 'There is no question file nowhere' in ended.stderr
    assert 'Traceback' not in ended.stderr and not any(tmp_path.iterdir())
