"""The proof of what a CRM team is told: members, departments, products and pairs, one by one against the files."""

import asyncio
from collections.abc import AsyncIterable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import grpc
from google.protobuf.struct_pb2 import Struct
from loyalty.v1.insight_pb2 import Item, ReadPairsRequest, ReadSalesFiguresRequest, SalesDimension, SalesFigures
from loyalty.v1.profile_pb2 import GetMemberRequest, GetMemberResponse
from loyalty.v1.value_pb2 import ListHighValueMembersRequest, ListRfmMembersRequest, SalesSpan

from ledger.demo.client import Client, Unavailable, patiently
from ledger.demo.reconciliation import PROJECTIONS_PATIENCE_S

MESSAGE_TIMEOUT_S: Final = 300.0
"""How long an answer may take."""

PAGE_MEMBERS: Final = 1_000

PROFILES_IN_FLIGHT: Final = 16

HIGH_VALUE_MILLIONTHS: Final = 100_000
"""The tenth of the members who spend most is of high value."""

_CATEGORY = SalesDimension.SALES_DIMENSION_CATEGORY
_SKU = SalesDimension.SALES_DIMENSION_SKU

Told = dict[str, dict[str, str]]
"""By figure and by whom or what it is about."""


class InsightDifference(NamedTuple):
    """A figure that is not the same on both sides."""

    who: str
    figure: str
    in_files: str | None
    """None where there is none."""
    in_ledger: str | None

    def __str__(self) -> str:
        return f"{self.figure} of {self.who}: {self.in_files} in the files, {self.in_ledger} in the ledger"


class InsightTotal(NamedTuple):
    """How many figures there are on each side, and how many differ."""

    figure: str
    in_files: int
    in_ledger: int
    differences: int


@dataclass(frozen=True, kw_only=True)
class InsightComparison:
    """The comparison of every figure."""

    totals: list[InsightTotal]
    differences: list[InsightDifference]

    @property
    def holds(self) -> bool:
        """Whether nothing differs."""
        return not self.differences


def compare(files: Mapping[str, Mapping[str, str]], ledger: Mapping[str, Mapping[str, str]]) -> InsightComparison:
    """Compares everything that either side tells."""
    totals = []
    differences = []
    for figure in files.keys() | ledger.keys():
        theirs, ours = files.get(figure, {}), ledger.get(figure, {})
        found = [
            InsightDifference(who, figure, theirs.get(who), ours.get(who))
            for who in sorted(theirs.keys() | ours.keys())
            if theirs.get(who) != ours.get(who)
        ]
        totals.append(InsightTotal(figure, len(theirs), len(ours), len(found)))
        differences += found
    return InsightComparison(totals=sorted(totals), differences=sorted(differences, key=lambda one: one.figure))


async def read_insight(client: Client, program: str, position: int) -> Told:
    """What the API tells, once the view has reached a position."""

    async def sales(*group_by: SalesDimension.ValueType) -> list[SalesFigures]:
        request = ReadSalesFiguresRequest(program=program, group_by=group_by, min_position=position)
        parts = await _read(lambda: client.crm.ReadSalesFigures(request, **_options(client)))
        return [line for part in parts for line in part.lines]

    async def pairs() -> dict[str, str]:
        request = ReadPairsRequest(program=program, item=Item.ITEM_CATEGORY, min_sales=1, min_position=position)
        parts = await _read(lambda: client.crm.ReadPairs(request, **_options(client)))
        return {f"{pair.first} + {pair.second}": str(pair.sales) for part in parts for pair in part.pairs}

    departments, products, together, scores, valued = await asyncio.gather(
        sales(_CATEGORY), sales(_SKU), pairs(), _scores(client, program, position), _valued(client, program, position)
    )
    facts = await _facts(client, scores, position)
    return {
        "RFM scores": scores,
        "high-value members": valued,
        "favourite stores": _told(facts, "favourite_store"),
        "favourite categories": _told(facts, "favourite_category"),
        "department sales": {line.key.category: _sold(line) for line in departments},
        "product sales": {line.key.sku: _sold(line) for line in products},
        "department pairs": together,
    }


def _options(client: Client) -> dict[str, Any]:
    return {"metadata": client.metadata, "timeout": MESSAGE_TIMEOUT_S}


async def _read(ask: Any) -> list[Any]:
    """All parts of an answer, asked for again while the view is behind or the server is busy."""

    async def attempt() -> list[Any]:
        parts: AsyncIterable[Any] = ask()
        with _patience():
            return [part async for part in parts]

    return await patiently(attempt, PROJECTIONS_PATIENCE_S)


async def _asked(client: Client, call: Any, request: Any) -> Any:
    """The same of an answer that is one message."""

    async def attempt() -> Any:
        with _patience():
            return await call(request, **_options(client))

    return await patiently(attempt, PROJECTIONS_PATIENCE_S)


@contextmanager
def _patience() -> Iterator[None]:
    """A block whose call may come too early."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        if error.code() in {grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.UNAVAILABLE}:
            raise Unavailable(error.details()) from None
        raise


def _sold(line: SalesFigures) -> str:
    return f"{line.net_minor} {line.units} {line.sales}"


async def _scores(client: Client, program: str, position: int) -> dict[str, str]:
    """Recency, frequency and monetary value of those who bought, each from 1 to 5."""
    request = ListRfmMembersRequest(span=SalesSpan(program=program), page_size=PAGE_MEMBERS, min_position=position)
    scored = await _pages(client, client.crm.ListRfmMembers, request)
    return {one.member: f"{one.recency} {one.frequency} {one.monetary}" for one in scored}


async def _valued(client: Client, program: str, position: int) -> dict[str, str]:
    """The members who spent most, with place and spend."""
    request = ListHighValueMembersRequest(
        span=SalesSpan(program=program),
        share_millionths=HIGH_VALUE_MILLIONTHS,
        page_size=PAGE_MEMBERS,
        min_position=position,
    )
    found = await _pages(client, client.crm.ListHighValueMembers, request)
    return {one.member: f"{place} {one.net_minor}" for place, one in enumerate(found, 1)}


async def _pages(client: Client, call: Any, request: Any) -> list[Any]:
    """The members of all pages of a list."""
    found: list[Any] = []
    while True:
        page = await _asked(client, call, request)
        found += page.members
        request.page_token = page.next_page_token
        if not request.page_token:
            return found


async def _facts(client: Client, members: Iterable[str], position: int) -> dict[str, Struct]:
    """What is known of each member."""
    room = asyncio.Semaphore(PROFILES_IN_FLIGHT)

    async def read(member: str) -> Struct:
        async with room:
            request = GetMemberRequest(member=member, min_position=position)
            answer: GetMemberResponse = await _asked(client, client.crm.GetMember, request)
            return answer.facts

    async with asyncio.TaskGroup() as tasks:
        reading = {member: tasks.create_task(read(member)) for member in members}
    return {member: task.result() for member, task in reading.items()}


def _told(facts: Mapping[str, Struct], name: str) -> dict[str, str]:
    return {member: str(known[name]) for member, known in facts.items() if name in known}
