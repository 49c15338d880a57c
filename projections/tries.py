"""How a reader waits for a view, whose projection runs in another process: it looks again."""

import time
from collections.abc import Iterator
from typing import Final

POLL_S: Final = 0.01
"""How often a waiting reader looks."""


def tries(timeout_s: float) -> Iterator[None]:
    """One turn at once and another every POLL_S until the time is over, the last one then."""
    deadline = time.monotonic() + timeout_s
    while True:
        yield
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            return
        time.sleep(min(remaining, POLL_S))
