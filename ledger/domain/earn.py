"""Issuing points: the lot they become, and what they repay first."""

from loyalty.v1.events_pb2 import TierChanged, TierChangeReason

from ledger.domain.case import Case, RequestT
from ledger.domain.lot import Lot


def new_lot(case: Case[RequestT], points: int, *, pending: bool) -> tuple[Lot, int]:
    """The lot for newly issued points, and how many of them repay what is owed instead of going into it."""
    repaid = min(points, case.account.owed)
    activates_at = case.program.activates_at(case.at) if pending else 0
    expires_at = case.program.expires_at(activates_at or case.at)
    follows = case.program.follows_activity
    return Lot(expires_at, case.account.next_lot, activates_at, points - repaid, follows), repaid


def change_tier(case: Case[RequestT], reason: TierChangeReason.ValueType) -> None:
    """Records the tier that the qualifying points now give, if it is another one."""
    account = case.account
    tier = case.program.tier_for(account.qualifying)
    if tier != account.tier:
        case.record(
            TierChanged(
                origin=case.origin,
                program_version=case.program.version,
                from_tier=account.tier,
                to_tier=tier,
                qualifying_points=account.qualifying,
                reason=reason,
            ),
            transaction_id=case.request_id,
        )
