"""What a TPU would refuse is found without one: the training step under TensorFlow's own TPUStrategy."""

import collections
import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope='module')
def reports():
    # A process of its own: the devices of TensorFlow are settled once.
    command = [sys.executable, '-m', 'tests.training.tpu_trace']
    result = subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    return json.loads(result.stdout.splitlines()[-1])


@pytest.fixture(
    params=[f'{task} {dtype}' for task in ('ict', 'pretrain', 'finetune') for dtype in ('float32', 'bfloat16')]
)
def case(request):
    return request.param


def test_the_step_is_one_program_for_every_core(reports, case):
    assert reports[case]['counts']['TPUReplicateMetadata'] == 1
    assert reports[case]['refused'] == []
    assert reports[case]['outside_compilation'] == []


def test_the_cores_are_given_arrays_of_fixed_shape(reports, case):
    inputs = reports[case]['inputs']
    # Wordpieces; of fine-tuning the embeddings and the labels of the candidates too.
    more = {'float32', 'bool'} if case.startswith('finetune') else set()
    assert {dtype for dtype, _ in inputs} == {'int32'} | more
    assert not any('None' in shape or 'unknown' in shape for _, shape in inputs)


def test_every_gradient_is_summed_over_the_cores_before_it_is_clipped(reports, case):
    report = reports[case]
    summed, applied = collections.Counter(report['summed']), collections.Counter(report['applied'])
    assert applied and applied <= summed
    assert report['measured_for_clipping'] == ['CrossReplicaSum'] * applied.total()
    # Beside them the averages, and of ICT the documents of the other cores, and their gradients.
    assert (summed - applied).total() == (3 if case.startswith('ict') else 1)


def test_parts_of_a_batch_are_taken_in_a_loop(reports):
    for task in ('pretrain', 'finetune'):
        assert reports[f'{task} bfloat16']['counts']['While'] == 1
        assert 'While' not in reports[f'{task} float32']['counts']


def test_the_random_state_is_spread_on_the_cores(reports):
    assert reports['random state']['refused'] == []
    # Of the embeddings, of the one layer, and of the projection.
    assert reports['random state']['counts']['AssignAddVariableOp'] == 3


@pytest.mark.parametrize('what', ['queries', 'questions'])
def test_what_is_searched_with_is_embedded_on_the_cores(reports, what):
    assert reports[what]['counts']['TPUReplicateMetadata'] == 1
    assert reports[what]['refused'] == []
    assert ['int32', '(4, 16)'] in reports[what]['inputs']


def test_what_only_the_host_can_do_is_found(reports):
    assert reports['on the host']['refused'] == ['AsString', 'EagerPyFunc', 'StringLength']


def test_shapes_that_change_are_refused_with_a_sentence(reports):
    assert 'skip_padding=false' in reports['padding']
