"""Pinning a member's tier by hand, always with a reason."""

from loyalty.v1.commands_pb2 import SetTierFloorRequest
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.events_pb2 import TierFloorSet

from ledger.domain.case import Case
from ledger.domain.ladder import Rung
from ledger.domain.qualify import change_tier
from ledger.domain.refusal import Rejected


def set_tier_floor(case: Case[SetTierFloorRequest]) -> None:
    """Sets the tier below which no change takes the member, or none. The tier follows at once, up as well as down."""
    account, ladder, floor = case.account, case.program.ladder, case.request.tier
    if floor and floor not in ladder.tiers:
        raise Rejected(ErrorReason.ERROR_REASON_TIER_NOT_FOUND, tier=floor)
    event = TierFloorSet(origin=case.origin, request=case.request, program_version=case.program.version)
    pinned, rung = ladder.pin(Rung(account.tier, account.standing), case.at, floor)
    pinned.standing.write(event.standing)
    case.record(event, main=True)
    change_tier(case, rung)
    case.write_receipt(event.receipt)
