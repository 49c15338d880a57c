"""Postings: what each event books, in double entry.

There are seven accounts. `member` is what the program's members hold, pending and held points included, less what they
owe. The other six say where points came from and where they went:

    issued       points given for sales, by rewards     member +, issued -
    redeemed     points spent                           member -, redeemed +
    breakage     points that expired                    member -, breakage +
                 and were given back after that         member +, breakage -
                 and were taken back once more          member -, breakage +
    clawed_back  points taken back by returns           member -, clawed_back +
    restored     spent points given back by returns     member +, restored -
    adjusted     points added or taken off by hand      member +/-, adjusted -/+

What an event books adds up to 0, so the accounts of a program always do. Setting points aside and giving them back
books nothing: held points are the member's. Forgiven points (a shortfall) were spent before and book nothing either;
points that a member comes to owe are taken back in full.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal

from google.protobuf.message import Message
from loyalty.v1.account_pb2 import Allocation
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

Account = Literal["member", "issued", "redeemed", "breakage", "clawed_back", "restored", "adjusted"]

ACCOUNTS: Final[tuple[Account, ...]] = (
    "member",
    "issued",
    "redeemed",
    "breakage",
    "clawed_back",
    "restored",
    "adjusted",
)

Postings = Mapping[Account, int]

_NOTHING: Final[Postings] = {}


def postings(event: Message) -> Postings:
    """Points by account that an event books; they add up to 0."""
    book = _BOOK.get(type(event))
    return _NOTHING if book is None else book(event)


def issued(event: SaleRecorded | ActivityRecorded) -> int:
    """Points that an event issues, those that repay a debt included."""
    return event.repaid_points + sum(lot.points for lot in event.lots)


def _issued(event: SaleRecorded | ActivityRecorded) -> Postings:
    points = issued(event)
    return {"member": points, "issued": -points}


def _pending_settled(event: PendingSettled) -> Postings:
    points = total(event.taken) - total(event.activated)
    return {"member": -points, "clawed_back": points}


def _points_redeemed(event: PointsRedeemed) -> Postings:
    spent, issued = event.redemption.points, event.redemption.issued_points
    return {"member": issued - spent, "redeemed": spent, "issued": -issued}


def _reward_granted(event: RewardGranted) -> Postings:
    points = event.redemption.issued_points
    return {"member": points, "issued": -points}


def _points_expired(event: PointsExpired) -> Postings:
    points = total(event.allocations)
    return {"member": -points, "breakage": points}


def _points_reinstated(event: PointsReinstated) -> Postings:
    points = event.request.points
    return {"member": points, "breakage": -points}


def _points_adjusted(event: PointsAdjusted) -> Postings:
    points = event.lot.points + event.repaid_points - total(event.allocations)
    return {"member": points, "adjusted": -points}


def _undone(event: SaleReturned | TransactionReversed) -> Postings:
    undo = event.undo
    taken = total(undo.clawed_back) + undo.owed_points
    given = total(undo.restored) + total(undo.revived) + undo.repaid_points
    expired = undo.expired_points
    return {"member": given - taken, "clawed_back": taken - expired, "breakage": expired, "restored": -given}


def total(allocations: Iterable[Allocation]) -> int:
    """Points of some allocations."""
    return sum(allocation.points for allocation in allocations)


_BOOK: Final[Mapping[type[Message], Callable[[Any], Postings]]] = {
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
