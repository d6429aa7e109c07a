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
    """A request, and the model that answers it; its rows before `taken` are computed, or are being computed."""

    model: ServedModel
    signature_name: str
    inputs: Mapping[str, np.ndarray]
    deadline: float
    future: asyncio.Future
    taken: int = 0
    parts: list[dict[str, np.ndarray]] = dataclasses.field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many it has."""
        return len(next(iter(self.inputs.values())))

    @property
    def left(self) -> int:
        """How many of them wait."""
        return self.rows - self.taken

    @property
    def is_given_up(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.future.done() or time.monotonic() > self.deadline


# Of one request: rows from … up to.
_Part = tuple[_Waiting, int, int]


class Batcher:
    """Runs a model that can be replaced by another one while requests wait.

    One batch runs at a time, on as many threads as TensorFlow sees fit. Requests take turns, a batch each at most: a
    large one does not hold up the others. All of a request is computed by the model that was there when it came. The
    requests of a batch that fails are run again, each alone: no request gets the error of another one.

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
        # Those that somebody waits for: in the queue, or in the batch that runs.
        self._requests: set[_Waiting] = set()
        self._replaced: set[ServedModel] = set()
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
          The outputs by name, and the version that computed them.

        Raises:
          ServingError: if there is no such version, the inputs do not fit, too much waits already, or the time is over.
        """
        if version not in (None, self.model.version):
            raise ServingError(Code.NOT_FOUND, f'Servable not found for request: Specific(realm, {version})')
        check_inputs(self.model.signature(signature_name), inputs)
        seconds = min(self._limits.max_seconds, seconds or self._limits.max_seconds)
        request = _Waiting(
            self.model, signature_name, inputs, time.monotonic() + seconds, asyncio.get_running_loop().create_future()
        )
        if not 1 <= request.rows <= self._limits.max_rows:
            refuse(f'a request has between 1 and {self._limits.max_rows} rows; this one has {request.rows}')
        self._require_room(request.rows)
        self._requests.add(request)
        self._queue.append(request)
        self._metrics.waiting.inc(request.rows)
        self._arrival.set()
        try:
            return await asyncio.wait_for(request.future, seconds)
        except asyncio.TimeoutError:
            raise ServingError(Code.DEADLINE_EXCEEDED, f'There was no answer within {seconds:g} seconds.') from None
        finally:
            self._requests.remove(request)
            self._close_replaced()

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
            # Of a request with more rows than a batch has, the others are computed after those that came meanwhile.
            self._queue.extend(request for request, *_ in batch if request.left)

    def replace_model(self, model: ServedModel) -> None:
        """Lets another version answer the requests that come from now on.

        The one before is closed when those that came before are answered.
        """
        self._replaced.add(self.model)
        self.model = model
        self._close_replaced()
        self._metrics.version.set(model.version)
        self._metrics.swaps.inc()

    def close(self) -> None:
        """Closes the models, when nothing runs any more."""
        for model in (*self._replaced, self.model):
            self._thread.submit(model.close)
        self._thread.shutdown()

    def _require_room(self, rows: int) -> None:
        """Refuses a request of so many rows if too many go before its last one: of each that waits, a batch a turn."""
        turns = -(-rows // self._limits.max_batch)
        before = sum(min(request.left, turns * self._limits.max_batch) for request in self._requests)
        if before and before + rows > self._limits.max_waiting:
            raise ServingError(
                Code.RESOURCE_EXHAUSTED,
                f'{before} questions go before the {rows} of this request, and {self._limits.max_waiting} may wait '
                'together. Try again later.',
            )

    def _close_replaced(self) -> None:
        """Closes the models before that no request waits for any more, when what runs is done."""
        unused = self._replaced - {request.model for request in self._requests}
        self._replaced -= unused
        for model in unused:
            self._thread.submit(model.close)

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
                self._metrics.waiting.dec(request.left)
                continue
            limit = min(request.taken + room, request.rows)
            batch.append((request, request.taken, limit))
            room -= limit - request.taken
            self._metrics.waiting.dec(limit - request.taken)
            request.taken = limit
        return batch

    async def _run_batch(self, batch: list[_Part]) -> None:
        first = batch[0][0]
        inputs = {
            name: np.concatenate([request.inputs[name][start:limit] for request, start, limit in batch])
            for name in first.inputs
        }
        loop = asyncio.get_running_loop()
        outputs = await loop.run_in_executor(self._thread, first.model.run, first.signature_name, inputs)
        rows = 0
        for request, start, limit in batch:
            of_request = slice(rows, rows := rows + limit - start)
            request.parts.append({name: values[of_request] for name, values in outputs.items()})
            if limit == request.rows and not request.future.done():
                request.future.set_result((_joined(request.parts), first.model.version))
        self._metrics.batch_size.observe(rows)
        self._metrics.questions.inc(rows)

    async def _run_alone(self, part: _Part) -> None:
        request = part[0]
        if request.is_given_up:
            # Its model may be closed already.
            return
        try:
            await self._run_batch([part])
        except Exception as error:
            if not isinstance(error, ServingError):
                _LOG.exception('A request could not be computed.')
                error = ServingError(Code.INTERNAL, 'The server failed; its log says more.')
            if not request.future.done():
                request.future.set_exception(error)


def _go_together(first: _Waiting, other: _Waiting) -> bool:
    return (first.model, first.signature_name) == (other.model, other.signature_name) and all(
        value.shape[1:] == other.inputs[name].shape[1:] for name, value in first.inputs.items()
    )


def _joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
