"""Adjusting points by hand, always with a reason."""

from loyalty.v1.commands_pb2 import AdjustPointsRequest
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.events_pb2 import PointsAdjusted

from ledger.domain.case import Case
from ledger.domain.earn import new_lot
from ledger.domain.refusal import Refused


def adjust_points(case: Case[AdjustPointsRequest]) -> None:
    """Adds a lot, or takes points off in the order of spending. It never counts towards tiers."""
    points = case.request.points
    event = PointsAdjusted(origin=case.origin, request=case.request, program_version=case.program.version)
    if points > 0:
        case.account.check_room(points)
        lot, event.repaid_points = new_lot(case, points)
        if lot.points:
            lot.write(event.lot)
    else:
        available = case.account.available(case.at)
        if -points > available:
            raise Refused(
                ErrorReason.ERROR_REASON_INSUFFICIENT_POINTS,
                available_points=available,
                needed_points=-points,
            )
        event.allocations.extend(case.account.take(-points, case.at))
    case.record(event, main=True)
    case.write_receipt(event.receipt)
