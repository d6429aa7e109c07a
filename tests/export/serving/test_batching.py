"""Batches: what goes together, what is refused, and what becomes of what waits too long."""

import asyncio

import numpy as np
import pytest

from export.serving.batching import Batcher
from export.serving.errors import Code, ServingError
from export.serving.limits import Limits
from export.serving.metrics import Metrics
from export.serving.served_model import ServedModel
from tests.export.serving.parrot import POISON


def questions(*texts):
    return {'question': np.array([text.encode() for text in texts], object)}


@pytest.fixture
def with_batcher(parrot_base):
    """Runs a coroutine function with a batcher of the given limits; returns what it does, and the metrics."""

    def run(use, **limits):
        metrics = Metrics()

        async def main():
            batcher = Batcher(ServedModel(parrot_base / '1'), Limits(**limits), metrics)
            result = await use(batcher)
            batcher.close()
            return result

        return asyncio.run(main()), metrics

    return run


def code_of(result):
    return result.code if isinstance(result, ServingError) else Code.OK


def test_what_waits_is_computed_together_and_each_gets_its_own(with_batcher):
    async def use(batcher):
        asked = [asyncio.create_task(batcher.predict('', questions(f'{n}', f'{n} too'))) for n in range(10)]
        await asyncio.sleep(0)
        running = asyncio.create_task(batcher.run())
        answers = await asyncio.gather(*asked)
        running.cancel()
        return answers

    answers, metrics = with_batcher(use, max_batch=8)
    for n, (outputs, version) in enumerate(answers):
        assert outputs['answer'].tolist() == [f'{n}'.encode(), f'{n} too'.encode()] and version == 1
    sample = metrics.registry.get_sample_value
    assert sample('realm_questions_total') == 20 and sample('realm_batch_size_count') == 3
    assert sample('realm_waiting') == 0


def test_of_a_batch_that_fails_only_what_made_it_fail_fails(with_batcher):
    async def use(batcher):
        long = ['fine'] * 7 + [POISON] + ['fine'] * 7
        asked = [batcher.predict('', questions(*texts)) for texts in (['a'], [POISON], ['b'], long, ['c'])]
        asked = [asyncio.create_task(one) for one in asked]
        await asyncio.sleep(0)
        running = asyncio.create_task(batcher.run())
        results = await asyncio.gather(*asked, return_exceptions=True)
        running.cancel()
        return results

    results, metrics = with_batcher(use, max_batch=4)
    assert [code_of(result) for result in results] == [
        Code.OK,
        Code.INVALID_ARGUMENT,
        Code.OK,
        Code.INVALID_ARGUMENT,
        Code.OK,
    ]
    assert [results[n][0]['answer'].tolist() for n in (0, 2, 4)] == [[b'a'], [b'b'], [b'c']]
    assert metrics.registry.get_sample_value('realm_waiting') == 0


def test_the_queue_is_bounded(with_batcher):
    async def use(batcher):
        # Nothing runs: all that is taken on waits, and is given up.
        asked = [batcher.predict('', questions('a', 'b'), seconds=0.2) for _ in range(5)]
        return await asyncio.gather(*asked, return_exceptions=True)

    results, _ = with_batcher(use, max_waiting=6)
    assert [code_of(result) for result in results] == [Code.DEADLINE_EXCEEDED] * 3 + [Code.RESOURCE_EXHAUSTED] * 2
    assert Code.RESOURCE_EXHAUSTED.http_status == 429 and Code.DEADLINE_EXCEEDED.http_status == 504


def test_what_is_given_up_is_not_computed(with_batcher):
    async def use(batcher):
        given_up = await asyncio.gather(batcher.predict('', questions('a'), seconds=0.05), return_exceptions=True)
        running = asyncio.create_task(batcher.run())
        answered = await batcher.predict('', questions('b'))
        running.cancel()
        return given_up, answered

    (given_up, (outputs, _)), metrics = with_batcher(use)
    assert code_of(given_up[0]) == Code.DEADLINE_EXCEEDED and outputs['answer'].tolist() == [b'b']
    assert metrics.registry.get_sample_value('realm_questions_total') == 1


@pytest.mark.parametrize(
    'inputs',
    [
        {'other': np.array([b'a'], object)},
        {'question': np.array([1], np.int32)},
        {'question': np.array([[b'a']], object)},
        {'question': np.array(b'a', object)},
        {'question': np.array([], object)},
    ],
)
def test_inputs_that_do_not_fit_are_refused(with_batcher, inputs):
    async def use(batcher):
        return await asyncio.gather(batcher.predict('', inputs), return_exceptions=True)

    (result,), _ = with_batcher(use)
    assert code_of(result) == Code.INVALID_ARGUMENT
