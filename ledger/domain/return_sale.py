"""Returning lines of a sale: their points are taken back and what the sale spent on them is given back."""

from collections.abc import Container, Iterable, Mapping
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
)
from loyalty.v1.origin_pb2 import Origin

from ledger.domain.account import AWAITED_RETURNS_MAX
from ledger.domain.case import Case, RequestT
from ledger.domain.draw import give_back
from ledger.domain.entitlement import ISSUED
from ledger.domain.given_back import given_back
from ledger.domain.ladder import Rung
from ledger.domain.lot import points_of
from ledger.domain.names import transaction_name
from ledger.domain.qualify import amount_of, change_tier, qualify
from ledger.domain.refusal import Refused, Rejected
from ledger.domain.sale_reference import sale_reference
from ledger.domain.sold import Due, Sold, sold_lot
from ledger.domain.taken_back import give_back_uses, take_back
from ledger.domain.transaction import Transaction
from ledger.domain.undo import claimed, part_of, restore_vouchers, undo, write_undo

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
    event, rung = _decide(case, case.request, case.origin, main, sale)
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
            event, rung = _decide(case, request, awaited.origin, sale, file)
        except Refused:
            continue
        case.record(event, transaction_id=case.request_id)
        file.follow_ups.append((None, event))
        change_tier(case, rung)
        write_undo(sale.receipt, event.undo)


def _decide(
    case: Case[RequestT], request: ReturnSaleRequest, origin: Origin, main: SaleRecorded, sale: Transaction
) -> tuple[SaleReturned, Rung]:
    state = Sold(main, sale.returns())
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
        origin=origin,
        request=request,
        program_version=case.program.version,
        sale=sale.name,
        lines=lines,
        returned_minor=sum(line.amount_minor for line in lines),
        sold_lot=sold_lot(main),
    )
    rung = undo_earned(case, event.undo, sale, before, state.due(), also)
    take_back(case, [one.redemption for one in warranties], sale.transaction_id)
    _undo_rewards(case, event.undo, state, sale, warranties)
    return event, rung


def _undo_rewards(
    case: Case[RequestT], result: Undo, state: Sold, sale: Transaction, warranties: list[PointsRedeemed]
) -> None:
    """Writes what rewards get back: warranties with their goods, all others once nothing of the sale is left.

    Vouchers that were used in it too, unless the program keeps them.
    """
    give_back_uses(case, result, [*warranties, *(sale.giving() if state.is_complete else ())])
    if state.is_complete and not case.program.keeps_vouchers:
        restore_vouchers(case, result, sale.voucher_uses())


def _warranties(case: Case[RequestT], state: Sold, sale: Transaction) -> list[PointsRedeemed]:
    """The warranties of the sale whose goods are all back now, where one can be used and none was."""
    if not case.account.entitlements:
        return []
    back = {line_id for line_id, (quantity, _) in state.sold.items() if state.back[line_id][0] == quantity}
    return [event for event in sale.issuing() if _goes_back(case, event, sale.name, back)]


def _goes_back(case: Case[RequestT], event: PointsRedeemed, sale: str, back: Container[str]) -> bool:
    found = [case.account.entitlements.get(name) for name in event.redemption.entitlements]
    known = [one for one in found if one is not None and one.sale == sale and one.line_id in back]
    return (
        len(known) == len(found)
        and not any(one.used_times for one in known)
        and any(one.state == ISSUED for one in known)
    )


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
    main: SaleRecorded | ActivityRecorded = sale.main  # type: ignore[assignment]  # the callers have looked
    if main.uses:
        forgiven = result.shortfall_points + sum(undone.shortfall_points for undone in earlier)
        result.uses.extend(given_back(main.awards, main.uses, after, forgiven, earlier))
        give_back(case, result.uses, ReleaseReason.RELEASE_REASON_REVERSED)
    counted = main.qualification
    amount = amount_of(
        case,
        points=wanted - points_of(undone.absorbed),  # what was cancelled counts no longer since then
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
