"""Settling pending points by hand: they become active, or are gone."""

from loyalty.v1.commands_pb2 import PendingFate, SettlePendingRequest
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.events_pb2 import ActivityRecorded, PendingSettled, SaleRecorded, TierChangeReason
from loyalty.v1.expiry_pb2 import ExpiryPolicy, PendingPolicy

from ledger.domain.case import Case
from ledger.domain.earn import change_tier
from ledger.domain.lot import Lot
from ledger.domain.names import last_id
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
        event.taken.append(lot.allocation(lot.points))
        if case.request.fate == PendingFate.PENDING_FATE_ACTIVATE:
            event.activated.append(_active(case, lot).allocation(lot.points))
    case.record(event, main=True)
    if case.request.fate == PendingFate.PENDING_FATE_CANCEL:
        change_tier(case, TierChangeReason.TIER_CHANGE_REASON_RETURNED)
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
    request = case.request
    if request.lot:
        return {request.lot}
    file = case.transactions.get(last_id(request.transaction))
    main = file.main if file is not None and file.account_id == case.account.account_id else None
    if not isinstance(main, SaleRecorded | ActivityRecorded):
        raise Refused(ErrorReason.ERROR_REASON_NOTHING_PENDING)
    return {lot.number for lot in main.lots}
