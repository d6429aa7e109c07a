"""Questions that wait while the model runs are computed together when it is free."""

import asyncio
import collections
import concurrent.futures
import dataclasses
import logging
import time
from collections.abc import Mapping

import numpy as np

from export.serving.errors import Code, ServingError, refuse
from export.serving.limits import Limits
from export.serving.metrics import Metrics
from export.serving.served_model import ServedModel, check_inputs

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(eq=False)
class _Waiting:
    """A request in the queue; its rows before `taken` are computed, or are being computed."""

    signature_name: str
    inputs: Mapping[str, np.ndarray]
    version: int | None
    deadline: float
    future: asyncio.Future
    taken: int = 0
    parts: list[dict[str, np.ndarray]] = dataclasses.field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many it has."""
        return len(next(iter(self.inputs.values())))

    @property
    def is_given_up(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.future.done() or time.monotonic() > self.deadline


# Of one request: rows from … up to.
_Part = tuple[_Waiting, int, int]


class Batcher:
    """Runs a model that can be replaced by another one while requests wait.

    One batch runs at a time, on as many threads as TensorFlow sees fit. The requests of a batch that fails are run
    again, each alone: no request gets the error of another one.

    Args:
      model: the model that answers first.
      limits: what is taken on.
      metrics: where it is counted.
    """

    def __init__(self, model: ServedModel, limits: Limits, metrics: Metrics):
        self.model = model
        self._limits = limits
        self._metrics = metrics
        self._queue: collections.deque[_Waiting] = collections.deque()
        self._waiting_rows = 0
        self._arrival = asyncio.Event()
        # What is submitted to one thread is done one after the other: an old model is closed after its last batch.
        self._thread = concurrent.futures.ThreadPoolExecutor(1, 'model')
        metrics.version.set(model.version)

    async def predict(
        self,
        signature_name: str,
        inputs: Mapping[str, np.ndarray],
        *,
        version: int | None = None,
        seconds: float | None = None,
    ) -> tuple[dict[str, np.ndarray], int]:
        """Computes the outputs of a signature.

        Args:
          signature_name: its name; empty for the default one.
          inputs: by name.
          version: of the model that is to answer; None for whichever is there.
          seconds: how long the caller waits, where that is less than the limit.

        Returns:
          The outputs by name, and the version that computed the last of them.

        Raises:
          ServingError: if the inputs do not fit, too much waits already, or the time is over.
        """
        check_inputs(self.model.signature(signature_name), inputs)
        seconds = min(self._limits.max_seconds, seconds or self._limits.max_seconds)
        request = _Waiting(
            signature_name, inputs, version, time.monotonic() + seconds, asyncio.get_running_loop().create_future()
        )
        if not 1 <= request.rows <= self._limits.max_rows:
            refuse(f'a request has between 1 and {self._limits.max_rows} rows; this one has {request.rows}')
        if self._waiting_rows and self._waiting_rows + request.rows > self._limits.max_waiting:
            raise ServingError(
                Code.RESOURCE_EXHAUSTED,
                f'{self._waiting_rows} questions wait already, and {self._limits.max_waiting} may. Try again later.',
            )
        self._queue.append(request)
        self._count_waiting(request.rows)
        self._arrival.set()
        try:
            return await asyncio.wait_for(request.future, seconds)
        except asyncio.TimeoutError:
            raise ServingError(Code.DEADLINE_EXCEEDED, f'There was no answer within {seconds:g} seconds.') from None

    async def run(self) -> None:
        """Computes what waits, until it is cancelled."""
        while True:
            await self._arrival.wait()
            batch = self._next_batch()
            if not batch:
                self._arrival.clear()
                continue
            try:
                await self._run_batch(batch)
            except Exception:
                for part in batch:
                    await self._run_alone(part)
            # Of a request with more rows than a batch has, the others are next.
            self._queue.extendleft(request for request, *_ in batch if request.taken < request.rows)

    def replace_model(self, model: ServedModel) -> None:
        """Lets another version answer from the next batch on, and closes the one before after its last batch."""
        before, self.model = self.model, model
        self._thread.submit(before.close)
        self._metrics.version.set(model.version)
        self._metrics.swaps.inc()

    def close(self) -> None:
        """Closes the model, when nothing runs any more."""
        self._thread.submit(self.model.close)
        self._thread.shutdown()

    def _next_batch(self) -> list[_Part]:
        """Takes requests of one signature, or the next part of one, from the queue; leaves out what is given up."""
        batch: list[_Part] = []
        room = self._limits.max_batch
        while self._queue and room:
            request = self._queue[0]
            if not request.is_given_up and batch and not _go_together(batch[0][0], request):
                break
            self._queue.popleft()
            if request.is_given_up:
                self._count_waiting(request.taken - request.rows)
                continue
            limit = min(request.taken + room, request.rows)
            batch.append((request, request.taken, limit))
            room -= limit - request.taken
            self._count_waiting(request.taken - limit)
            request.taken = limit
        return batch

    async def _run_batch(self, batch: list[_Part]) -> None:
        model, first = self.model, batch[0][0]
        if first.version not in (None, model.version):
            raise ServingError(Code.NOT_FOUND, f'Servable not found for request: Specific(realm, {first.version})')
        inputs = {
            name: np.concatenate([request.inputs[name][start:limit] for request, start, limit in batch])
            for name in first.inputs
        }
        loop = asyncio.get_running_loop()
        outputs = await loop.run_in_executor(self._thread, model.run, first.signature_name, inputs)
        rows = 0
        for request, start, limit in batch:
            of_request = slice(rows, rows := rows + limit - start)
            request.parts.append({name: values[of_request] for name, values in outputs.items()})
            if limit == request.rows and not request.future.done():
                request.future.set_result((_joined(request.parts), model.version))
        self._metrics.batch_size.observe(rows)
        self._metrics.questions.inc(rows)

    async def _run_alone(self, part: _Part) -> None:
        try:
            await self._run_batch([part])
        except Exception as error:
            if not isinstance(error, ServingError):
                _LOG.exception('A request could not be computed.')
                error = ServingError(Code.INTERNAL, 'The server failed; its log says more.')
            if not part[0].future.done():
                part[0].future.set_exception(error)

    def _count_waiting(self, rows: int) -> None:
        self._waiting_rows += rows
        self._metrics.waiting.set(self._waiting_rows)


def _go_together(first: _Waiting, other: _Waiting) -> bool:
    return (first.signature_name, first.version) == (other.signature_name, other.version) and all(
        value.shape[1:] == other.inputs[name].shape[1:] for name, value in first.inputs.items()
    )


def _joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
