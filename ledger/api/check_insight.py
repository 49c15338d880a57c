"""Checks of the requests about what members bought."""

from collections.abc import Iterable
from datetime import date
from typing import Any, Final

from loyalty.v1 import insight_pb2 as pb
from loyalty.v1.origin_pb2 import Channel

from ledger.api.fields import Checks, Problems, check_enum, check_not_negative, check_program_name, check_text
from ledger.domain.instant import is_day
from ledger.insight import LINES_MAX

VALUES_MAX: Final = 1_000
"""Values of one list of a filter."""

DIMENSIONS_MAX: Final = 3
"""By how much figures of sales are told."""

OFFER_DIMENSIONS_MAX: Final = 2
"""The same of offers, besides the offer itself."""

DEMAND_DAYS_MAX: Final = 1_100
"""Days that demand is told of."""

_TEXTS: Final = ("stores", "tiers", "skus", "categories", "brands", "labels", "offers")
_OF_RECEIPTS: Final = frozenset({"stores", "channels", "tiers"})
_EVERYTHING: Final = frozenset({*_TEXTS, "channels"})
_CHANNELS: Final = frozenset(Channel.values()) - {0}
_DIMENSIONS: Final = frozenset(pb.SalesDimension.values()) - {0}
_DATES: Final = frozenset(
    {
        pb.SalesDimension.SALES_DIMENSION_DAY,
        pb.SalesDimension.SALES_DIMENSION_WEEK,
        pb.SalesDimension.SALES_DIMENSION_MONTH,
    }
)
_OFFER_DIMENSIONS: Final = _DATES | {
    pb.SalesDimension.SALES_DIMENSION_STORE,
    pb.SalesDimension.SALES_DIMENSION_CHANNEL,
    pb.SalesDimension.SALES_DIMENSION_TIER,
}
_SALES_ORDERS: Final = frozenset(pb.SalesOrder.values())
_PAIR_ORDERS: Final = frozenset(pb.PairOrder.values())
_ITEMS: Final = frozenset(pb.Item.values())
_LIST_OF: Final = {pb.Item.ITEM_SKU: "skus", pb.Item.ITEM_BRAND: "brands"}


def _check_sales_figures(request: pb.ReadSalesFiguresRequest, _now: int, problems: Problems) -> None:
    """What ReadSalesFigures is asked with."""
    _question(request, problems)
    _filter(request.filter, _EVERYTHING, problems)
    _dimensions(request.group_by, _DIMENSIONS, DIMENSIONS_MAX, problems)
    check_enum(request.order, _SALES_ORDERS, "order", problems)


def _check_offer_figures(request: pb.ReadOfferFiguresRequest, _now: int, problems: Problems) -> None:
    """What ReadOfferFigures is asked with."""
    _question(request, problems)
    _filter(request.filter, _OF_RECEIPTS | {"offers"}, problems)
    _dimensions(request.group_by, _OFFER_DIMENSIONS, OFFER_DIMENSIONS_MAX, problems)


def _check_pairs(request: pb.ReadPairsRequest, _now: int, problems: Problems) -> None:
    """What ReadPairs is asked with."""
    _question(request, problems)
    _filter(request.filter, _OF_RECEIPTS, problems)
    check_enum(request.item, _ITEMS, "item", problems)
    check_text(request.of, "of", problems)
    check_not_negative(request.min_sales, "min_sales", problems)
    check_enum(request.order, _PAIR_ORDERS, "order", problems)


def _check_won_and_lost(request: pb.ReadWonAndLostRequest, _now: int, problems: Problems) -> None:
    """What ReadWonAndLost is asked with."""
    _question(request, problems)
    check_enum(request.item, _ITEMS, "item", problems)
    _filter(request.filter, _OF_RECEIPTS | {_LIST_OF.get(request.item, "categories")}, problems)
    for name in ("from_date", "until_date"):
        if getattr(request.filter, name):
            problems.append((f"filter.{name}", "must be empty: the periods have dates of their own"))
    names = ("first_from_date", "first_until_date", "second_from_date", "second_until_date")
    days = [_day(getattr(request, name), name, problems, required=True) for name in names]
    for (earlier, later), strictly in zip(((0, 1), (1, 2), (2, 3)), (True, False, True), strict=True):
        before, after = days[earlier], days[later]
        if before and after and (after <= before if strictly else after < before):
            problems.append((names[later], f"must {'be behind' if strictly else 'not be before'} {names[earlier]}"))


def _check_demand(request: pb.ReadDemandRequest, _now: int, problems: Problems) -> None:
    """What ReadDemand is asked with."""
    _question(request, problems)
    _filter(request.filter, _OF_RECEIPTS | {"skus"}, problems, dates_required=True)
    chosen = request.filter
    if not any(path.startswith("filter.") and "date" in path for path, _ in problems):
        days = (date.fromisoformat(chosen.until_date) - date.fromisoformat(chosen.from_date)).days
        if not 1 <= days <= DEMAND_DAYS_MAX:
            problems.append(("filter.until_date", f"must be 1 to {DEMAND_DAYS_MAX} days behind from_date"))


def _question(request: Any, problems: Problems) -> None:
    check_program_name(request.program, "program", problems)
    check_not_negative(request.min_position, "min_position", problems)
    if not 0 <= request.limit <= LINES_MAX:
        problems.append(("limit", f"must be from 0 to {LINES_MAX}"))


def _filter(
    chosen: pb.SalesFilter, allowed: frozenset[str], problems: Problems, *, dates_required: bool = False
) -> None:
    first = _day(chosen.from_date, "filter.from_date", problems, required=dates_required)
    until = _day(chosen.until_date, "filter.until_date", problems, required=dates_required)
    if first and until and until < first:
        problems.append(("filter.until_date", "must not be before from_date"))
    for name in (*_TEXTS, "channels"):
        values = getattr(chosen, name)
        if values and name not in allowed:
            problems.append((f"filter.{name}", "must be empty: these figures cannot be restricted by it"))
        if len(values) > VALUES_MAX:
            problems.append((f"filter.{name}", f"must be at most {VALUES_MAX}"))
    for name in _TEXTS:
        for index, value in enumerate(getattr(chosen, name)[:VALUES_MAX]):
            check_text(value, f"filter.{name}[{index}]", problems)
    for index, channel in enumerate(chosen.channels[:VALUES_MAX]):
        check_enum(channel, _CHANNELS, f"filter.channels[{index}]", problems)


def _dimensions(dimensions: Iterable[int], known: frozenset[int], most: int, problems: Problems) -> None:
    asked = list(dimensions)
    if len(asked) > most:
        problems.append(("group_by", f"must be at most {most}"))
        return
    for index, one in enumerate(asked):
        check_enum(one, known, f"group_by[{index}]", problems)
        if one in asked[:index]:
            problems.append((f"group_by[{index}]", "is named twice"))
        elif one in _DATES and _DATES & set(asked[:index]):
            problems.append((f"group_by[{index}]", "must be the only one of day, week and month"))


def _day(value: str, path: str, problems: Problems, *, required: bool) -> str:
    """A day, or nothing where it is not one."""
    if value or required:
        if is_day(value):
            return value
        problems.append((path, "must be a day, as 2026-01-31" + ("" if required else ", or empty")))
    return ""


CHECKS: Final[Checks] = {
    pb.ReadSalesFiguresRequest: _check_sales_figures,
    pb.ReadOfferFiguresRequest: _check_offer_figures,
    pb.ReadPairsRequest: _check_pairs,
    pb.ReadWonAndLostRequest: _check_won_and_lost,
    pb.ReadDemandRequest: _check_demand,
}
