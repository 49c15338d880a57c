"""A load that is killed on the way: python -m tests.demo.killed ADDRESS TOKEN BASKETS SALES_BEFORE_THE_END."""

import os
import signal
import sys

from ledger.demo.own_server import Endpoint
from ledger.demo.run import run


class Death:
    """Kills the process, without any warning, after so many sales."""

    def __init__(self, sales: int) -> None:
        self._sales_left = sales
        self._is_loading = False

    def stage(self, name: str, total: int = 0) -> None:
        """Only the recording of sales has a total."""
        self._is_loading = total > 0

    def advance(self, steps: int) -> None:
        """Counts."""
        self._sales_left -= steps
        if self._is_loading and self._sales_left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    address, token, baskets, sales = sys.argv[1:]
    run(Endpoint(address, token), int(baskets), Death(int(sales)))
