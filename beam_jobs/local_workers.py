"""Worker processes of a job that runs on this machine."""

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Mapping
from multiprocessing.connection import Connection

from apache_beam.portability.api import endpoints_pb2
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.runners.portability.fn_api_runner.worker_handlers import GrpcWorkerHandler, WorkerHandler
from apache_beam.runners.worker import sdk_worker_main
from apache_beam.transforms.environments import Environment
from google.protobuf import text_format

_URN = 'realm:environment:local_worker:v1'
# A fork is there at once, with all that its parent imported. On macOS, libraries do not bear it.
_processes = multiprocessing.get_context('fork' if sys.platform == 'linux' else 'spawn')


class LocalWorker:
    """A process that waits to be a worker of a pipeline, and ends with this one.

    Attributes:
      process: the process.
    """

    def __init__(self):
        self._orders, orders = _processes.Pipe()
        self.process = _processes.Process(target=_work, args=(orders,), daemon=True)
        self.process.start()
        orders.close()

    def begin(self, environment: Mapping[str, str]) -> None:
        """Lets it work.

        Args:
          environment: the variables that Beam's worker program reads.
        """
        self._orders.send(environment)


_waiting: list[LocalWorker] = []
_working: list[LocalWorker] = []


def make_runner(num_workers: int) -> FnApiRunner:
    """A runner with its own worker processes; call it before the program has threads, which do not go into a fork.

    Args:
      num_workers: how many processes.
    """
    _waiting.extend(LocalWorker() for _ in range(num_workers))
    return FnApiRunner(default_environment=_LocalEnvironment())


def exit_code_of_failed() -> int | None:
    """How a worker ended that should not have: its exit status, or a signal as a negative number; None if all work."""
    codes = [worker.process.exitcode for worker in _working]
    return next((code for code in codes if code is not None), None)


def _work(orders: Connection) -> None:
    # What interrupts the job comes to its whole group; the driver ends its workers itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # Beam sets the level of its loggers itself, to INFO, and prints errors that it sends to the driver as well.
    logging.disable(logging.ERROR)
    with open(os.devnull, 'w') as nowhere, contextlib.redirect_stderr(nowhere), contextlib.suppress(EOFError):
        os.environ.update(orders.recv())
        threading.Thread(target=_end_with_driver, args=(orders,), daemon=True).start()
        sdk_worker_main.main(sys.argv)


def _end_with_driver(orders: Connection) -> None:
    # Nothing more is sent: it waits until there is no one to send it.
    with contextlib.suppress(EOFError):
        orders.recv()
    os._exit(1)


@Environment.register_urn(_URN, bytes)
class _LocalEnvironment(Environment):
    """Tells the runner to work with `_LocalWorkerHandler`."""

    def to_runner_api_parameter(self, context):
        return _URN, b''

    @staticmethod
    def from_runner_api_parameter(payload, capabilities, artifacts, resource_hints, context):
        return _LocalEnvironment(capabilities, artifacts, resource_hints)


@WorkerHandler.register_environment(_URN, bytes)
class _LocalWorkerHandler(GrpcWorkerHandler):
    """Gives the runner one of the processes that wait."""

    def __init__(self, payload, state, provision_info, grpc_server):
        super().__init__(state, provision_info, grpc_server)
        self._worker = _waiting.pop()

    def start_worker(self):
        control = endpoints_pb2.ApiServiceDescriptor(url=self.control_address)
        environment = {
            'WORKER_ID': self.worker_id,
            'CONTROL_API_SERVICE_DESCRIPTOR': text_format.MessageToString(control),
            'LOGGING_API_SERVICE_DESCRIPTOR': text_format.MessageToString(self.logging_api_service_descriptor()),
        }
        _working.append(self._worker)
        self._worker.begin(environment)

    def stop_worker(self):
        _working.remove(self._worker)
        # What it made is in files.
        self._worker.process.kill()
        self._worker.process.join()
