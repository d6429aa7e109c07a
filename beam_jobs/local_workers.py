"""Worker processes of a job that runs on this machine."""

import atexit
import collections
import contextlib
import importlib
import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from multiprocessing.connection import Connection
from typing import NoReturn

import psutil
from apache_beam.portability.api import endpoints_pb2
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.runners.portability.fn_api_runner.worker_handlers import GrpcWorkerHandler, WorkerHandler
from apache_beam.runners.worker import sdk_worker_main
from apache_beam.transforms.environments import Environment
from google.protobuf import text_format

_URN = 'realm:environment:local:v1'
_HEAVY = 'tensorflow_text'
# A fork is there at once, with all that its parent imported, in the same memory. On macOS, libraries do not bear it.
_processes = multiprocessing.get_context('fork' if sys.platform == 'linux' else 'spawn')


class Nursery:
    """A process that makes workers, as its forks. They end with it, and it ends with this process, or if one fails.

    Args:
      imports: a module that it imports first, while this process goes on.
    """

    def __init__(self, imports: str | None = None):
        self._orders, orders = _processes.Pipe()
        # It gets this end only to close it: it has to see when this process does.
        self._process = _processes.Process(target=_nurse, args=(orders, self._orders, imports))
        self._process.start()
        orders.close()
        atexit.register(self.close)

    @property
    def exit_code(self) -> int | None:
        """How it ended, as the worker did that failed: a status, or a signal as a negative number; None: it works."""
        return self._process.exitcode

    def begin_worker(self, environment: Mapping[str, str]) -> None:
        """Makes a worker.

        Args:
          environment: the variables that Beam's worker program reads.
        """
        self._orders.send(environment)

    def close(self) -> None:
        """Ends it, and the workers. What they made is in files."""
        # It may have ended.
        with contextlib.suppress(OSError):
            self._orders.send(None)
        self._process.join()


# Where the workers come from that the runner will ask for, in this order; and from where those come that it has.
_waiting: collections.deque[Nursery] = collections.deque()
_at_work: list[Nursery] = []


def make_runner(num_workers: int, has_light_steps: bool) -> FnApiRunner:
    """A runner with its own worker processes; call it before the program has threads, which do not go into a fork.

    Args:
      num_workers: how many processes work at a time.
      has_light_steps: whether the first steps of the pipeline need no TensorFlow, and those after them have resource
        hints. For Beam the latter are another environment, with workers of its own: the process that makes them
        imports TensorFlow while the light steps run.
    """
    for imports in [None, _HEAVY] if has_light_steps else [_HEAVY]:
        _waiting.extend([Nursery(imports)] * num_workers)
    return FnApiRunner(default_environment=_LocalEnvironment())


def exit_code_of_failed() -> int | None:
    """How a worker ended that should not have: an exit status, or a signal as a negative number; None if none did."""
    return next((nursery.exit_code for nursery in _at_work if nursery.exit_code), None)


def kill_workers() -> None:
    """Ends all processes that this one has started, at once; called in the main thread."""
    # That they end now is no news.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def end_at_once(sentence: str, status: int) -> NoReturn:
    """Ends this process from a signal handler, with its workers, without unwinding.

    An exception instead is lost where the signal falls into code that catches everything, and unwinding waits for
    Beam's threads, which wait for workers that are gone.

    Args:
      sentence: what goes to standard error.
      status: the exit status.
    """
    logging.disable()
    kill_workers()
    # Past the buffer, which the interrupted code may be writing to; behind what may be a progress bar. Whoever read it
    # may be gone.
    with contextlib.suppress(OSError):
        os.write(sys.stderr.fileno(), f'\n{sentence}\n'.encode())
    os._exit(status)


def _nurse(orders: Connection, other_end: Connection, imports: str | None) -> None:
    other_end.close()
    # What interrupts the job comes to its whole group; the driver ends its workers itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # By what becomes readable when it ends.
    workers: dict[int, multiprocessing.Process] = {}
    code = 0
    with _silence():
        if imports:
            importlib.import_module(imports)
        # The end of the file is that of the driver.
        with contextlib.suppress(EOFError):
            while code == 0:
                ready = set(multiprocessing.connection.wait([orders, *workers]))
                for ended in ready & workers.keys():
                    worker = workers.pop(ended)
                    # Its files are closed before it has an exit status.
                    worker.join()
                    code = code or worker.exitcode
                if orders in ready:
                    environment = orders.recv()
                    if environment is None:
                        break
                    worker = _processes.Process(target=_work, args=(environment,))
                    worker.start()
                    workers[worker.sentinel] = worker
    for worker in workers.values():
        worker.kill()
    if code < 0:
        os.kill(os.getpid(), -code)
    os._exit(code)


def _work(environment: Mapping[str, str]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with _silence():
        os.environ.update(environment)
        sdk_worker_main.main(sys.argv)


def _end_with_parent() -> None:
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    # Beam sets the level of its loggers itself, to INFO, and prints errors that it sends to the driver as well.
    logging.disable(logging.ERROR)
    with open(os.devnull, 'w') as nowhere, contextlib.redirect_stderr(nowhere):
        yield


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
    """Gives the runner a worker."""

    def __init__(self, payload, state, provision_info, grpc_server):
        super().__init__(state, provision_info, grpc_server)
        self._nursery = _waiting.popleft()

    def start_worker(self):
        control = endpoints_pb2.ApiServiceDescriptor(url=self.control_address)
        environment = {
            'WORKER_ID': self.worker_id,
            'CONTROL_API_SERVICE_DESCRIPTOR': text_format.MessageToString(control),
            'LOGGING_API_SERVICE_DESCRIPTOR': text_format.MessageToString(self.logging_api_service_descriptor()),
        }
        _at_work.append(self._nursery)
        self._nursery.begin_worker(environment)

    def stop_worker(self):
        _at_work.remove(self._nursery)
        if self._nursery not in _at_work:
            self._nursery.close()
