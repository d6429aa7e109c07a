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


@pytest.fixture(params=['ict float32', 'ict bfloat16', 'pretrain float32', 'pretrain bfloat16'])
def case(request):
    return request.param


def test_the_step_is_one_program_for_every_core(reports, case):
    assert reports[case]['counts']['TPUReplicateMetadata'] == 1
    assert reports[case]['refused'] == []
    assert reports[case]['outside_compilation'] == []


def test_the_cores_are_given_wordpieces_of_fixed_shape(reports, case):
    inputs = reports[case]['inputs']
    assert {dtype for dtype, _ in inputs} == {'int32'}
    assert not any('None' in shape or 'unknown' in shape for _, shape in inputs)


def test_every_gradient_is_summed_over_the_cores_before_it_is_clipped(reports, case):
    report = reports[case]
    summed, applied = collections.Counter(report['summed']), collections.Counter(report['applied'])
    assert applied and applied <= summed
    assert report['measured_for_clipping'] == ['CrossReplicaSum'] * applied.total()
    # Beside them the averages, and of ICT the documents of the other cores, and their gradients.
    assert (summed - applied).total() == (3 if case.startswith('ict') else 1)


def test_parts_of_a_batch_are_taken_in_a_loop(reports):
    assert reports['pretrain bfloat16']['counts']['While'] == 1
    assert 'While' not in reports['pretrain float32']['counts']


def test_the_random_state_is_spread_on_the_cores(reports):
    assert reports['random state']['refused'] == []
    # Of the embeddings, of the one layer, and of the projection.
    assert reports['random state']['counts']['AssignAddVariableOp'] == 3


def test_the_queries_of_the_next_batch_are_embedded_on_the_cores(reports):
    assert reports['queries']['counts']['TPUReplicateMetadata'] == 1
    assert reports['queries']['refused'] == []
    assert ['int32', '(4, 16)'] in reports['queries']['inputs']


def test_what_only_the_host_can_do_is_found(reports):
    assert reports['on the host']['refused'] == ['AsString', 'EagerPyFunc', 'StringLength']
