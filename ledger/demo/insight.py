"""The proof of what a CRM team is told: members, departments, products and pairs, one by one against the files."""

import asyncio
from collections.abc import AsyncIterable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import grpc
from loyalty.v1.insight_pb2 import Item, ReadPairsRequest, ReadSalesFiguresRequest, SalesDimension, SalesFigures

from ledger.demo.client import Client, Unavailable, patiently
from ledger.demo.reconciliation import PROJECTIONS_PATIENCE_S

MESSAGE_TIMEOUT_S: Final = 300.0
"""How long an answer may take."""

QUINTILES: Final = 5

HIGH_VALUE_ONE_IN: Final = 10
"""Of so many members, the one who spends most is of high value."""

_MEMBER = SalesDimension.SALES_DIMENSION_MEMBER
_STORE = SalesDimension.SALES_DIMENSION_STORE
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

    members, stores, categories, departments, products, together = await asyncio.gather(
        sales(_MEMBER), sales(_MEMBER, _STORE), sales(_MEMBER, _CATEGORY), sales(_CATEGORY), sales(_SKU), pairs()
    )
    return {
        "RFM scores": _scores(members),
        "high-value members": _high_value(members),
        "favourite stores": _favourites((line.key.member, line.key.store, line) for line in stores),
        "favourite categories": _favourites((line.key.member, line.key.category, line) for line in categories),
        "department sales": {line.key.category: _sold(line) for line in departments},
        "product sales": {line.key.sku: _sold(line) for line in products},
        "department pairs": together,
    }


def _options(client: Client) -> dict[str, Any]:
    return {"metadata": client.metadata, "timeout": MESSAGE_TIMEOUT_S}


async def _read(ask: Any) -> list[Any]:
    """All parts of an answer, asked for again while the view is behind or the server is busy."""

    async def attempt() -> list[Any]:
        try:
            parts: AsyncIterable[Any] = ask()
            return [part async for part in parts]
        except grpc.aio.AioRpcError as error:
            if error.code() in {grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.UNAVAILABLE}:
                raise Unavailable(error.details()) from None
            raise

    return await patiently(attempt, PROJECTIONS_PATIENCE_S)


def _sold(line: SalesFigures) -> str:
    return f"{line.net_minor} {line.units} {line.sales}"


def _scores(lines: Iterable[SalesFigures]) -> dict[str, str]:
    """Recency, frequency and monetary value of those who bought, each from 1 to 5, as SQL's ntile has it."""
    bought = {line.key.member: line for line in lines if line.sales}
    by_figure = [
        _quintiles({member: line.last_date for member, line in bought.items()}),
        _quintiles({member: line.sales for member, line in bought.items()}),
        _quintiles({member: line.net_minor for member, line in bought.items()}),
    ]
    return {member: " ".join(str(scores[member]) for scores in by_figure) for member in bought}


def _quintiles(figures: Mapping[str, Any]) -> dict[str, int]:
    """The first quintiles have one more where they cannot be of one size."""
    ordered = sorted(figures, key=lambda member: (figures[member], member))
    size, larger = divmod(len(ordered), QUINTILES)
    bounds = [score * size + min(score, larger) for score in range(QUINTILES + 1)]
    return {member: score + 1 for score in range(QUINTILES) for member in ordered[bounds[score] : bounds[score + 1]]}


def _high_value(lines: Iterable[SalesFigures]) -> dict[str, str]:
    """A tenth of those who bought, with place and spend."""
    ordered = sorted((line for line in lines if line.sales), key=lambda line: (-line.net_minor, line.key.member))
    most = -(-len(ordered) // HIGH_VALUE_ONE_IN)
    return {line.key.member: f"{place} {line.net_minor}" for place, line in enumerate(ordered[:most], 1)}


def _favourites(lines: Iterable[tuple[str, str, SalesFigures]]) -> dict[str, str]:
    """Where or what each member bought most often; of several the one they spent most on, then the first by name."""
    best: dict[str, tuple[int, int, str]] = {}
    for member, name, line in lines:
        rank = (-line.sales, -line.net_minor, name)
        if name and rank < best.get(member, (1, 0, "")):
            best[member] = rank
    return {member: name for member, (_, _, name) in best.items()}
