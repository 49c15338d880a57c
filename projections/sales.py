"""Sales: what was sold to whom, line by line, and what came back.

Days are those of the program's time zone. A return or reversal has receipts and lines of its own, with what came back
as negative figures, so that sums over any time come out right: what came back counts on the day on which it did. A sale
that was reversed is voided: nobody counts it as a sale or visit.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final
from uuid import UUID

from google.protobuf.message import Message
from loyalty.v1.events_pb2 import MemberEnrolled, SaleRecorded, SaleReturned, TransactionReversed
from loyalty.v1.origin_pb2 import Channel, Origin
from loyalty.v1.sale_pb2 import LineKind

from ledger.domain.basket import units_of
from ledger.domain.effect import effective_at
from ledger.domain.names import last_id
from projections.page import Event
from projections.projection import Projection, Step, columns
from projections.sql import statements

_STORE = Channel.CHANNEL_STORE
_PRODUCT = LineKind.LINE_KIND_PRODUCT


class Sales(Projection):
    """Receipts and lines of every member."""

    name: ClassVar[str] = "sales"
    sql: ClassVar[Mapping[str, bytes]] = statements("sales.sql")
    tables: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "sales_members": ("member_id",),
        "sales": ("member_id", "position"),
        "sale_lines": ("member_id", "position", "line_id"),
        "sale_places": ("member_id", "store", "channel"),
        "sale_categories": ("member_id", "category"),
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
        self._lines: list[tuple[Any, ...]] = []
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
        units = 0
        for line, net_minor in zip(sale.request.sale.lines, sale.line_net_minor, strict=True):
            sold = units_of(line)
            units += sold
            self._lines.append(
                (
                    member_id,
                    position,
                    line.line_id,
                    line.sku,
                    line.category,
                    line.brand,
                    "\n".join(line.labels),
                    line.kind or _PRODUCT,
                    sold,
                    line.price_minor,
                    net_minor,
                    line.unit_cost_minor if line.HasField("unit_cost_minor") else -1,
                )
            )
        self._sold.append(
            (
                member_id,
                position,
                event.command_id,
                *_where(event, sale.origin),
                str(units),
                str(sum(sale.line_net_minor)),
            )
        )
        self._first.setdefault(member_id, position)

    def take_back(self, event: Event, returned: SaleReturned) -> None:
        position, member_id = event.position, event.stream_id
        units = sum(line.quantity for line in returned.lines)
        net_minor = sum(line.amount_minor for line in returned.lines)
        self._returned.append(
            (
                member_id,
                position,
                event.command_id,
                last_id(returned.sale),
                *_where(event, returned.origin),
                str(units),
                str(net_minor),
            )
        )
        self._lines_back += [
            (member_id, position, line.line_id, line.quantity, line.amount_minor) for line in returned.lines
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
            )
        )
        self._first.setdefault(event.stream_id, event.position)

    def steps(self) -> list[Step]:
        """In this order: what comes back was sold before, perhaps in the same page, and is reversed last."""
        steps: list[Step] = []
        for name, rows in (
            ("enrol", self._enrolled),
            ("sell", self._sold),
            ("lines", self._lines),
            ("take_back", self._returned),
            ("lines_back", self._lines_back),
        ):
            if rows:
                steps.append(Step(name, columns(rows), len(rows)))
        if self._reversed:
            steps.append(Step("reverse", columns(self._reversed)))
        if self._first:
            moved = (list(self._first), list(self._first.values()))
            steps += [Step(name, moved) for name in ("total", "places", "categories")]
        return steps


_ADD: Final[Mapping[type[Message], Callable[[_Page, Event, Any], None]]] = {
    SaleRecorded: _Page.sell,
    MemberEnrolled: _Page.enrol,
    SaleReturned: _Page.take_back,
    TransactionReversed: _Page.reverse,
}


def _where(event: Event, origin: Origin) -> tuple[int, str, int]:
    """When it happened, where, and through which channel."""
    return effective_at(event.payload, event.recorded_at), origin.store, origin.channel or _STORE
