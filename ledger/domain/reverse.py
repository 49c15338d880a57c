"""Reversing a transaction: whatever it still does to the account is undone, once."""

from collections.abc import Iterable, Sequence

from google.protobuf.message import Message
from loyalty.v1.commands_pb2 import ReverseTransactionRequest
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.events_pb2 import (
    ActivityRecorded,
    CommandRefused,
    ExpiryExtended,
    PendingSettled,
    PointsAdjusted,
    PointsRedeemed,
    PointsReinstated,
    ReleaseReason,
    ReturnAwaited,
    RewardGranted,
    RewardReleased,
    RewardReserved,
    SaleRecorded,
    SaleReturned,
    TransactionReversed,
    Undo,
)

from ledger.domain.case import Case
from ledger.domain.draw import give_back
from ledger.domain.instant import set_timestamp
from ledger.domain.ladder import Rung
from ledger.domain.moved_back import undo_extension, undo_settlement
from ledger.domain.names import hold_name
from ledger.domain.qualify import change_tier
from ledger.domain.redeem import open_hold
from ledger.domain.refusal import InvariantBroken, Refused
from ledger.domain.return_sale import undo_earned
from ledger.domain.sold import NOTHING_DUE, Sold, due_of_activity, sold_lot
from ledger.domain.taken_back import check_unused, give_back_uses, take_back
from ledger.domain.transaction import Transaction
from ledger.domain.undo import restore_vouchers, taken_back, undo, write_undo


def reverse_transaction(case: Case[ReverseTransactionRequest]) -> None:
    """Decides the reversal of a known transaction. One that is not known has no account: see `block`."""
    target = case.target
    if target is None:
        raise InvariantBroken("a reversal without its transaction belongs to no account")
    if target.reversed_by:
        raise Refused(ErrorReason.ERROR_REASON_ALREADY_REVERSED, reversal=target.reversed_by)
    event = TransactionReversed(
        origin=case.origin,
        request=case.request,
        program_version=case.program.version,
        reversed=target.name,
    )
    rung = _undo(case, target, event.undo)
    if isinstance(target.main, SaleRecorded):
        event.returned_minor = sum(line.amount_minor for line in Sold(target.main, target.returns()).rest())
        sold_in = sold_lot(target.main)
        if sold_in is not None:
            event.sold_lot = sold_in
    case.record(event, main=True, transaction_id=target.transaction_id)
    change_tier(case, rung)
    write_undo(event.receipt, event.undo)
    case.write_receipt(event.receipt)


def _undo(case: Case[ReverseTransactionRequest], target: Transaction, result: Undo) -> Rung:
    """Writes what undoing a transaction comes to; returns where that leads in tiers."""
    main: Message = target.main
    match main:
        case SaleRecorded():
            state = Sold(main, target.returns())
            before = state.due()
            state.add(state.rest())
            also = [allocation for event in target.issuing() for allocation in event.allocations]
            rung = undo_earned(case, result, target, before, state.due(), also, _bought(target.redemptions()))
            _cancel(case, result, target, target.redemptions())
            restore_vouchers(case, result, target.voucher_uses())
            return rung
        case ActivityRecorded():
            return undo_earned(case, result, target, NOTHING_DUE, due_of_activity(main))
        case PendingSettled():
            result.SetInParent()
            return undo_settlement(case, result, main)
        case PointsRedeemed():
            result.CopyFrom(undo(case, claw_back=_bought([main]), restore=main.allocations))
            _cancel(case, result, target, [main])
        case RewardGranted():
            result.CopyFrom(undo(case, claw_back=_bought([main]), restore=()))
            _cancel(case, result, target, [main])
        case RewardReserved():
            _release(case, target)
        case ReturnAwaited() if not case.account.awaits(target.transaction_id):
            raise _not_reversible(SaleReturned)  # its sale came: it is a return by now
        case ReturnAwaited() | CommandRefused():
            pass  # a return that still waits stops waiting; a refused command did nothing that could be undone
        case _:
            _undo_by_hand(case, main, result)
    result.SetInParent()
    return Rung(case.account.tier, case.account.standing)


def _undo_by_hand(case: Case[ReverseTransactionRequest], main: Message, result: Undo) -> None:
    """Writes what undoing a manager's command comes to, where it counts nothing towards tiers."""
    match main:
        case PointsAdjusted():
            added = max(main.request.points, 0)
            result.CopyFrom(undo(case, claw_back={main.lot.number: added}, restore=main.allocations))
        case PointsReinstated():
            result.CopyFrom(undo(case, claw_back={main.lot.number: main.request.points}, restore=()))
            result.expired_points = taken_back(result)
        case ExpiryExtended():
            undo_extension(case, result, main)
        case _:
            raise _not_reversible(type(main))


def _bought(redemptions: Iterable[PointsRedeemed | RewardGranted]) -> dict[int, int]:
    """The points that redemptions issued, by the lot that they went into."""
    points: dict[int, int] = {}
    for event in redemptions:
        if event.redemption.issued_points:
            points[event.lot.number] = points.get(event.lot.number, 0) + event.redemption.issued_points
    return points


def _cancel(
    case: Case[ReverseTransactionRequest],
    undone: Undo,
    target: Transaction,
    redemptions: Sequence[PointsRedeemed | RewardGranted],
) -> None:
    """Takes back what redemptions issued, and gives back what they took of limits and stock and no return did."""
    issued = [event.redemption for event in redemptions]
    check_unused(case, issued, target.taken_back())
    take_back(case, issued, case.request_id)
    give_back_uses(case, undone, redemptions, [returned.undo for returned in target.returns()])


def _not_reversible(event_type: type[Message]) -> Refused:
    return Refused(ErrorReason.ERROR_REASON_NOT_REVERSIBLE, type=event_type.DESCRIPTOR.name)


def _release(case: Case[ReverseTransactionRequest], target: Transaction) -> None:
    """Gives back what a reservation still holds; refused when it was redeemed: then that is to be reversed."""
    name = hold_name(target.account_id, str(target.transaction_id))
    try:
        hold = open_hold(case, name)
    except Refused as refusal:
        if refusal.reason == ErrorReason.ERROR_REASON_HOLD_COMMITTED:
            raise
        return
    released = RewardReleased(
        origin=case.origin,
        program_version=case.program.version,
        hold=name,
        reason=ReleaseReason.RELEASE_REASON_REVERSED,
        allocations=hold.allocations,
        uses=hold.uses,
    )
    set_timestamp(released.effective_at, case.at)
    case.record(released, transaction_id=target.transaction_id)
    give_back(case, hold.uses, released.reason, name)
