"""Serves an exported model: a page, TensorFlow Serving's REST API and, if asked for, its gRPC.

python -m export.serve --model model --port 8501
"""

import asyncio
import contextlib
import importlib.util
import logging
import signal
import socket
import sys

import click

from export.errors import for_people
from export.versions import KIND, version_of
from realm_tf.artifacts import open_artifact
from realm_tf.environment import assume_frozen_weights
from realm_tf.errors import RealmError


@click.command(context_settings={'show_default': True, 'help_option_names': ['-h', '--help']})
@click.option('--model', required=True, help='An export: BASE, whose newest version is served, or BASE/<version>.')
@click.option('--host', default='127.0.0.1', help='Address; 0.0.0.0 for all of this machine.')
@click.option('--port', default=8501, type=click.IntRange(0, 65535), help='Port of HTTP; 0: a free one.')
@click.option('--grpc-port', type=click.IntRange(0, 65535), help='Port of gRPC; 0: a free one; unset: no gRPC.')
@click.option('--max-batch', default=16, type=click.IntRange(1), help='Questions computed together.')
@click.option('--max-waiting', default=1024, type=click.IntRange(1), help='Questions that wait; more are refused.')
@click.option('--max-seconds', default=30.0, type=click.FloatRange(0.1), help='The longest that a request may take.')
def serve(model, host, port, grpc_port, max_batch, max_waiting, max_seconds):
    """Serve an exported model: a page to ask it, and TensorFlow Serving's interfaces.

    A newer version in BASE takes over as soon as it is there. SIGTERM ends it after the requests that have come.
    """
    artifact = open_artifact(version_of(model), KIND)
    _require('starlette', 'uvicorn', 'prometheus_client')
    try:
        listening = socket.create_server((host, port))
    except OSError as error:
        raise RealmError(f'Port {port} of {host} cannot be used: {error.strerror}. Name another --port.') from error
    logging.basicConfig(format='%(asctime)s %(message)s', stream=sys.stderr)
    from export.serving.limits import Limits

    assume_frozen_weights(artifact.configuration.get('precision'))
    limits = Limits(max_batch=max_batch, max_waiting=max_waiting, max_seconds=max_seconds)
    asyncio.run(_serve(model, listening, host, grpc_port, limits))


async def _serve(base, listening, host, grpc_port, limits) -> None:
    import uvicorn

    from export.serving.application import make_application
    from export.serving.batching import Batcher
    from export.serving.hot_swap import follow, open_newest
    from export.serving.metrics import Metrics

    if grpc_port is not None:
        # Before the model is opened, as that of HTTP: whether the port can be used is known at once.
        grpc_server, grpc_port = _bind_grpc(host, grpc_port, limits)
    metrics = Metrics()
    batcher = Batcher(open_newest(base), limits, metrics)
    tasks = [asyncio.create_task(batcher.run()), asyncio.create_task(follow(base, batcher))]
    stop_grpc = contextlib.AsyncExitStack()
    if grpc_port is not None:
        from export.serving.prediction_service import start_prediction_service

        await start_prediction_service(grpc_server, batcher, metrics)
        stop_grpc.push_async_callback(grpc_server.stop, limits.max_seconds)
        click.echo(f'gRPC on {host}:{grpc_port}')
    address, port = listening.getsockname()[:2]
    click.echo(f'Version {batcher.model.version} of {base} on http://{address}:{port}/')
    sys.stdout.flush()
    # uvicorn raises the signal that ended it once more when it has drained.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    config = uvicorn.Config(
        make_application(batcher, limits, metrics),
        log_level='warning',
        access_log=False,
        timeout_graceful_shutdown=int(limits.max_seconds) + 1,
        limit_concurrency=2 * limits.max_waiting,
    )
    async with stop_grpc:
        await uvicorn.Server(config).serve(sockets=[listening])
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    batcher.close()


def _bind_grpc(host, port, limits):
    from export.serving.prediction_service import bound_server

    try:
        return bound_server(limits, f'{host}:{port}')
    except RuntimeError as error:
        raise RealmError(f'Port {port} of {host} cannot be used for gRPC. Name another --grpc-port.') from error


def _require(*packages: str) -> None:
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise RealmError(f'{", ".join(missing)} must be installed for this: pip install ".[serve]" in a checkout.')


if __name__ == '__main__':
    sys.exit(for_people(serve))
