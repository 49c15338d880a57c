"""Returning lines of a sale: their points are taken back and what the sale spent on them is given back."""

from collections.abc import Iterable, Mapping
from typing import Final

from loyalty.v1.account_pb2 import Allocation
from loyalty.v1.commands_pb2 import ReturnSaleRequest
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.events_pb2 import (
    ActivityRecorded,
    PointsRedeemed,
    ReleaseReason,
    ReturnAwaited,
    ReturnedLine,
    SaleRecorded,
    SaleReturned,
    Undo,
    VoucherUse,
)

from ledger.domain.account import AWAITED_RETURNS_MAX
from ledger.domain.case import Case, RequestT
from ledger.domain.draw import give_back
from ledger.domain.entitle import take_back, unused_of_line
from ledger.domain.given_back import given_back
from ledger.domain.ladder import Rung
from ledger.domain.names import transaction_name
from ledger.domain.qualify import amount_of, change_tier, qualify
from ledger.domain.refusal import Refused, Rejected
from ledger.domain.sale_reference import sale_reference
from ledger.domain.sold import Due, Sold
from ledger.domain.transaction import Transaction
from ledger.domain.undo import claimed, part_of, restored_vouchers, undo, write_undo

_NO_POINTS: Final[Mapping[int, int]] = {}


def return_sale(case: Case[ReturnSaleRequest]) -> None:
    """Decides a return. Without its sale it waits, or is refused, as the program says."""
    sale = case.target
    if sale is None:
        if not case.program.returns_wait or len(case.account.awaited) >= AWAITED_RETURNS_MAX:
            raise Refused(ErrorReason.ERROR_REASON_SALE_NOT_FOUND)
        waiting = ReturnAwaited(origin=case.origin, request=case.request, program_version=case.program.version)
        case.record(waiting, main=True)
        case.write_receipt(waiting.receipt)
        return
    main = sale.main
    if not isinstance(main, SaleRecorded):
        raise Rejected(ErrorReason.ERROR_REASON_TRANSACTION_NOT_FOUND, transaction=sale.name)
    if sale.account_id != case.account.account_id:
        raise Refused(ErrorReason.ERROR_REASON_SALE_OF_OTHER_MEMBER, transaction=sale.name)
    if sale.reversed_by:
        raise Refused(ErrorReason.ERROR_REASON_ALREADY_REVERSED, reversal=sale.reversed_by)
    event, rung = _decide(case, case.request, main, sale)
    case.record(event, main=True, transaction_id=sale.transaction_id)
    change_tier(case, rung)
    write_undo(event.receipt, event.undo)
    case.write_receipt(event.receipt)


def apply_awaited(case: Case[RequestT], sale: SaleRecorded) -> None:
    """Applies the returns that waited for a sale which has just been recorded, in the order in which they arrived.

    One that asks for more than was sold stays waiting: it was answered already, so a person has to look at it.
    """
    file = Transaction(case.request_id, case.account.account_id, sale)
    file.follow_ups += [(None, new.payload) for new in case.events if new.payload is not sale]
    for awaited in case.account.awaited:
        request = awaited.request
        if request.WhichOneof("sale") == "transaction":
            mine = request.transaction == transaction_name(case.request_id)
        else:
            mine = sale_reference(case.program.name, request.till) == case.sale_reference
        if not mine:
            continue
        try:
            event, rung = _decide(case, request, sale, file)
        except Refused:
            continue
        case.record(event, transaction_id=case.request_id)
        file.follow_ups.append((None, event))
        change_tier(case, rung)
        write_undo(sale.receipt, event.undo)


def _decide(
    case: Case[RequestT], request: ReturnSaleRequest, main: SaleRecorded, sale: Transaction
) -> tuple[SaleReturned, Rung]:
    state = Sold(main, sale.returns(), case.account.cancelled)
    if state.is_complete:
        raise Refused(ErrorReason.ERROR_REASON_RETURN_EXCEEDS_SALE, left_quantity=0, left_minor=0, line_id="")
    before = state.due()
    lines: list[ReturnedLine] = []
    for asked in request.lines:
        lines.append(state.resolve(asked))
        state.add(lines[-1:])
    if not request.lines:
        lines = state.rest()
        state.add(lines)
    warranties = _warranties(case, state, sale)
    also = [allocation for one in warranties for allocation in one.allocations]
    event = SaleReturned(
        origin=case.origin,
        request=request,
        program_version=case.program.version,
        sale=sale.name,
        lines=lines,
        returned_minor=sum(line.amount_minor for line in lines),
    )
    rung = undo_earned(case, event.undo, sale, before, state.due(), also)
    event.undo.vouchers.extend(_vouchers(case, state, sale))
    for one in warranties:
        take_back(case, one.redemption.entitlements, sale.transaction_id)
    return event, rung


def _vouchers(case: Case[RequestT], state: Sold, sale: Transaction) -> list[VoucherUse]:
    """The vouchers that are given back: once nothing of their sale is left, unless the program keeps them."""
    if not state.is_complete or case.program.keeps_vouchers:
        return []
    return restored_vouchers(case, sale.voucher_uses())


def _warranties(case: Case[RequestT], state: Sold, sale: Transaction) -> list[PointsRedeemed]:
    """The warranties of the sale that nobody has used and whose goods are all back now."""
    unused = {
        one.name
        for line_id, sold in state.sold.items()
        if case.account.entitlements and state.back[line_id][0] == sold[0]
        for one in unused_of_line(case, sale.name, line_id)
    }
    return [event for event in sale.issuing() if unused and unused.issuperset(event.redemption.entitlements or [""])]


def undo_earned(
    case: Case[RequestT],
    result: Undo,
    sale: Transaction,
    before: Due,
    after: Due,
    also: Iterable[Allocation] = (),
    bought: Mapping[int, int] = _NO_POINTS,
) -> Rung:
    """Moves a sale or activity from one state of return to a later one; returns where it leads in tiers.

    `also` is given back as well, and `bought` taken back: what a sale redeemed and got for it.
    """
    earlier = [returned.undo for returned in sale.returns()]
    taken = sum(claimed(undone) for undone in earlier)
    wanted = max(sum(after.claw_back.values()) - taken, 0)
    undone = undo(
        case,
        claw_back={**_claims(before.claw_back, after.claw_back, wanted), **bought},
        restore=[*part_of(sale.spent(), before.spent, after.spent - before.spent), *also],
    )
    result.CopyFrom(undone)
    result.absorbed.extend(Allocation(lot=lot, points=points) for lot, points in after.absorbed.items())
    main: SaleRecorded | ActivityRecorded = sale.main  # type: ignore[assignment]  # the callers have looked
    if main.uses:
        forgiven = result.shortfall_points + sum(undone.shortfall_points for undone in earlier)
        result.uses.extend(given_back(main.awards, main.uses, after, forgiven, earlier))
        give_back(case, result.uses, ReleaseReason.RELEASE_REASON_REVERSED)
    counted = main.qualification
    amount = amount_of(
        case,
        points=wanted,
        spent_minor=after.returned_minor - before.returned_minor,
        visits=after.visits - before.visits,
    )
    if counted.basis != case.program.ladder.basis:
        amount = 0  # the sale counted nothing, or something else
    return qualify(case, result, -amount, counted.period)


def _claims(before: Mapping[int, int], after: Mapping[int, int], points: int) -> dict[int, int]:
    """That many points by the lot to take them from: what became due of each, as far as it goes, the rest of any."""
    claims: dict[int, int] = {}
    for lot, due in after.items():
        claims[lot] = min(max(due - before.get(lot, 0), 0), points)
        points -= claims[lot]
    if points:
        claims[0] = claims.get(0, 0) + points  # no lot has this number
    return claims
