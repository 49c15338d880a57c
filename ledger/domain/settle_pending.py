"""Settling pending points by hand: they become active, or are gone."""

from loyalty.v1.commands_pb2 import PendingFate, SettlePendingRequest
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.events_pb2 import ActivityRecorded, PendingSettled, SaleRecorded
from loyalty.v1.expiry_pb2 import ExpiryPolicy, PendingPolicy

from ledger.domain.case import Case
from ledger.domain.lot import Lot
from ledger.domain.names import last_id
from ledger.domain.qualify import amount_of, change_tier, qualify
from ledger.domain.refusal import Refused
from ledger.domain.validity import Validity


def settle_pending(case: Case[SettlePendingRequest]) -> None:
    """Decides what becomes of pending lots. Their expiry counts from now, by the policy of when they were issued."""
    wanted = _wanted(case)
    lots = [lot for lot in case.account.lots if lot.number in wanted and lot.activates_at > case.at]
    if not lots:
        raise Refused(ErrorReason.ERROR_REASON_NOTHING_PENDING)
    event = PendingSettled(origin=case.origin, request=case.request, program_version=case.program.version)
    for lot in lots:
        event.taken.append(lot.pending_allocation(lot.points))
        if case.request.fate == PendingFate.PENDING_FATE_ACTIVATE:
            event.activated.append(_active(case, lot).allocation(lot.points))
    cancelled = 0
    if case.request.fate == PendingFate.PENDING_FATE_CANCEL:
        cancelled = amount_of(case, points=sum(allocation.points for allocation in event.taken))
    main = _issuer(case)
    period = main.qualification.period if main is not None else None
    rung = qualify(case, event, -cancelled, period)
    case.record(event, main=True)
    change_tier(case, rung)
    case.write_receipt(event.receipt)


def _active(case: Case[SettlePendingRequest], lot: Lot) -> Lot:
    validity = Validity(PendingPolicy(), lot.expiry or ExpiryPolicy(), case.program.zone)
    return lot._replace(
        activates_at=0,
        expires_at=validity.expires_at(case.at),
        follows_activity=validity.follows_activity,
    )


def _wanted(case: Case[SettlePendingRequest]) -> set[int]:
    """The numbers of the lots that the command names."""
    if case.request.lot:
        return {case.request.lot}
    main = _issuer(case)
    if main is None:
        raise Refused(ErrorReason.ERROR_REASON_NOTHING_PENDING)
    return {lot.number for lot in main.lots}


def _issuer(case: Case[SettlePendingRequest]) -> SaleRecorded | ActivityRecorded | None:
    """What issued the points, where the command names it."""
    file = case.transactions.get(last_id(case.request.transaction)) if case.request.transaction else None
    main = file.main if file is not None and file.account_id == case.account.account_id else None
    return main if isinstance(main, SaleRecorded | ActivityRecorded) else None
