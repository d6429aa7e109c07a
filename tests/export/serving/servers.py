"""Servers, as real processes."""

import contextlib
import dataclasses
import re
import signal
import subprocess
import sys

import urllib3


@dataclasses.dataclass
class Server:
    """A process that serves.

    Attributes:
      process: the process.
      url: of its HTTP.
      grpc: address of its gRPC.
    """

    process: subprocess.Popen
    url: str
    grpc: str

    def get(self, path, **fields):
        """Asks for a page."""
        return urllib3.request('GET', f'{self.url}{path}', fields=fields or None, retries=False)

    def predict(self, body, path='/v1/models/realm:predict'):
        """Sends a request of TensorFlow Serving's REST API; the body is JSON, or bytes."""
        content = {'body': body} if isinstance(body, bytes) else {'json': body}
        return urllib3.request('POST', f'{self.url}{path}', retries=False, timeout=600, **content)

    def stop(self) -> int:
        """Ends it as an operator does; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(600)


@contextlib.contextmanager
def started(base, *arguments):
    """Starts a server of an export on free ports."""
    # A busy machine is slow: nothing is given up for that.
    ports = ['--port', '0', '--grpc-port', '0', '--max-seconds', '600']
    command = [sys.executable, '-m', 'export.serve', '--model', str(base), *ports]
    process = subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        grpc = re.fullmatch(r'gRPC on (\S+)\n', process.stdout.readline())[1]
        url = re.search(r'(http://\S+)/\n', process.stdout.readline())[1]
        yield Server(process, url, grpc)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
