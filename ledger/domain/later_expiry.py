"""Expiry by hand: points expire later than they would have, or come back after they have."""

from loyalty.v1.commands_pb2 import ExtendExpiryRequest, ReinstatePointsRequest
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.events_pb2 import ExpiryExtended, PointsReinstated

from ledger.domain.case import Case
from ledger.domain.earn import new_lot
from ledger.domain.instant import from_timestamp
from ledger.domain.refusal import Refused


def extend_expiry(case: Case[ExtendExpiryRequest]) -> None:
    """Decides that lots expire later. A lot that followed the member's activity has a date of its own from then on."""
    request = case.request
    until = from_timestamp(request.expires_at)
    lots = [lot for lot in case.account.lots if lot.expires_at < until and request.lot in (0, lot.number)]
    if not lots or until <= case.at:
        raise Refused(ErrorReason.ERROR_REASON_NOTHING_TO_EXTEND)
    event = ExpiryExtended(origin=case.origin, request=request, program_version=case.program.version)
    for lot in lots:
        event.taken.append(lot.allocation(lot.points))
        event.extended.append(lot._replace(expires_at=until, follows_activity=False).allocation(lot.points))
    case.record(event, main=True)
    case.write_receipt(event.receipt)


def reinstate_points(case: Case[ReinstatePointsRequest]) -> None:
    """Decides that expired points come back, as a lot of its own. They never count towards tiers again."""
    request, account = case.request, case.account
    left = account.expired - account.reinstated
    if request.points > left:
        raise Refused(ErrorReason.ERROR_REASON_NOT_EXPIRED, expired_points=left)
    event = PointsReinstated(origin=case.origin, request=request, program_version=case.program.version)
    lot, event.repaid_points = new_lot(case, request.points)
    if request.HasField("expires_at"):
        lot = lot._replace(expires_at=from_timestamp(request.expires_at), follows_activity=False)
        if lot.expires_at <= case.at:
            raise Refused(ErrorReason.ERROR_REASON_NOTHING_TO_EXTEND)
    if lot.points:
        lot.write(event.lot)
    case.record(event, main=True)
    case.write_receipt(event.receipt)
