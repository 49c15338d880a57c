"""The year from beginning to end, by both."""

import time
from dataclasses import dataclass

from loyalty.v1.program_pb2 import Program

from ledger.demo.own_server import Endpoint
from ledger.demo.run import Progress, Report, finished, run
from tests.model.scheme import Rules
from tests.year.by_ledger import by_ledger
from tests.year.by_model import by_model
from tests.year.sheet import Comparison, compare


@dataclass(frozen=True, kw_only=True)
class YearReport:
    """What it came to."""

    demo: Report
    """Members, sales and money against the files."""
    points: Comparison
    """All else against the model."""
    at: int
    """The instant that balances are compared at, in microseconds since 1970."""
    read_seconds: float
    model_seconds: float

    @property
    def holds(self) -> bool:
        """Whether nothing differs."""
        return self.demo.reconciliation.holds and not self.points.differences


def run_by_both(
    endpoint: Endpoint, baskets: int | None, progress: Progress, program: Program, rules: Rules
) -> YearReport:
    """Loads the first baskets of the year, or all, and compares the ledger with the files and the model.

    Args:
        endpoint: Where the ledger is.
        baskets: How many; None for all.
        progress: Is told how far it is.
        program: What the ledger goes by.
        rules: What the model goes by.

    Raises:
        DemoFailed: It cannot go on.
        grpc.aio.AioRpcError: The server refused a call.
    """
    demo = run(endpoint, baskets, progress, program)
    progress.stage("Reading the ledger once more")
    started = time.monotonic()
    in_ledger, at = finished(by_ledger(endpoint, baskets, program.name))
    read_by = time.monotonic()
    progress.stage("Asking the model")
    in_model = by_model(rules, baskets, at)
    asked_by = time.monotonic()
    return YearReport(
        demo=demo,
        points=compare(in_model, in_ledger),
        at=at,
        read_seconds=read_by - started,
        model_seconds=asked_by - read_by,
    )
