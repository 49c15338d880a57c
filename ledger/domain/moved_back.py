"""Undoing what was done by hand to the dates of points: they are pending again, or expire as they would have."""

from collections.abc import Callable, Sequence

from loyalty.v1.account_pb2 import Allocation
from loyalty.v1.events_pb2 import ExpiryExtended, PendingSettled, Undo

from ledger.domain.case import Case, RequestT
from ledger.domain.ladder import Rung
from ledger.domain.lot import Lot
from ledger.domain.qualify import qualify


def undo_settlement(case: Case[RequestT], result: Undo, settled: PendingSettled) -> Rung:
    """Writes what undoing a SettlePending comes to; returns where that leads in tiers."""
    if settled.activated:
        _move_back(
            case,
            result,
            settled.taken,
            settled.activated,
            lambda lot, now: (lot.number, lot.activates_at) == (now.number, now.activates_at),
        )
        return Rung(case.account.tier, case.account.standing)
    revived = 0
    for allocation in settled.taken:
        points = min(allocation.points, case.account.cancelled.left(allocation.lot))
        if points:
            result.revived.append(_as_before(case, allocation).pending_allocation(points))
            revived += points
    counted = settled.qualification
    amount = revived if counted.amount and counted.basis == case.program.ladder.basis else 0
    # Of points that were named by their lot nobody knows when they were counted: they count as from now.
    return qualify(case, result, amount, counted.period if settled.request.transaction else None)


def undo_extension(case: Case[RequestT], result: Undo, extended: ExpiryExtended) -> None:
    """Writes what undoing an ExtendExpiry comes to. What was extended once more since keeps the later date."""
    _move_back(case, result, extended.taken, extended.extended, lambda lot, now: lot[:3] == now[:3])


def _move_back(
    case: Case[RequestT],
    result: Undo,
    before: Sequence[Allocation],
    after: Sequence[Allocation],
    is_same: Callable[[Lot, Lot], bool],
) -> None:
    """Moves what is left of some points back to their old dates; what was spent expired first, so the latest first."""
    lots = list(case.account.lots)
    for allocation, moved in zip(reversed(before), reversed(after), strict=True):
        old, now, wanted = _as_before(case, allocation), Lot.of(moved), allocation.points
        for at in reversed(range(len(lots))):
            points = min(wanted, lots[at].points) if is_same(lots[at], now) else 0
            if points:
                result.moved.append(lots[at].allocation(points))
                result.moved_back.append(old.pending_allocation(points))
                lots[at] = lots[at]._replace(points=lots[at].points - points)
                wanted -= points


def _as_before(case: Case[RequestT], allocation: Allocation) -> Lot:
    """The lot as it was; where it would have expired meanwhile, with what the program gives points that come back."""
    lot = Lot.of(allocation)
    return lot._replace(expires_at=case.program.restored_expires_at(case.at, lot.expires_at))
