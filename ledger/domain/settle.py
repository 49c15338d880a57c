"""What time does to an account: holds run out, tiers change and points expire.

Recorded late, but with the deadline as its effect.
"""

from itertools import groupby
from uuid import UUID

from loyalty.v1.events_pb2 import ExpiryNotified, PointsExpired, ReleaseReason, RewardReleased

from ledger.domain.case import Case, RequestT
from ledger.domain.instant import FOREVER, set_timestamp
from ledger.domain.names import hold_name
from ledger.domain.qualify import record_scheduled
from ledger.domain.validity import start_of_later_day


def settle(case: Case[RequestT]) -> None:
    """Records every deadline up to the command's instant that has not been recorded yet.

    Holds first, since the points that they give back may have expired meanwhile. Then deadline by deadline: pending
    points are active from theirs on without an event, tiers change, points expire.
    """
    account, at = case.account, case.at
    if account.holds:
        due = [hold for hold in account.holds.values() if hold.expires_at <= at]
        for hold in sorted(due, key=lambda hold: (hold.expires_at, hold.hold_id)):
            released = RewardReleased(
                hold=hold_name(account.account_id, hold.hold_id),
                reason=ReleaseReason.RELEASE_REASON_TIMED_OUT,
                allocations=hold.allocations,
            )
            set_timestamp(released.effective_at, hold.expires_at)
            case.record(released, transaction_id=UUID(hold.hold_id))
    if account.lots and account.lots[0].expires_at <= at:
        lots = [lot for lot in account.lots if lot.expires_at <= at]
        for deadline, group in groupby(lots, key=lambda lot: lot.expires_at):
            _change_tiers(case, deadline)
            expired = PointsExpired(allocations=[lot.allocation(lot.points) for lot in group])
            set_timestamp(expired.effective_at, deadline)
            case.record(expired)
    _change_tiers(case, at)
    if case.program.notice_days and account.lots:
        _notify(case)


def _notify(case: Case[RequestT]) -> None:
    """Gives notice of what will expire soon, once for each date."""
    account, at = case.account, case.at
    lots = [lot for lot in account.lots if account.notified_until < lot.expires_at < FOREVER]
    for deadline, group in groupby(lots, key=lambda lot: lot.expires_at):
        due = start_of_later_day(deadline, -case.program.notice_days, case.program.zone)
        if due > at:
            return
        notified = ExpiryNotified(points=sum(lot.points for lot in group))
        set_timestamp(notified.effective_at, due)
        set_timestamp(notified.expires_at, deadline)
        case.record(notified)


def _change_tiers(case: Case[RequestT], until: int) -> None:
    """Records the changes of tier that are due up to an instant."""
    while case.account.standing.ahead and case.account.standing.ahead[0].at <= until:
        record_scheduled(case)
