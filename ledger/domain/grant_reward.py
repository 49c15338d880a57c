"""Granting a reward: a member is given what the catalogue has, for no points."""

from typing import Final

from loyalty.v1.account_pb2 import Redemption
from loyalty.v1.commands_pb2 import GrantRewardRequest
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.events_pb2 import RewardGranted

from ledger.domain.case import Case
from ledger.domain.draw import draw
from ledger.domain.issue_reward import issue_points, issue_reward
from ledger.domain.refusal import Refused

GIVEN: Final = ("voucher", "entitlement", "points")
"""The kinds of reward that a member can be given. The others take something off a sale."""


def grant_reward(case: Case[GrantRewardRequest]) -> None:
    """Gives it as far as stock and limits allow. Its conditions are for those who buy it."""
    request, program = case.request, case.program
    reward = program.reward(request.reward_id)
    message = reward.message
    if message.WhichOneof("kind") not in GIVEN:
        raise Refused(ErrorReason.ERROR_REASON_REWARD_NOT_APPLICABLE, reward_id=request.reward_id)
    quantity = request.quantity or 1
    event = RewardGranted(
        origin=case.origin,
        request=request,
        program_version=program.version,
        reward=message,
        redemption=Redemption(reward_id=request.reward_id, quantity=quantity),
        uses=reward.uses(quantity, 0, case.tally()),
    )
    issue_points(case, event, message)
    case.record(event, main=True)
    codes = draw(case, event.uses)
    issue_reward(case, event.redemption, message, codes)
    event.receipt.earned_points = event.redemption.issued_points
    case.write_receipt(event.receipt)
