"""Sales: what was sold to whom, line by line, and what came back.

Days are those of the program's time zone. A return or reversal has receipts and lines of its own, with what came back
as negative figures, so that sums over any time come out right: what came back counts on the day on which it did. A sale
that was reversed is voided: nobody counts it as a sale or visit.

Beside the lines is which offer gave how many points for them, and what was redeemed, with a sale or alone. The points
of a sale are shared over its lines, in proportion to what of them counted, so that figures of goods add up to those of
sales.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final
from uuid import UUID

from google.protobuf.message import Message
from loyalty.v1.account_pb2 import Award, Redemption
from loyalty.v1.events_pb2 import (
    MemberEnrolled,
    PointsRedeemed,
    RewardGranted,
    SaleRecorded,
    SaleReturned,
    TransactionReversed,
    Undo,
)
from loyalty.v1.origin_pb2 import Channel, Origin
from loyalty.v1.sale_pb2 import LineKind, SaleLine

from ledger.domain.basket import Basket
from ledger.domain.effect import effective_at
from ledger.domain.lot import points_of
from ledger.domain.names import last_id
from ledger.domain.rounding import share_out
from projections.page import Event
from projections.projection import Projection, Step, columns
from projections.sql import statements

_STORE = Channel.CHANNEL_STORE
_PRODUCT = LineKind.LINE_KIND_PRODUCT
_LINE_COLUMNS = 16


class Sales(Projection):
    """Receipts and lines of every member."""

    name: ClassVar[str] = "sales"
    sql: ClassVar[Mapping[str, bytes]] = statements("sales.sql")
    tables: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "sales_members": ("member_id",),
        "sales": ("member_id", "position"),
        "sale_lines": ("position", "number"),
        "sale_awards": ("position", "number"),
        "sale_places": ("member_id", "store", "channel"),
        "sale_categories": ("member_id", "category"),
        "redemptions": ("member_id", "position", "number"),
    }

    def collect(self, events: Sequence[Event]) -> list[Step]:
        """The statements that apply a page."""
        page = _Page()
        for event in events:
            add = _ADD.get(type(event.payload))
            if add is not None:
                add(page, event, event.payload)
        return page.steps()


class _Page:
    """What a page adds, by table."""

    def __init__(self) -> None:
        self._enrolled: list[tuple[Any, ...]] = []
        self._sold: list[tuple[Any, ...]] = []
        self._lines: list[list[Any]] = [[] for _ in range(_LINE_COLUMNS)]
        """By column: there are many of them."""
        self._awards: list[tuple[Any, ...]] = []
        self._redeemed: list[tuple[Any, ...]] = []
        self._returned: list[tuple[Any, ...]] = []
        self._lines_back: list[tuple[Any, ...]] = []
        self._reversed: list[tuple[Any, ...]] = []
        self._first: dict[UUID, int] = {}
        """The first position of each member in the page."""

    def enrol(self, event: Event, enrolled: MemberEnrolled) -> None:
        origin = enrolled.origin
        at = effective_at(enrolled, event.recorded_at)
        self._enrolled.append(
            (event.stream_id, enrolled.program, enrolled.time_zone, at, origin.store, origin.channel or _STORE)
        )

    def sell(self, event: Event, sale: SaleRecorded) -> None:
        position, member_id = event.position, event.stream_id
        lines, net = list(sale.request.sale.lines), list(sale.line_net_minor)
        units = [line.quantity if line.HasField("quantity") else 1 for line in lines]
        awarded = self._award(event, sale.awards, lines, net)
        redeemed = [0] * len(lines)
        if sale.redemptions:
            redeemed = _shared(sum(one.points for one in sale.redemptions), net)
            self._redeem(event, "in_sale", sale.origin, sale.redemptions)
        sold: tuple[Iterable[Any], ...] = (
            [member_id] * len(lines),
            [position] * len(lines),
            range(1, len(lines) + 1),
            [line.line_id for line in lines],
            [line.sku for line in lines],
            [line.category for line in lines],
            [line.brand for line in lines],
            ["\n".join(line.labels) for line in lines],
            [line.kind or _PRODUCT for line in lines],
            units,
            [line.price_minor for line in lines],
            _till_discounts(sale, lines),
            net,
            [line.unit_cost_minor if line.HasField("unit_cost_minor") else -1 for line in lines],
            awarded,
            redeemed,
        )
        for column, values in zip(self._lines, sold, strict=True):
            column.extend(values)
        where = (*_where(event, sale.origin), sale.receipt.tier.tier)
        self._sold.append((member_id, position, event.command_id, *where, str(sum(units)), str(sum(net))))
        self._first.setdefault(member_id, position)

    def _award(self, event: Event, awards: Iterable[Award], lines: Sequence[SaleLine], net: Sequence[int]) -> list[int]:
        """Keeps what was awarded; the points of each line."""
        total: list[int] | None = None
        for number, award in enumerate(awards, 1):
            weights = net
            if award.lines:
                basis = {line.line_id: line.basis for line in award.lines}
                weights = [basis.get(line.line_id, 0) for line in lines]
            points = _shared(award.points, weights)
            counted = [str(one) if weight else "NULL" for one, weight in zip(points, weights, strict=True)]
            shares = f"{{{','.join(counted if any(weights) else map(str, points))}}}"
            self._awards.append((event.stream_id, event.position, number, award.rule, award.points, shares))
            total = points if total is None else [one + more for one, more in zip(total, points, strict=True)]
        return total or [0] * len(lines)

    def redeem(self, event: Event, redeemed: PointsRedeemed) -> None:
        if redeemed.HasField("request"):  # else it was part of a sale, which has it
            self._redeem(event, "alone", redeemed.origin, [redeemed.redemption])

    def grant(self, event: Event, granted: RewardGranted) -> None:
        self._redeem(event, "granted", granted.origin, [granted.redemption])

    def _redeem(self, event: Event, kind: str, origin: Origin, redemptions: Iterable[Redemption]) -> None:
        where = _where(event, origin)
        self._redeemed += [
            (
                event.stream_id,
                event.position,
                number,
                event.command_id,
                kind,
                *where,
                one.reward_id,
                one.quantity,
                one.points,
                one.value_minor,
                bool(one.vouchers),
            )
            for number, one in enumerate(redemptions, 1)
        ]

    def take_back(self, event: Event, returned: SaleReturned) -> None:
        position, member_id = event.position, event.stream_id
        units = sum(line.quantity for line in returned.lines)
        net = [line.amount_minor for line in returned.lines]
        self._returned.append(
            (
                member_id,
                position,
                event.command_id,
                last_id(returned.sale),
                *_where(event, returned.origin),
                returned.receipt.tier.tier,
                str(units),
                str(sum(net)),
            )
        )
        taken_back, restored = (_shared(points, net) for points in _undone(returned.undo))
        self._lines_back += [
            (member_id, position, line.line_id, line.quantity, line.amount_minor, taken, given)
            for line, taken, given in zip(returned.lines, taken_back, restored, strict=True)
        ]
        self._first.setdefault(member_id, position)

    def reverse(self, event: Event, reversed_: TransactionReversed) -> None:
        self._reversed.append(
            (
                event.stream_id,
                event.position,
                event.command_id,
                last_id(reversed_.reversed),
                *_where(event, reversed_.origin),
                reversed_.receipt.tier.tier,
                *_undone(reversed_.undo),
            )
        )
        self._first.setdefault(event.stream_id, event.position)

    def steps(self) -> list[Step]:
        """In this order: what comes back was sold before, perhaps in the same page, and is reversed last."""
        steps: list[Step] = []
        for name, added in (
            ("enrol", columns(self._enrolled)),
            ("sell", columns(self._sold)),
            ("lines", self._lines if self._sold else []),
            ("award", columns(self._awards)),
            ("redeem", columns(self._redeemed)),
            ("take_back", columns(self._returned)),
            ("lines_back", columns(self._lines_back)),
        ):
            if added:
                steps.append(Step(name, added, len(added[0])))
        if self._reversed:
            undone = columns(self._reversed)
            steps += [Step("reverse", undone), Step("void_redemptions", (undone[0], undone[3]))]
        if self._first:
            moved = (list(self._first), list(self._first.values()))
            steps += [Step(name, moved) for name in ("total", "places", "categories")]
        return steps


_ADD: Final[Mapping[type[Message], Callable[[_Page, Event, Any], None]]] = {
    SaleRecorded: _Page.sell,
    MemberEnrolled: _Page.enrol,
    SaleReturned: _Page.take_back,
    TransactionReversed: _Page.reverse,
    PointsRedeemed: _Page.redeem,
    RewardGranted: _Page.grant,
}


def _where(event: Event, origin: Origin) -> tuple[int, str, int]:
    """When it happened, where, and through which channel."""
    return effective_at(event.payload, event.recorded_at), origin.store, origin.channel or _STORE


def _till_discounts(sale: SaleRecorded, lines: Sequence[SaleLine]) -> list[int]:
    """What discounts of the till took off each line: its own, and its share of the order's."""
    if not sale.request.sale.discounts:
        return [line.discount_minor for line in lines]
    return [line.price_minor - net for line, net in zip(lines, Basket.of(sale.request.sale).net, strict=True)]


def _undone(undo: Undo) -> tuple[int, int]:
    """The points that were taken back, and those that were given back."""
    return points_of(undo.clawed_back) + undo.owed_points, points_of(undo.restored) + undo.repaid_points


def _shared(points: int, weights: Sequence[int]) -> list[int]:
    """Points by line, in proportion to weights; equally where no line has any."""
    if not points:
        return [0] * len(weights)
    return share_out(points, list(weights) if any(weights) else [1] * len(weights))
