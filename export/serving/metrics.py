"""What the server counts, for Prometheus."""

import prometheus_client

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2.5, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The counters of one server.

    Attributes:
      registry: what they are read from.
      requests: requests by their interface and what became of them, a code of gRPC.
      seconds: how long a request took, by interface.
      questions: rows computed.
      batch_size: rows computed in one run of the graph.
      waiting: rows that wait.
      version: of the model that answers.
      swaps: how often another version took over.
    """

    def __init__(self):
        self.registry = prometheus_client.CollectorRegistry()
        prometheus_client.ProcessCollector(registry=self.registry)

        def named(kind, name, text, labels=(), **arguments):
            return kind(f'realm_{name}', text, labels, registry=self.registry, **arguments)

        counter, gauge, histogram = (
            prometheus_client.Counter,
            prometheus_client.Gauge,
            prometheus_client.Histogram,
        )
        self.requests = named(counter, 'requests', 'Requests, and what became of them.', ('interface', 'code'))
        self.seconds = named(histogram, 'request_seconds', 'Time to answer.', ('interface',), buckets=_SECONDS)
        self.questions = named(counter, 'questions', 'Rows computed.')
        self.batch_size = named(histogram, 'batch_size', 'Rows in one run of the graph.', buckets=_SIZES)
        self.waiting = named(gauge, 'waiting', 'Rows that wait.')
        self.version = named(gauge, 'model_version', 'The version that answers.')
        self.swaps = named(counter, 'swaps', 'Times that another version took over.')

    def text(self) -> bytes:
        """All of them in the format of Prometheus."""
        return prometheus_client.generate_latest(self.registry)
