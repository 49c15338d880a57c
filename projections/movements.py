"""Movements: what each event books to which lot. The postings of an event by lot, and so by the month of issue.

Points that a member owes are in no lot. They are booked to lot 0, `OWED`: what is taken back and is not there lowers
it, what repays it raises it again, so that lots and debts together are always what the member holds.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

from google.protobuf.message import Message
from loyalty.v1.account_pb2 import Allocation, Lot
from loyalty.v1.events_pb2 import (
    ActivityRecorded,
    PendingSettled,
    PointsAdjusted,
    PointsExpired,
    PointsRedeemed,
    PointsReinstated,
    RewardGranted,
    SaleRecorded,
    SaleReturned,
    TransactionReversed,
)

Kind = Literal["issued", "restored", "reinstated", "adjusted", "redeemed", "expired", "clawed_back"]

OWED: Final = 0
"""In place of a lot's number, for what a member owes."""


class Movement(NamedTuple):
    """Points that come into a lot, or go out of it."""

    kind: Kind
    lot: int
    points: int
    """What the member holds more; negative for what goes."""
    sold_minor: int = 0
    """What was sold with points that are issued, or came back, in minor units."""


def movements(event: Message) -> Iterable[Movement]:
    """What an event books."""
    book = _BOOK.get(type(event))
    return () if book is None else book(event)


def lots(event: Message) -> Iterable[Lot]:
    """The lots that an event opens."""
    opens = _OPENS.get(type(event))
    return () if opens is None else opens(event)


def _issued(event: SaleRecorded | ActivityRecorded) -> Iterator[Movement]:
    sold = sum(event.line_net_minor) if isinstance(event, SaleRecorded) else 0
    for lot in event.lots:
        if lot.points:
            yield Movement("issued", lot.number, lot.points, sold)
            sold = 0
    if event.repaid_points:
        yield Movement("issued", OWED, event.repaid_points, sold)


def _pending_settled(event: PendingSettled) -> Iterator[Movement]:
    points: dict[int, int] = {}
    for allocations, sign in ((event.taken, -1), (event.activated, 1)):
        for allocation in allocations:
            points[allocation.lot] = points.get(allocation.lot, 0) + sign * allocation.points
    return (Movement("clawed_back", lot, moved) for lot, moved in points.items() if moved)


def _points_redeemed(event: PointsRedeemed) -> Iterator[Movement]:
    yield from _moved("redeemed", event.allocations, -1)
    yield from _added("issued", event)


def _reward_granted(event: RewardGranted) -> Iterator[Movement]:
    return _added("issued", event)


def _points_expired(event: PointsExpired) -> Iterator[Movement]:
    return _moved("expired", event.allocations, -1)


def _points_reinstated(event: PointsReinstated) -> Iterator[Movement]:
    return _added("reinstated", event)


def _points_adjusted(event: PointsAdjusted) -> Iterator[Movement]:
    yield from _moved("adjusted", event.allocations, -1)
    yield from _added("adjusted", event)


def _undone(event: SaleReturned | TransactionReversed) -> Iterator[Movement]:
    undo = event.undo
    yield from _moved("restored", undo.restored, 1)
    yield from _moved("clawed_back", undo.revived, 1)  # cancelled before, and so no spent points
    if undo.repaid_points:
        yield Movement("restored", OWED, undo.repaid_points)
    taken = [(allocation.lot, allocation.points) for allocation in undo.clawed_back]
    if undo.owed_points:
        taken.append((OWED, undo.owed_points))
    expired = undo.expired_points
    for lot, points in taken:
        again = min(points, expired)
        expired -= again
        if again:
            yield Movement("expired", lot, -again)
        if points > again:
            yield Movement("clawed_back", lot, again - points)
    if event.returned_minor and event.HasField("sold_lot"):
        yield Movement("clawed_back", event.sold_lot, 0, -event.returned_minor)  # wherever its points are by now


def _moved(kind: Kind, allocations: Iterable[Allocation], sign: int) -> Iterator[Movement]:
    return (Movement(kind, allocation.lot, sign * allocation.points) for allocation in allocations)


def _added(kind: Kind, event: PointsRedeemed | RewardGranted | PointsReinstated | PointsAdjusted) -> Iterator[Movement]:
    if event.lot.points:
        yield Movement(kind, event.lot.number, event.lot.points)
    if event.repaid_points:
        yield Movement(kind, OWED, event.repaid_points)


def _lot_of(event: PointsRedeemed | RewardGranted | PointsReinstated | PointsAdjusted) -> Iterable[Lot]:
    return (event.lot,) if event.HasField("lot") else ()


def _lots_of(event: SaleRecorded | ActivityRecorded) -> Iterable[Lot]:
    return event.lots


_BOOK: Final[Mapping[type[Message], Callable[[Any], Iterable[Movement]]]] = {
    SaleRecorded: _issued,
    ActivityRecorded: _issued,
    PendingSettled: _pending_settled,
    PointsReinstated: _points_reinstated,
    PointsRedeemed: _points_redeemed,
    RewardGranted: _reward_granted,
    PointsExpired: _points_expired,
    PointsAdjusted: _points_adjusted,
    SaleReturned: _undone,
    TransactionReversed: _undone,
}

_OPENS: Final[Mapping[type[Message], Callable[[Any], Iterable[Lot]]]] = {
    SaleRecorded: _lots_of,
    ActivityRecorded: _lots_of,
    PointsReinstated: _lot_of,
    PointsRedeemed: _lot_of,
    RewardGranted: _lot_of,
    PointsAdjusted: _lot_of,
}
