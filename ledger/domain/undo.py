"""Undoing points: give back what was spent, take back what was earned, in that order."""

from collections.abc import Iterable, Mapping
from typing import Final

from google.protobuf.internal.containers import RepeatedCompositeFieldContainer
from loyalty.v1.account_pb2 import Allocation, Receipt
from loyalty.v1.events_pb2 import Undo, VoucherUse, VoucherUsed
from loyalty.v1.reward_pb2 import VoucherState

from ledger.domain.account import Account
from ledger.domain.case import Case, RequestT
from ledger.domain.gone import Gone
from ledger.domain.lot import Lot, points_of
from ledger.domain.rounding import INT64_MAX, Overflow
from ledger.domain.voucher import ISSUED, Voucher

_USED: Final = VoucherState.VOUCHER_STATE_USED


def undo(case: Case[RequestT], *, claw_back: Mapping[int, int], restore: Iterable[Allocation]) -> Undo:
    """What taking back points, by the lot that they were issued in, and giving back `restore` does to the account now.

    What is owed is repaid from the restored points first; the rest goes to the lots that it came from. Points are
    taken from the lot that they were issued in (also while it is pending), then from the other lots given, then from
    the active lots in the order of spending. Of the given lots, what was cancelled or expired unspent is gone already.
    What is not there otherwise is owed or forgiven, as the program says.
    """
    result = Undo()
    account = case.account.copy()
    owed = account.owed
    for allocation in restore:
        repaid = min(owed, allocation.points)
        owed -= repaid
        result.repaid_points += repaid
        if allocation.points > repaid:
            lot = Lot.of(allocation)
            lot = lot._replace(expires_at=case.program.restored_expires_at(case.at, lot.expires_at))
            result.restored.append(lot.allocation(allocation.points - repaid))
    if account.lot_points + points_of(result.restored) > INT64_MAX:
        raise Overflow
    account.give_back(result.restored)  # they too can be taken back
    missing = 0
    for number, points in claw_back.items():
        missing += points - _take_of(account, result, points, number)
    for number in claw_back if missing else ():
        missing -= _take_of(account, result, missing, number)
    at = case.at
    active = [lot for lot in account.lots if lot.activates_at <= at < lot.expires_at] if missing else []
    missing -= _take(account, result, missing, active)
    if case.program.may_owe:
        result.owed_points = missing
    else:
        result.shortfall_points = missing
    return result


def _take_of(account: Account, result: Undo, points: int, number: int) -> int:
    """Takes up to so many points of one lot, those first that are there, then those that are gone; returns how many."""
    taken = _take(account, result, points, [lot for lot in account.lots if lot.number == number])
    taken += _note(result.absorbed, account.cancelled_by_lot, points - taken, number)
    return taken + _note(result.already_expired, account.expired_by_lot, points - taken, number)


def _note(noted: RepeatedCompositeFieldContainer[Allocation], gone: Gone, points: int, number: int) -> int:
    """Notes up to so many points of a lot as gone already; returns how many."""
    left = gone.get(number, 0) - points_of(one for one in noted if one.lot == number)
    part = min(left, points)
    if part > 0:
        noted.add(lot=number, points=part)
    return part


def _take(account: Account, result: Undo, points: int, lots: Iterable[Lot]) -> int:
    """Takes up to so many points out of some lots of the account; returns how many."""
    taken = 0
    for lot in lots:
        part = min(lot.points, points - taken)
        if part > 0:
            allocation = lot.allocation(part)
            account.take_out([allocation])
            result.clawed_back.append(allocation)
            taken += part
    return taken


def part_of(allocations: list[Allocation], skip: int, points: int) -> list[Allocation]:
    """That many points of some allocations, latest-expiring first, after skipping what was given back before."""
    parts: list[Allocation] = []
    for allocation in reversed(allocations):
        skipped = min(skip, allocation.points)
        skip -= skipped
        part = min(allocation.points - skipped, points)
        points -= part
        if part:
            parts.append(Lot.of(allocation).allocation(part))
    return parts


def restore_vouchers(case: Case[RequestT], result: Undo, uses: Iterable[VoucherUsed]) -> None:
    """Writes what vouchers are like once some uses of them are undone. One that expired meanwhile expires at once.

    One that the account has forgotten is closed, so nothing was left of it: it is as it was used, with what that took.
    """
    for event in uses:
        use = event.use
        known = case.account.vouchers.get(use.voucher)
        voucher = known or Voucher.of(event.voucher)._replace(left_minor=0, state=_USED)
        if voucher.state not in (ISSUED, _USED):
            continue
        left = voucher.left_minor + use.value_minor if voucher.reward.voucher.HasField("value_minor") else 0
        result.vouchers.append(
            VoucherUse(voucher=use.voucher, value_minor=use.value_minor, left_minor=left, state=ISSUED)
        )
        if known is None:
            voucher._replace(left_minor=left, state=ISSUED).write(result.remembered.add())


def claimed(result: Undo) -> int:
    """The points that an undo was to take back, whatever became of them."""
    gone = points_of(result.absorbed) + points_of(result.already_expired)
    return taken_back(result) + gone + result.shortfall_points


def taken_back(result: Undo) -> int:
    """The points that an undo takes from the member."""
    return points_of(result.clawed_back) + result.owed_points


def given_back_points(result: Undo) -> int:
    """The points that an undo gives to the member."""
    return points_of(result.restored) + points_of(result.revived) + result.repaid_points


def write_undo(receipt: Receipt, result: Undo) -> None:
    """Adds what an undo did to a receipt."""
    receipt.clawed_back_points += taken_back(result)
    receipt.restored_points += given_back_points(result)
    receipt.shortfall_points += result.shortfall_points
    receipt.already_expired_points += points_of(result.already_expired)
