"""Undoing points: give back what was spent, take back what was earned, in that order."""

from collections.abc import Iterable, Mapping

from loyalty.v1.account_pb2 import Allocation, Receipt
from loyalty.v1.events_pb2 import Undo, VoucherUse
from loyalty.v1.reward_pb2 import VoucherState

from ledger.domain.account import Account
from ledger.domain.case import Case, RequestT
from ledger.domain.lot import Lot
from ledger.domain.rounding import INT64_MAX, Overflow
from ledger.domain.voucher import ISSUED


def undo(case: Case[RequestT], *, claw_back: Mapping[int, int], restore: Iterable[Allocation]) -> Undo:
    """What taking back points, by the lot that they were issued in, and giving back `restore` does to the account now.

    What is owed is repaid from the restored points first; the rest goes to the lots that it came from. Points are
    taken from the lot that they were issued in (also while it is pending), then from the active lots in the order of
    spending. What is not there is owed or forgiven, as the program says.
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
    if account.lot_points + sum(allocation.points for allocation in result.restored) > INT64_MAX:
        raise Overflow
    account.give_back(result.restored)  # they too can be taken back
    missing = 0
    for number, points in claw_back.items():
        missing += points - _take(account, result, points, [lot for lot in account.lots if lot.number == number])
    at = case.at
    active = [lot for lot in account.lots if lot.activates_at <= at < lot.expires_at] if missing else []
    missing -= _take(account, result, missing, active)
    if case.program.may_owe:
        result.owed_points = missing
    else:
        result.shortfall_points = missing
    return result


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


def restored_vouchers(case: Case[RequestT], uses: Iterable[VoucherUse]) -> list[VoucherUse]:
    """What vouchers are like once some uses of them are undone. One that expired meanwhile expires at once."""
    restored: list[VoucherUse] = []
    for use in uses:
        voucher = case.account.vouchers.get(use.voucher)
        if voucher is not None and voucher.state in (ISSUED, VoucherState.VOUCHER_STATE_USED):
            left = voucher.left_minor + use.value_minor if voucher.reward.voucher.HasField("value_minor") else 0
            restored.append(VoucherUse(voucher=use.voucher, value_minor=use.value_minor, left_minor=left, state=ISSUED))
    return restored


def claimed(result: Undo) -> int:
    """The points that an undo was to take back, whatever became of them."""
    return sum(a.points for a in result.clawed_back) + result.owed_points + result.shortfall_points


def write_undo(receipt: Receipt, result: Undo) -> None:
    """Adds what an undo did to a receipt."""
    receipt.clawed_back_points += sum(a.points for a in result.clawed_back) + result.owed_points
    restored = [*result.restored, *result.revived]
    receipt.restored_points += sum(a.points for a in restored) + result.repaid_points
    receipt.shortfall_points += result.shortfall_points
