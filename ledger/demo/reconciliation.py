"""The proof: what the ledger's own events and balances say of each household, against the files."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from loyalty.v1.audit_service_pb2 import ReadEventsRequest
from loyalty.v1.pos_service_pb2 import GetBalanceRequest, GetBalanceResponse

from ledger.demo.client import Client, Unavailable, patiently
from ledger.demo.grocery_year import Figures

EVENTS_PER_MESSAGE: Final = 500

BALANCES_IN_FLIGHT: Final = 32

PROJECTIONS_PATIENCE_S: Final = 600.0
"""How long the demo waits for the views to reach the end of the log."""

NOTHING: Final = Figures(0, 0, 0)


class Difference(NamedTuple):
    """A figure of one household, or of a member who is none, that is not the same on both sides."""

    who: str
    figure: str
    in_files: int
    in_ledger: int

    def __str__(self) -> str:
        return f"{self.who}: {self.figure} {self.in_files:,} in the files, {self.in_ledger:,} in the ledger"


class Total(NamedTuple):
    """A figure over all households, and for how many of them it differs."""

    figure: str
    in_files: int | None
    """None where the files do not say."""
    in_ledger: int
    differences: int


@dataclass(frozen=True, kw_only=True)
class Reconciliation:
    """The comparison of all households."""

    totals: list[Total]
    differences: list[Difference]
    knows_points: bool = True
    """Whether the files say how many points there must be."""

    @property
    def holds(self) -> bool:
        """Whether nothing differs."""
        return not self.differences


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What the ledger holds of a program."""

    events: dict[str, Figures]
    """By member: sales, money and points issued, summed from the events."""
    balances: dict[str, int]
    """By member: points available, from the view of balances."""


async def read_events(client: Client, program: str) -> tuple[dict[str, Figures], int]:
    """Sales, money and points issued by member of a program, and the position they are from."""
    request = ReadEventsRequest(types=["MemberEnrolled", "SaleRecorded"], batch_size=EVENTS_PER_MESSAGE)
    figures: dict[str, Figures] = {}
    position = 0
    async for page in client.audit.ReadEvents(request, metadata=client.metadata):
        position = page.position
        for event in page.events:
            member = event.subject
            if event.HasField("member_enrolled"):
                if event.member_enrolled.program == program:
                    figures[member] = NOTHING
            elif member in figures:
                sale = event.sale_recorded
                sales, net_minor, points = figures[member]
                figures[member] = Figures(
                    sales + 1,
                    net_minor + sum(sale.line_net_minor),
                    points + sale.repaid_points + sum(lot.points for lot in sale.lots),
                )
    return figures, position


async def read_balances(
    client: Client, members: Iterable[str], position: int, as_of: Timestamp | None = None
) -> dict[str, GetBalanceResponse]:
    """Each member's balance, now or as of an instant, once the views have reached a position."""
    room = asyncio.Semaphore(BALANCES_IN_FLIGHT)

    async def read(member: str) -> GetBalanceResponse:
        request = GetBalanceRequest(member=member, min_position=position, as_of=as_of)

        async def attempt() -> GetBalanceResponse:
            try:
                return await client.call(client.pos.GetBalance, request)
            except grpc.aio.AioRpcError as error:
                if error.code() == grpc.StatusCode.FAILED_PRECONDITION:  # the view is behind
                    raise Unavailable(error.details()) from None
                raise

        async with room:
            return await patiently(attempt, PROJECTIONS_PATIENCE_S)

    async with asyncio.TaskGroup() as tasks:
        read_by_member = {member: tasks.create_task(read(member)) for member in members}
    return {member: task.result() for member, task in read_by_member.items()}


def reconcile(
    expected: Mapping[int, Figures], members: Mapping[int, str], recorded: Recorded, *, knows_points: bool = True
) -> Reconciliation:
    """Compares every figure of every household.

    Args:
        expected: What the files say, by household.
        members: The member that each household became.
        recorded: What the ledger says, by member.
        knows_points: Whether the files' figures of points are those of the program.
    """
    household_of = {member: household_id for household_id, member in members.items()}
    names = {member: f"household {household_of[member]}" for member in household_of}
    in_files = {members[household_id]: figures for household_id, figures in expected.items()}
    columns: list[tuple[str, Mapping[str, int], Mapping[str, int]]] = [
        ("members", dict.fromkeys(in_files, 1), dict.fromkeys(recorded.events, 1)),
        ("sales", _column(in_files, 0), _column(recorded.events, 0)),
        ("money in cents", _column(in_files, 1), _column(recorded.events, 1)),
    ]
    points = [("points issued", _column(recorded.events, 2)), ("points balance", recorded.balances)]
    if knows_points:
        columns += [(figure, _column(in_files, 2), ledger) for figure, ledger in points]
    totals = []
    differences = []
    for figure, files, ledger in columns:
        found = [
            Difference(names.get(member, member), figure, files.get(member, 0), ledger.get(member, 0))
            for member in sorted(files.keys() | ledger.keys())
            if files.get(member, 0) != ledger.get(member, 0)
        ]
        totals.append(Total(figure, sum(files.values()), sum(ledger.values()), len(found)))
        differences += found
    if not knows_points:
        totals += [Total(figure, None, sum(ledger.values()), 0) for figure, ledger in points]
    return Reconciliation(totals=totals, differences=differences, knows_points=knows_points)


def _column(figures: Mapping[str, Figures], index: int) -> dict[str, int]:
    return {member: row[index] for member, row in figures.items()}
