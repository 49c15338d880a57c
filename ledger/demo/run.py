"""The demo from beginning to end, against a server that runs."""

import asyncio
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from loyalty.v1.account_pb2 import Balance
from loyalty.v1.books_pb2 import GetLiabilityRequest, GetLiabilityResponse
from loyalty.v1.program_pb2 import Program

from ledger.demo.client import Client
from ledger.demo.grocery_year import GroceryYear
from ledger.demo.insight import InsightComparison, compare, read_insight
from ledger.demo.loader import LANES, enroll, ensure_program, find_sent, load
from ledger.demo.own_server import Endpoint
from ledger.demo.reconciliation import (
    Reconciliation,
    Recorded,
    read_balances,
    read_events,
    reconcile,
)
from ledger.domain.instant import to_timestamp
from ledger.sample_program import demo_program

ResultT = TypeVar("ResultT")


class Progress(Protocol):
    """Is told how far the demo is."""

    def stage(self, name: str, total: int = 0) -> None:
        """What happens now, and of how many steps it consists when that is known."""

    def advance(self, steps: int) -> None:
        """How many of them are done."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What the demo came to."""

    sales_found: int
    """Sales that were in the ledger already."""
    sales_loaded: int
    """Sales that were sent."""
    load_seconds: float
    reconcile_seconds: float
    reconciliation: Reconciliation
    insight: InsightComparison
    """What a CRM team is told, compared with the files."""
    insight_seconds: float
    liability: GetLiabilityResponse
    """What the ledger owes by vintage."""
    position: int
    """The end of the log."""
    balances: Mapping[str, Balance]
    """What each member holds, by name, all as of the same instant."""

    as_of: str
    """That instant, as RFC 3339 has it."""

    @property
    def held_points(self) -> int:
        """What the balances of all members come to, pending and held points included."""
        return sum(one.available_points + one.pending_points + one.held_points for one in self.balances.values())

    @property
    def unexplained_points(self) -> int:
        """What the vintages come to more than the balances: 0."""
        return sum(vintage.closing_points for vintage in self.liability.vintages) - self.held_points

    @property
    def holds(self) -> bool:
        """Whether nothing differs."""
        return self.reconciliation.holds and self.insight.holds and not self.unexplained_points

    @property
    def sales_per_second(self) -> float:
        """The throughput of what was sent."""
        return self.sales_loaded / self.load_seconds if self.load_seconds else 0.0


def run(endpoint: Endpoint, baskets: int | None, progress: Progress, program: Program | None = None) -> Report:
    """Loads the first baskets of the year, or all, and compares the ledger with the files.

    With another program than the demo's own, nobody but the ledger knows what its points should be.

    Raises:
        DemoFailed: It cannot go on.
        grpc.aio.AioRpcError: The server refused a call.
    """
    with GroceryYear(baskets, lanes=LANES) as year:
        return finished(_run(endpoint, year, progress, program))


def finished(work: Coroutine[Any, Any, ResultT]) -> ResultT:
    """What some work comes to; of several failures of tasks that ran at once the first, which says it all."""
    try:
        return asyncio.run(work)
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None


async def _run(endpoint: Endpoint, year: GroceryYear, progress: Progress, other: Program | None) -> Report:
    program = other or demo_program()
    async with Client(endpoint.address, endpoint.token) as client:
        households = year.households()
        progress.stage(f"Enrolling {len(households):,} households")
        await ensure_program(client, program)
        members = await enroll(client, households, program.name)

        sent = await find_sent(client, year)
        baskets = sum(len(lane) for lane in year.lanes())
        progress.stage("Recording sales", baskets)
        progress.advance(sum(sent))
        started = time.monotonic()
        await load(client, year, members, sent, progress.advance)
        load_seconds = time.monotonic() - started

        progress.stage("Reconciling with the files")
        started = time.monotonic()
        events, position = await read_events(client, program.name)
        as_of = to_timestamp(time.time_ns() // 1_000)
        views = await read_balances(client, events, position, as_of)
        balances = {member: view.balance for member, view in views.items()}
        available = {member: balance.available_points for member, balance in balances.items()}
        reconciliation = reconcile(
            year.expected(), members, Recorded(events=events, balances=available), knows_points=other is None
        )
        liability = await client.call(client.audit.GetLiability, GetLiabilityRequest(program=program.name))
        reconcile_seconds = time.monotonic() - started
        progress.stage("Comparing what is told of members, departments and products")
        started = time.monotonic()
        told = await read_insight(client, program.name, position)
        insight = compare(year.expected_insight(members), told)
        return Report(
            insight=insight,
            insight_seconds=time.monotonic() - started,
            liability=liability,
            position=position,
            balances=balances,
            as_of=as_of.ToJsonString(),
            sales_found=sum(sent),
            sales_loaded=baskets - sum(sent),
            load_seconds=load_seconds,
            reconcile_seconds=reconcile_seconds,
            reconciliation=reconciliation,
        )
