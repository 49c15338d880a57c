"""Figures of sales and offers: how questions become SQL, and rows become figures."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from loyalty.v1 import insight_pb2 as pb
from psycopg import sql

from ledger.domain.names import member_name
from ledger.domain.rounding import INT64_MAX

Names = dict[str, sql.Composable]
"""What is put into a statement, by the name in braces."""

_DIMENSIONS: Final = pb.SalesDimension

_EXPRESSIONS: Final[Mapping[int, tuple[str, str]]] = {
    _DIMENSIONS.SALES_DIMENSION_SKU: ("sku", "s.sku"),
    _DIMENSIONS.SALES_DIMENSION_CATEGORY: ("category", "s.category"),
    _DIMENSIONS.SALES_DIMENSION_BRAND: ("brand", "s.brand"),
    _DIMENSIONS.SALES_DIMENSION_LABEL: ("label", "labels.label"),
    _DIMENSIONS.SALES_DIMENSION_STORE: ("store", "s.store"),
    _DIMENSIONS.SALES_DIMENSION_DAY: ("date", "s.day"),
    _DIMENSIONS.SALES_DIMENSION_WEEK: ("date", "date_trunc('week', s.day::timestamp)::date"),
    _DIMENSIONS.SALES_DIMENSION_MONTH: ("date", "date_trunc('month', s.day::timestamp)::date"),
    _DIMENSIONS.SALES_DIMENSION_CHANNEL: ("channel", "s.channel"),
    _DIMENSIONS.SALES_DIMENSION_TIER: ("tier", "coalesce(s.tier, '')"),
    _DIMENSIONS.SALES_DIMENSION_MEMBER: ("member", "s.member_id"),
}
"""The field of SalesKey, and what it is in SQL."""

_NOT_TEXT: Final = frozenset({"date", "channel", "member"})

_VALUES: Final[Mapping[str, Callable[[Any], Any]]] = {"date": str, "member": member_name}

KEYS: Final = ("stores", "channels", "tiers", "skus", "categories", "brands", "labels", "offers")
"""The lists of a filter."""

_OF_RECEIPTS: Final[Mapping[str, str]] = {
    "stores": "s.store = ANY (%(stores)s)",
    "channels": "s.channel = ANY (%(channels)s)",
    "tiers": "s.tier = ANY (%(tiers)s)",
}
_OF_LINES: Final[Mapping[str, str]] = {
    "skus": "s.sku = ANY (%(skus)s)",
    "categories": "s.category = ANY (%(categories)s)",
    "brands": "s.brand = ANY (%(brands)s)",
    "labels": "s.labels && %(labels)s::text[]",
    "offers": "s.of_position IN"
    " (SELECT u.position FROM views.offer_uses u WHERE u.offer = ANY (%(offers)s) AND u.kind <> 'issued')",
}
_OF_OFFERS: Final[Mapping[str, str]] = {"offers": "s.offer = ANY (%(offers)s)"}

_SUMS: Final = (
    "sales", "members", "units", "returned_units", "gross_minor", "till_discount_minor", "reward_discount_minor",
    "returned_minor", "net_minor", "costed_net_minor", "margin_minor", "awarded_points", "taken_back_points",
    "redeemed_points", "restored_points",
)  # fmt: skip
_OFFER_SUMS: Final = (
    "sales", "members", "net_minor", "awarded_points", "redemptions", "quantity", "redeemed_points", "value_minor",
    "granted",
)  # fmt: skip


class Grouping:
    """What figures are told by, as parts of a statement, each with a comma before it."""

    def __init__(self, dimensions: Iterable[int]) -> None:
        self.keys = [_EXPRESSIONS[one] for one in dimensions]
        self.has_labels = any(name == "label" for name, _ in self.keys)

    @property
    def columns(self) -> sql.Composable:
        """Expressions with their names."""
        return _listed(f"{expression} AS {name}" for name, expression in self.keys)

    @property
    def expressions(self) -> sql.Composable:
        """Expressions without."""
        return _listed(expression for _, expression in self.keys)

    @property
    def names(self) -> sql.Composable:
        """The names alone."""
        return _listed(name for name, _ in self.keys)

    @property
    def ordered(self) -> sql.Composable:
        """The names as an order."""
        return _listed(name if name in _NOT_TEXT else f'{name} COLLATE "C"' for name, _ in self.keys)

    @property
    def labels(self) -> sql.Composable:
        """What gives a line once for each of its labels, where that is asked for."""
        if not self.has_labels:
            return sql.SQL("")
        return sql.SQL(" CROSS JOIN LATERAL (SELECT DISTINCT unnest(s.labels) AS label) AS labels")


def conditions(chosen: pb.SalesFilter, *, of_lines: bool) -> sql.Composable:
    """What a filter restricts."""
    known = {**_OF_RECEIPTS, **(_OF_LINES if of_lines else _OF_OFFERS)}
    parts = ["s.program = %(program)s", "s.day >= %(from)s", "s.day < %(until)s"]
    parts += [condition for name, condition in known.items() if getattr(chosen, name)]
    return sql.SQL(" AND ").join(map(sql.SQL, parts))


def by_sales_order(order: pb.SalesOrder.ValueType, grouping: Grouping) -> sql.Composable:
    """The order of figures."""
    first = {
        pb.SalesOrder.SALES_ORDER_NET: "net_minor DESC",
        pb.SalesOrder.SALES_ORDER_UNITS: "units DESC",
        pb.SalesOrder.SALES_ORDER_SALES: "sales DESC",
    }.get(order, "whole")
    return sql.SQL(first) + grouping.ordered


def by_pair_order(order: pb.PairOrder.ValueType) -> sql.Composable:
    """The order of pairs."""
    first = {
        pb.PairOrder.PAIR_ORDER_LIFT: "sales::numeric / (first_sales::numeric * second_sales) DESC",
        pb.PairOrder.PAIR_ORDER_CONFIDENCE: "sales::numeric / first_sales DESC",
    }.get(order, "sales DESC")
    return sql.SQL(first)


def sales_figures(dimensions: Sequence[int]) -> Callable[[Sequence[Any]], pb.SalesFigures]:
    """What makes a line of a row: nothing, its key, its sums, its dates, its offers and their points."""
    key_of = _key_of(dimensions)
    behind = 1 + len(dimensions) + len(_SUMS)

    def as_message(row: Sequence[Any]) -> pb.SalesFigures:
        sums: dict[str, Any] = dict(zip(_SUMS, map(int64, row[1 + len(dimensions) : behind]), strict=True))
        line = pb.SalesFigures(key=key_of(row[1:]), **sums)
        first, last, offers, points = row[behind:]
        if first is not None:
            line.first_date, line.last_date = str(first), str(last)
        for offer, given in zip(offers or (), points or (), strict=True):
            line.offers.add(offer=offer, points=int64(given))
        return line

    return as_message


def offer_figures(
    dimensions: Sequence[int], kinds: Mapping[str, pb.OfferKind.ValueType]
) -> Callable[[Sequence[Any]], pb.OfferFigures]:
    """What makes a line of a row: whether it is a reward, the offer, its key, its sums."""
    key_of = _key_of(dimensions)

    def as_message(row: Sequence[Any]) -> pb.OfferFigures:
        is_reward, offer = row[:2]
        sums = dict(zip(_OFFER_SUMS, map(int64, row[2 + len(dimensions) :]), strict=True))
        unknown = pb.OfferKind.OFFER_KIND_UNSPECIFIED
        kind = pb.OfferKind.OFFER_KIND_REWARD if is_reward else kinds.get(offer, unknown)
        return pb.OfferFigures(kind=kind, offer=offer, key=key_of(row[2:]), **sums)

    return as_message


def _key_of(dimensions: Sequence[int]) -> Callable[[Sequence[Any]], pb.SalesKey]:
    names = [_EXPRESSIONS[one][0] for one in dimensions]

    def key_of(values: Sequence[Any]) -> pb.SalesKey:
        shown = {name: _VALUES.get(name, _same)(value) for name, value in zip(names, values, strict=False)}
        return pb.SalesKey(**shown)

    return key_of


def _same(value: Any) -> Any:
    return value


def _listed(parts: Iterable[str]) -> sql.Composable:
    return sql.SQL("").join(sql.SQL(f", {part}") for part in parts)


def int64(value: Any) -> int:
    """A sum as a whole number. Raises OverflowError where it has more than 64 bits."""
    number = int(value)
    if abs(number) > INT64_MAX:
        raise OverflowError
    return number
