"""The routes of the server."""

import asyncio
import contextlib
import time
from collections.abc import Iterator

import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from export.answers import answers_of
from export.serving import rest
from export.serving.batching import Batcher
from export.serving.errors import Code, ServingError
from export.serving.limits import Limits
from export.serving.metrics import Metrics
from export.serving.page import render_page
from export.serving.served_model import DEFAULT_SIGNATURE
from export.versions import MODEL_NAME


def make_application(batcher: Batcher, limits: Limits, metrics: Metrics) -> Starlette:
    """The page at `/`, TensorFlow Serving's REST API below `/v1/models/realm`, `/healthz` and `/metrics`."""

    async def page(request: Request) -> Response:
        question = request.query_params.get('question')
        if question is None:
            return _page(version=batcher.model.version)
        if not question.strip():
            return _page(400, notice='The question is empty.', version=batcher.model.version)
        begin = time.perf_counter()
        try:
            with counted(metrics, 'page'):
                inputs = {'question': np.array([question.encode(errors='replace')], object)}
                outputs, version = await batcher.predict(DEFAULT_SIGNATURE, inputs)
        except ServingError as error:
            return _page(error.code.http_status, question=question, notice=str(error), version=batcher.model.version)
        (answers,) = answers_of({name: values.tolist() for name, values in outputs.items()})
        milliseconds = 1000 * (time.perf_counter() - begin)
        notice = '' if answers else 'There is no answer to this in the corpus.'
        return _page(question=question, answers=answers, notice=notice, milliseconds=milliseconds, version=version)

    async def predict(request: Request) -> Response:
        try:
            with counted(metrics, 'rest'):
                body = await _body(request, limits)
                parsed = await asyncio.to_thread(rest.parse_request, body, batcher.model)
                version = request.path_params.get('version')
                outputs, _ = await batcher.predict(parsed.signature_name, parsed.inputs, version=version)
                content = await asyncio.to_thread(rest.format_response, outputs, parsed.is_row)
        except ServingError as error:
            return _json(rest.format_error(str(error)), error.code.http_status)
        return _json(content)

    async def status(request: Request) -> Response:
        state = {
            'version': str(batcher.model.version),
            'state': 'AVAILABLE',
            'status': {'error_code': 'OK', 'error_message': ''},
        }
        return JSONResponse({'model_version_status': [state]})

    async def healthz(request: Request) -> Response:
        return JSONResponse({'status': 'ok', 'version': batcher.model.version})

    async def show_metrics(request: Request) -> Response:
        return Response(metrics.text(), media_type='text/plain; version=0.0.4; charset=utf-8')

    async def malformed(request: Request) -> Response:
        return _json(rest.format_error(f'Malformed request: {request.method} {request.url.path}'), 400)

    async def refused(request: Request, error: HTTPException) -> Response:
        return _json(rest.format_error(error.detail), error.status_code)

    model = f'/v1/models/{MODEL_NAME}'
    return Starlette(
        routes=[
            Route('/', page),
            Route(f'{model}:predict', predict, methods=['POST']),
            Route(f'{model}/versions/{{version:int}}:predict', predict, methods=['POST']),
            Route(model, status),
            Route('/healthz', healthz),
            Route('/metrics', show_metrics),
            Route('/v1/{rest:path}', malformed, methods=['GET', 'POST', 'PUT', 'PATCH', 'DELETE']),
        ],
        exception_handlers={HTTPException: refused},
    )


@contextlib.contextmanager
def counted(metrics: Metrics, interface: str) -> Iterator[None]:
    """Counts a request, how long it took and what became of it."""
    code = Code.INTERNAL
    begin = time.perf_counter()
    try:
        yield
        code = Code.OK
    except ServingError as error:
        code = error.code
        raise
    except HTTPException:
        code = Code.INVALID_ARGUMENT
        raise
    except asyncio.CancelledError:
        code = Code.CANCELLED
        raise
    finally:
        metrics.requests.labels(interface, code.name).inc()
        metrics.seconds.labels(interface).observe(time.perf_counter() - begin)


async def _body(request: Request, limits: Limits) -> bytes:
    """The body of a request, no more than is allowed, no slower than is waited for."""

    async def read():
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > limits.max_body_bytes:
                raise HTTPException(413, f'A request has at most {limits.max_body_bytes} bytes.')
        return bytes(body)

    try:
        return await asyncio.wait_for(read(), limits.max_seconds)
    except asyncio.TimeoutError:
        raise ServingError(Code.DEADLINE_EXCEEDED, 'The request was not sent in time.') from None
    except ClientDisconnect:
        raise ServingError(Code.CANCELLED, 'The client went away before the request was sent.') from None


def _page(status: int = 200, **content) -> Response:
    html, headers = render_page(**content)
    return HTMLResponse(html, status, headers)


def _json(content: bytes, status: int = 200) -> Response:
    return Response(content, status, media_type='application/json')
