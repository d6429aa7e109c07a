"""What a server takes on, and what it refuses."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a server takes on.

    Attributes:
      max_batch: rows in one run of the graph.
      max_waiting: rows of a request and of others that go before them; with more it is refused, if any go before.
      max_body_bytes: of a request.
      max_rows: of a request.
      max_seconds: for a request, after which it is given up.
    """

    max_batch: int = 16
    max_waiting: int = 1024
    max_body_bytes: int = 8 << 20
    max_rows: int = 4096
    max_seconds: float = 30.0
