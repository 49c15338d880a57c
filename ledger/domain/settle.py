"""What time does to an account: holds run out, tiers change, points, vouchers and entitlements expire.

It is recorded late, but with the deadline as its effect.
"""

from itertools import groupby
from uuid import UUID

from loyalty.v1.events_pb2 import (
    EntitlementExpired,
    ExpiryNotified,
    PointsExpired,
    ReleaseReason,
    RewardReleased,
    VoucherExpired,
)
from loyalty.v1.reward_pb2 import EntitlementState

from ledger.domain.case import Case, RequestT
from ledger.domain.instant import FOREVER, set_timestamp
from ledger.domain.lot import points_of
from ledger.domain.names import hold_name
from ledger.domain.qualify import record_scheduled
from ledger.domain.validity import start_of_later_day
from ledger.domain.voucher import ISSUED


def settle(case: Case[RequestT]) -> None:
    """Records every deadline up to the command's instant that has not been recorded yet.

    Holds first, since the points that they give back may have expired meanwhile. Then deadline by deadline: pending
    points are active from theirs on without an event, tiers change, points expire.
    """
    account = case.account
    if account.holds:
        _time_out(case)
    if account.lots and account.lots[0].expires_at <= case.at:
        _expire(case)
    _change_tiers(case, case.at)
    if account.vouchers:
        _expire_vouchers(case)
    if account.entitlements:
        _expire_entitlements(case)
    if case.program.notice_days and account.lots:
        _notify(case)


def _time_out(case: Case[RequestT]) -> None:
    account = case.account
    due = [hold for hold in account.holds.values() if hold.expires_at <= case.at]
    for hold in sorted(due, key=lambda hold: (hold.expires_at, hold.hold_id)):
        released = RewardReleased(
            hold=hold_name(account.account_id, hold.hold_id),
            reason=ReleaseReason.RELEASE_REASON_TIMED_OUT,
            allocations=hold.allocations,
            uses=hold.uses,
        )
        set_timestamp(released.effective_at, hold.expires_at)
        case.record(released, transaction_id=UUID(hold.hold_id))


def _expire(case: Case[RequestT]) -> None:
    lots = [lot for lot in case.account.lots if lot.expires_at <= case.at]
    for deadline, group in groupby(lots, key=lambda lot: lot.expires_at):
        _change_tiers(case, deadline)
        expired = PointsExpired(allocations=[lot.allocation(lot.points) for lot in group])
        set_timestamp(expired.effective_at, deadline)
        case.record(expired)


def _expire_vouchers(case: Case[RequestT]) -> None:
    due = [one for one in case.account.vouchers.values() if one.expires_at <= case.at and one.state == ISSUED]
    for voucher in sorted(due, key=lambda voucher: voucher.expires_at):
        expired = VoucherExpired(voucher=voucher.name)
        set_timestamp(expired.effective_at, voucher.expires_at)
        case.record(expired)


def _expire_entitlements(case: Case[RequestT]) -> None:
    issued = EntitlementState.ENTITLEMENT_STATE_ISSUED
    due = [one for one in case.account.entitlements.values() if one.expires_at <= case.at and one.state == issued]
    for entitlement in sorted(due, key=lambda entitlement: entitlement.expires_at):
        expired = EntitlementExpired(entitlement=entitlement.name)
        set_timestamp(expired.effective_at, entitlement.expires_at)
        case.record(expired)


def _notify(case: Case[RequestT]) -> None:
    """Gives notice of what will expire soon, once for each date."""
    account, at = case.account, case.at
    lots = [lot for lot in account.lots if account.notified_until < lot.expires_at < FOREVER]
    for deadline, group in groupby(lots, key=lambda lot: lot.expires_at):
        due = start_of_later_day(deadline, -case.program.notice_days, case.program.zone)
        if due > at:
            return
        notified = ExpiryNotified(points=points_of(group))
        set_timestamp(notified.effective_at, due)
        set_timestamp(notified.expires_at, deadline)
        case.record(notified)


def _change_tiers(case: Case[RequestT], until: int) -> None:
    """Records the changes of tier that are due up to an instant."""
    while case.account.standing.ahead and case.account.standing.ahead[0].at <= until:
        record_scheduled(case)
