"""Batches: what goes together, what is refused, and what becomes of what waits too long."""

import asyncio

import numpy as np
import pytest

from export.serving.batching import Batcher
from export.serving.errors import Code, ServingError
from export.serving.limits import Limits
from export.serving.metrics import Metrics
from export.serving.served_model import ServedModel
from tests.export.serving.parrot import POISON, write_parrot


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


def test_a_large_request_leaves_room_for_small_ones_which_are_answered_before_it(with_batcher):
    ended = []

    async def ask(batcher, *texts):
        outputs, _ = await batcher.predict('', questions(*texts))
        ended.append(len(texts))
        return [answer.decode() for answer in outputs['answer']]

    async def use(batcher):
        large = [f'{n} of many' for n in range(100)]
        asked = [asyncio.create_task(ask(batcher, *texts)) for texts in (large, large[:20], *'abcdefgh')]
        await asyncio.sleep(0)
        running = asyncio.create_task(batcher.run())
        answered, refused, *singles = await asyncio.gather(*asked, return_exceptions=True)
        running.cancel()
        return answered == large, code_of(refused), singles

    (is_answered, of_another_large_one, singles), metrics = with_batcher(use, max_batch=4, max_waiting=16)
    assert is_answered and of_another_large_one == Code.RESOURCE_EXHAUSTED
    assert singles == [[text] for text in 'abcdefgh'] and ended == [1] * 8 + [100]
    assert metrics.registry.get_sample_value('realm_waiting') == 0


def test_large_requests_take_turns(with_batcher):
    ended = []

    async def ask(batcher, size):
        await batcher.predict('', questions(*map(str, range(size))))
        ended.append(size)

    async def use(batcher):
        asked = [asyncio.create_task(ask(batcher, size)) for size in (40, 12, 20)]
        await asyncio.sleep(0)
        running = asyncio.create_task(batcher.run())
        await asyncio.gather(*asked)
        running.cancel()

    with_batcher(use, max_batch=4)
    assert ended == [12, 20, 40]


class Watched(ServedModel):
    """Tells whether it is closed."""

    is_closed = False

    def close(self):
        super().close()
        self.is_closed = True


def test_a_request_is_answered_by_one_version_wholly_and_that_is_closed_after_it(tmp_path):
    write_parrot(tmp_path, 1)
    write_parrot(tmp_path, 2)

    async def main():
        metrics, older, newer = Metrics(), Watched(tmp_path / '1'), Watched(tmp_path / '2')
        batcher = Batcher(older, Limits(max_batch=2), metrics)
        running = asyncio.create_task(batcher.run())
        large = asyncio.create_task(batcher.predict('', questions(*map(str, range(200))), version=1))
        while not metrics.registry.get_sample_value('realm_questions_total'):
            await asyncio.sleep(0)
        batcher.replace_model(newer)
        single = await batcher.predict('', questions('a'))
        assert not large.done() and not older.is_closed
        of_large = await large
        # By the thread that closes, after that.
        await batcher.predict('', questions('b'))
        assert older.is_closed and not newer.is_closed
        with pytest.raises(ServingError, match='not found'):
            await batcher.predict('', questions('c'), version=1)
        running.cancel()
        batcher.close()
        return single, of_large

    (single, of_single), (large, of_large) = asyncio.run(main())
    assert (of_single, of_large) == (2, 1)
    assert single['score'].tolist() == [2] and large['score'].tolist() == [1] * 200
    assert large['answer'].tolist() == [str(n).encode() for n in range(200)]


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
