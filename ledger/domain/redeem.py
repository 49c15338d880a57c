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
from loyalty.v1.program_pb2 import OrderDiscount, Reward

from ledger.domain.account import Hold
from ledger.domain.basket import Basket
from ledger.domain.case import Case, RequestT
from ledger.domain.instant import set_timestamp
from ledger.domain.names import hold_name, last_id
from ledger.domain.refusal import Refused, Rejected
from ledger.domain.rounding import INT64_MAX, Overflow


def cost(reward: Reward, quantity: int) -> int:
    """What that many of a reward cost; of cashback, that many steps."""
    each = reward.cashback.points if reward.HasField("cashback") else reward.cost_points
    if each * quantity > INT64_MAX:
        raise Overflow
    return each * quantity


def reserve_reward(case: Case[ReserveRewardRequest]) -> None:
    """Sets points aside. The program's price is charged, whatever the till thinks it is."""
    reward = case.program.reward(case.request.reward_id)
    quantity = case.request.quantity or 1
    points = cost(reward, quantity)
    event = RewardReserved(
        origin=case.origin,
        request=case.request,
        program_version=case.program.version,
        reward=reward,
        quantity=quantity,
        points=points,
        allocations=_take(case, points),
    )
    set_timestamp(event.expires_at, case.at + case.program.hold_timeout)
    case.record(event, main=True)
    case.write_receipt(event.receipt)


def commit_reward(case: Case[CommitRewardRequest]) -> None:
    """Redeems a hold outside of a sale."""
    hold = open_hold(case, case.request.hold)
    event = _redeemed(case, _of_hold(case, hold, value=0), hold.allocations)
    event.request.CopyFrom(case.request)
    case.record(event, main=True, transaction_id=last_id(hold.hold_id))
    event.receipt.spent_points = hold.points
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
    )
    set_timestamp(event.effective_at, case.at)
    case.record(event, main=True, transaction_id=last_id(hold.hold_id))
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


def redeem_holds(case: Case[RequestT], names: list[str], basket: Basket) -> tuple[list[PointsRedeemed], int]:
    """Redeems holds within a sale: discounts come off the basket, cashback pays for what is left of it.

    Returns the redemptions and what cashback paid, in minor units.
    """
    holds = [open_hold(case, name) for name in names]
    events: list[PointsRedeemed] = []
    paid = 0
    # Discounts first: cashback pays what they leave.
    for hold in sorted(holds, key=lambda hold: hold.reward.HasField("cashback")):
        if hold.reward.HasField("cashback"):
            value = hold.reward.cashback.value_minor * hold.quantity
            if value > basket.total - paid:
                raise Refused(
                    ErrorReason.ERROR_REASON_REWARD_NOT_APPLICABLE,
                    hold=hold_name(case.account.account_id, hold.hold_id),
                    value_minor=value,
                    payable_minor=basket.total - paid,
                )
            paid += value
        else:
            value = sum(
                basket.take_off(discount_value(hold.reward.order_discount, basket.total)) for _ in range(hold.quantity)
            )
        event = _redeemed(case, _of_hold(case, hold, value), hold.allocations)
        case.record(event, transaction_id=case.request_id)
        events.append(event)
    return events, paid


def pay_with_points(case: Case[RequestT], payment: PointsPayment, payable: int) -> PointsRedeemed | None:
    """Pays with points: whole steps, never more than the bill needs and never more than the balance.

    None where that comes to no step at all.
    """
    reward = case.program.reward(payment.reward_id)
    step = reward.cashback
    if not reward.HasField("cashback") or payment.points % step.points:
        raise Refused(
            ErrorReason.ERROR_REASON_REWARD_NOT_APPLICABLE,
            reward_id=payment.reward_id,
            step_points=step.points,
        )
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
    event = _redeemed(case, redemption, _take(case, redemption.points))
    case.record(event, transaction_id=case.request_id)
    return event


def discount_value(discount: OrderDiscount, total: int) -> int:
    """What an order discount takes off an order, fraction of a minor unit dropped."""
    value = discount.amount_minor or total * discount.percent_hundredths // 10_000
    if discount.maximum_minor:
        value = min(value, discount.maximum_minor)
    return min(value, total)


def _take(case: Case[RequestT], points: int) -> list[Allocation]:
    available = case.account.available(case.at)
    if points > available:
        raise Refused(
            ErrorReason.ERROR_REASON_INSUFFICIENT_POINTS,
            available_points=available,
            needed_points=points,
        )
    return case.account.take(points, case.at)


def _of_hold(case: Case[RequestT], hold: Hold, value: int) -> Redemption:
    return Redemption(
        reward_id=hold.reward.reward_id,
        hold=hold_name(case.account.account_id, hold.hold_id),
        points=hold.points,
        value_minor=value,
        quantity=hold.quantity,
    )


def _redeemed(
    case: Case[RequestT],
    redemption: Redemption,
    allocations: list[Allocation] | tuple[Allocation, ...],
) -> PointsRedeemed:
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
