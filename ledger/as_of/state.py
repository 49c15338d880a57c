"""What an account comes to at an instant."""

from collections.abc import Iterator
from typing import NamedTuple

from loyalty.v1.as_of_pb2 import MemberState, StateDifference
from loyalty.v1.reward_pb2 import EntitlementState, VoucherState

from ledger.domain import entitlement as entitlements
from ledger.domain import voucher as vouchers
from ledger.domain.account import Account
from ledger.domain.instant import set_timestamp
from ledger.domain.lot import points_of
from ledger.domain.names import hold_name
from ledger.domain.purse import Purse


class Points(NamedTuple):
    """Points by what can be done with them."""

    active: int
    pending: int
    held: int
    owed: int


def purse_at(account: Account, at: int) -> Purse:
    """The purse of an account as time has left it at an instant, whether or not what was due by then is recorded."""
    purse = Purse()
    purse.owed, purse.pending_until = account.owed, account.pending_until
    purse.lots = [lot for lot in account.lots_at(at) if lot.expires_at > at]
    purse.lot_points = points_of(purse.lots)
    purse.holds = {key: hold for key, hold in account.holds.items() if hold.expires_at > at}
    return purse


def points_at(purse: Purse, at: int) -> Points:
    """The points of a purse as time has left it at an instant."""
    active = purse.available(at) + purse.owed
    return Points(active, purse.lot_points - active, purse.held, purse.owed)


def tier_at(account: Account, at: int) -> str:
    """The tier at an instant, with the changes that were scheduled up to it."""
    due = [change.tier for change in account.standing.ahead if change.at <= at]
    return due[-1] if due else account.tier


def state_of(account: Account, at: int, events: int) -> MemberState:
    """The state of an account at an instant, whether or not what was due by then is recorded."""
    purse = purse_at(account, at)
    state = MemberState(owed_points=purse.owed, total_points=purse.balance, tier=tier_at(account, at), events=events)
    purse.write_balance(state.balance, at)
    for lot in purse.lots:
        lot._replace(expiry=None).write(state.lots.add())
    for hold in purse.holds.values():
        message = state.holds.add(
            name=hold_name(account.account_id, hold.hold_id),
            reward_id=hold.reward.reward_id,
            quantity=hold.quantity,
            points=hold.points,
        )
        set_timestamp(message.expires_at, hold.expires_at)
    for voucher in account.vouchers.values():
        shown = state.vouchers.add()
        voucher._replace(code_hash="").write(shown)
        if voucher.state == vouchers.ISSUED and voucher.expires_at <= at:
            shown.state = VoucherState.VOUCHER_STATE_EXPIRED
    for entitlement in account.entitlements.values():
        right = state.entitlements.add()
        entitlement.write(right)
        if entitlement.state == entitlements.ISSUED and entitlement.expires_at <= at:
            right.state = EntitlementState.ENTITLEMENT_STATE_EXPIRED
    return state


def differences(believed: MemberState, known: MemberState) -> list[StateDifference]:
    """Where two states are not the same. An empty one is that of somebody who is not there."""
    one, other = dict(figures(believed)), dict(figures(known))
    return [
        StateDifference(subject=subject, believed=one.get(subject, ""), known=other.get(subject, ""))
        for subject in {**one, **other}
        if one.get(subject) != other.get(subject)
    ]


def figures(state: MemberState) -> Iterator[tuple[str, str]]:
    """What is compared, by what it is called; nothing for an empty state."""
    if not state.events:
        return
    balance = state.balance
    yield "available_points", str(balance.available_points)
    yield "pending_points", str(balance.pending_points)
    yield "held_points", str(balance.held_points)
    yield "owed_points", str(state.owed_points)
    yield "tier", state.tier
    by_lot: dict[int, int] = {}
    for lot in state.lots:
        by_lot[lot.number] = by_lot.get(lot.number, 0) + lot.points
    yield from ((f"lots/{number}", str(points)) for number, points in sorted(by_lot.items()))
    yield from ((hold.name, str(hold.points)) for hold in state.holds)
    for voucher in state.vouchers:
        shown = VoucherState.Name(voucher.state).removeprefix("VOUCHER_STATE_")
        yield voucher.name, f"{shown}, {voucher.left_minor} left" if voucher.left_minor else shown
    for entitlement in state.entitlements:
        shown = EntitlementState.Name(entitlement.state).removeprefix("ENTITLEMENT_STATE_")
        yield entitlement.name, f"{shown}, used {entitlement.used_times} times"
