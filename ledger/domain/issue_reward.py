"""Issuing what a reward consists of: vouchers, entitlements or points."""

from collections.abc import Sequence

from loyalty.v1.account_pb2 import Redemption
from loyalty.v1.events_pb2 import PointsRedeemed, RewardGranted
from loyalty.v1.reward_pb2 import Reward

from ledger.domain.case import Case, RequestT
from ledger.domain.earn import new_lot
from ledger.domain.entitle import entitle
from ledger.domain.issue_vouchers import issue_vouchers
from ledger.domain.rounding import INT64_MAX, Overflow
from ledger.domain.rules.facts import Facts


def issue_points(case: Case[RequestT], event: PointsRedeemed | RewardGranted, reward: Reward) -> None:
    """Writes the points of a reward that gives points into the event that issues them. Raises Overflow."""
    if not reward.HasField("points"):
        return
    points = reward.points * event.redemption.quantity
    if points > INT64_MAX:
        raise Overflow
    case.account.check_room(points)
    lot, event.repaid_points = new_lot(case, points)
    if lot.points:
        lot.write(event.lot)
    event.redemption.issued_points = points


def issue_reward(
    case: Case[RequestT], redemption: Redemption, reward: Reward, codes: Sequence[str], facts: Facts | None = None
) -> None:
    """Issues the vouchers or entitlements of a reward, and names them in what was redeemed.

    `codes` has the hashes of uploaded codes that it was given, and `facts` are those of the sale that it is part of.
    """
    if reward.HasField("voucher"):
        issue_vouchers(case, redemption, reward, codes)
    if reward.HasField("entitlement"):
        entitle(case, redemption, reward, facts)
