"""Redeeming points: reserve, commit and release a reward, and pay with points."""

from loyalty.v1.account_pb2 import Allocation, Redemption
from loyalty.v1.commands_pb2 import (
    CommitRewardRequest,
    PointsPayment,
    ReleaseRewardRequest,
    ReserveRewardRequest,
)
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.events_pb2 import PointsRedeemed, ReleaseReason, RewardReleased, RewardReserved

from ledger.domain.case import Case, RequestT
from ledger.domain.draw import draw, give_back, keep
from ledger.domain.instant import set_timestamp
from ledger.domain.issue_reward import issue_points, issue_reward
from ledger.domain.names import hold_name, last_id
from ledger.domain.purse import Hold
from ledger.domain.refusal import Refused, Rejected
from ledger.domain.rules.facts import Facts


def reserve_reward(case: Case[ReserveRewardRequest]) -> None:
    """Sets points aside. The program's price is charged, whatever the till thinks it is."""
    program = case.program
    reward = program.reward(case.request.reward_id)
    if reward.conditions is not None:
        reward.check(_facts(case))
    quantity = case.request.quantity or 1
    points = reward.cost(quantity, case.account.tier)
    if not points:
        raise Refused(ErrorReason.ERROR_REASON_REWARD_NOT_APPLICABLE, reward_id=case.request.reward_id)
    event = RewardReserved(
        origin=case.origin,
        request=case.request,
        program_version=program.version,
        reward=reward.message,
        quantity=quantity,
        points=points,
        allocations=_take(case, points),
        uses=reward.uses(reward.times(quantity), points, case.tally()),
    )
    expires_at = case.at + program.hold_timeout
    set_timestamp(event.expires_at, expires_at)
    case.record(event, main=True)
    draw(case, event.uses, hold_name(case.account.account_id, event.request.request_id), expires_at)
    case.write_receipt(event.receipt)


def commit_reward(case: Case[CommitRewardRequest]) -> None:
    """Redeems a hold outside of a sale."""
    hold = open_hold(case, case.request.hold)
    event = redeemed(case, redemption_of(case, hold), hold.allocations)
    event.uses.extend(hold.uses)
    event.request.CopyFrom(case.request)
    issue_points(case, event, hold.reward)
    case.record(event, main=True, transaction_id=last_id(hold.hold_id))
    codes = keep(case, hold.uses, case.request.hold)
    issue_reward(case, event.redemption, hold.reward, codes)
    event.receipt.spent_points = hold.points
    event.receipt.earned_points = event.redemption.issued_points
    case.write_receipt(event.receipt)


def release_reward(case: Case[ReleaseRewardRequest]) -> None:
    """Gives a hold's points back to their lots."""
    hold = open_hold(case, case.request.hold)
    event = RewardReleased(
        origin=case.origin,
        request=case.request,
        program_version=case.program.version,
        hold=case.request.hold,
        reason=ReleaseReason.RELEASE_REASON_RELEASED,
        allocations=hold.allocations,
        uses=hold.uses,
    )
    set_timestamp(event.effective_at, case.at)
    case.record(event, main=True, transaction_id=last_id(hold.hold_id))
    give_back(case, hold.uses, event.reason, case.request.hold)
    case.write_receipt(event.receipt)


def open_hold(case: Case[RequestT], name: str) -> Hold:
    """The open hold of that name.

    Raises Rejected when the member has no such hold, and Refused, saying how it ended, when it is closed.
    """
    hold = case.account.holds.get(name[-36:])
    if hold is not None and name == hold_name(case.account.account_id, hold.hold_id):
        return hold
    file = case.transactions.get(last_id(name))
    if file is None or not isinstance(file.main, RewardReserved) or file.account_id != case.account.account_id:
        raise Rejected(ErrorReason.ERROR_REASON_HOLD_NOT_FOUND, hold=name)
    settled_now = [new.payload for new in case.events]
    for event in [*(event for _, event in file.follow_ups), *settled_now]:
        if isinstance(event, RewardReleased) and event.hold == name:
            timed_out = event.reason == ReleaseReason.RELEASE_REASON_TIMED_OUT
            raise Refused(
                ErrorReason.ERROR_REASON_HOLD_EXPIRED if timed_out else ErrorReason.ERROR_REASON_HOLD_RELEASED,
                hold=name,
            )
    # A hold ends by release or by redemption, and a redemption within a sale is in that sale's file.
    raise Refused(ErrorReason.ERROR_REASON_HOLD_COMMITTED, hold=name)


def pay_with_points(case: Case[RequestT], payment: PointsPayment, payable: int) -> PointsRedeemed | None:
    """Pays with points: whole steps, never more than the bill needs and never more than the balance.

    None where that comes to no step at all.
    """
    reward = case.program.reward(payment.reward_id)
    step = reward.message.cashback
    if not reward.message.HasField("cashback") or payment.points % step.points:
        raise Refused(
            ErrorReason.ERROR_REASON_REWARD_NOT_APPLICABLE,
            reward_id=payment.reward_id,
            step_points=step.points,
        )
    if reward.conditions is not None:
        reward.check(_facts(case))
    needed = payable // step.value_minor
    if payment.points:
        steps = min(payment.points // step.points, needed)
    else:
        steps = min(max(case.account.available(case.at), 0) // step.points, needed)
    if steps == 0:
        return None
    redemption = Redemption(
        reward_id=payment.reward_id,
        points=steps * step.points,
        value_minor=steps * step.value_minor,
        quantity=min(steps, 2**31 - 1),
    )
    event = redeemed(case, redemption, _take(case, redemption.points))
    event.uses.extend(reward.uses(1, redemption.points, case.tally()))
    case.record(event, transaction_id=case.request_id)
    draw(case, event.uses)
    return event


def redemption_of(case: Case[RequestT], hold: Hold, value: int = 0) -> Redemption:
    """What redeeming a hold comes to, with what it takes off or pays in a sale."""
    return Redemption(
        reward_id=hold.reward.reward_id,
        hold=hold_name(case.account.account_id, hold.hold_id),
        points=hold.points,
        value_minor=value,
        quantity=hold.quantity,
    )


def redeemed(
    case: Case[RequestT],
    redemption: Redemption,
    allocations: list[Allocation] | tuple[Allocation, ...],
) -> PointsRedeemed:
    """The event of a redemption."""
    event = PointsRedeemed(
        origin=case.origin,
        program_version=case.program.version,
        redemption=redemption,
        allocations=allocations,
    )
    validity = case.program.validity
    if validity.follows_activity:
        set_timestamp(event.activity_expires_at, validity.expires_at(case.at))
    return event


def _take(case: Case[RequestT], points: int) -> list[Allocation]:
    available = case.account.available(case.at)
    if points > available:
        raise Refused(
            ErrorReason.ERROR_REASON_INSUFFICIENT_POINTS,
            available_points=available,
            needed_points=points,
        )
    return case.account.take(points, case.at)


def _facts(case: Case[RequestT]) -> Facts:
    program = case.program
    zone = program.zone_of(case.origin.store)
    facts = Facts(case.account, case.origin, case.at, zone, names=program.expression_names)
    facts.ladder = program.ladder
    facts.profile, facts.segments = case.profile, case.segments
    return facts
