"""What of a reward's kind, price, stock, limits and conditions is refused when it is published."""

import pytest
from google.protobuf.message import Message
from loyalty.v1.earning_pb2 import Conditions, Limit, LineFilter, Period
from loyalty.v1.expiry_pb2 import CalendarPeriod
from loyalty.v1.program_pb2 import Program
from loyalty.v1.reward_pb2 import (
    DiscountPolicy,
    EntitlementReward,
    EventSeat,
    ExtendedWarranty,
    FreeItems,
    LineDiscount,
    OrderDiscount,
    PriorityService,
    Reward,
    TierCost,
    VoucherReward,
)
from loyalty.v1.sale_pb2 import TenderKind
from loyalty.v1.tier_pb2 import Tier

from ledger.domain.publish import problems

TEA = LineFilter(skus=["tea"])
OFF = OrderDiscount(amount_minor=1)


def found(reward: Reward) -> list[str]:
    """The paths of what is wrong with a reward of an otherwise good program."""
    reward.reward_id = "reward"
    definition = Program(name="programs/p", currency="JPY", time_zone="Asia/Tokyo", default_region="JP")
    definition.tiers.append(Tier(tier_id="gold"))
    definition.rewards.append(reward)
    return [path.removeprefix("rewards[0].") for path, _ in problems(definition)]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"stock": 1, "minimum_units": 2, "tier_costs": [TierCost(tier="gold", cost_points=1)]}, []),
        ({"stock": -1}, ["stock"]),
        ({"minimum_units": -1}, ["minimum_units"]),
        ({"tier_costs": [TierCost(tier="silver", cost_points=1)]}, ["tier_costs[0].tier"]),
        ({"tier_costs": [TierCost(tier="gold", cost_points=1)] * 2}, ["tier_costs[1].tier"]),
        ({"tier_costs": [TierCost(tier="gold")]}, ["tier_costs[0].cost_points"]),
        ({"limits": [Limit(period=Period.PERIOD_DAY)]}, ["limits[0]"]),
        ({"limits": [Limit(period=Period.PERIOD_DAY, times=1)] * 2}, ["limits[1]"]),
        ({"conditions": Conditions(tiers=["silver"])}, ["conditions.tiers[0]"]),
        ({"conditions": Conditions(tenders=[TenderKind.TENDER_KIND_CASH])}, ["conditions.tenders"]),
        ({"conditions": Conditions(expression="nothing ==")}, ["conditions.expression"]),
        ({"stackability": 99}, ["stackability"]),
    ],
)
def test_terms(fields: dict[str, object], expected: list[str]) -> None:
    """What every reward has."""
    assert found(Reward(cost_points=1, order_discount=OFF, **fields)) == expected  # type: ignore[arg-type]  # as given


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (LineDiscount(amount_minor=1, only=TEA), []),
        (LineDiscount(amount_minor=1), ["line_discount.only"]),
        (LineDiscount(only=TEA), ["line_discount"]),
        (LineDiscount(amount_minor=1, only=TEA, excluding=TEA), ["line_discount.excluding"]),
        (FreeItems(units=1, only=TEA), []),
        (FreeItems(only=TEA), ["free_items.units"]),
        (FreeItems(units=1), ["free_items.only"]),
        (FreeItems(units=1, only=LineFilter()), ["free_items.only"]),
        (VoucherReward(order_discount=OFF, start_days=3_650, code_pool="spring"), []),
        (VoucherReward(), ["voucher"]),
        (VoucherReward(order_discount=OrderDiscount()), ["voucher.order_discount"]),
        (VoucherReward(value_minor=-1), ["voucher.value_minor"]),
        (VoucherReward(value_minor=1, start_days=3_651), ["voucher.start_days"]),
        (VoucherReward(value_minor=1, validity=CalendarPeriod()), ["voucher.validity"]),
        (VoucherReward(value_minor=1, code_pool="Spring!"), ["voucher.code_pool"]),
        (EntitlementReward(event_seat=EventSeat(event="e")), []),
        (EntitlementReward(), ["entitlement"]),
        (EntitlementReward(event_seat=EventSeat()), ["entitlement.event_seat.event"]),
        (
            EntitlementReward(extended_warranty=ExtendedWarranty(only=TEA, period=CalendarPeriod(years=1))),
            [],
        ),
        (
            EntitlementReward(extended_warranty=ExtendedWarranty(), validity=CalendarPeriod(days=1)),
            ["entitlement.extended_warranty.only", "entitlement.extended_warranty.period", "entitlement.validity"],
        ),
        (
            EntitlementReward(priority_service=PriorityService(service="s", times=-1)),
            ["entitlement.priority_service.times"],
        ),
        (EntitlementReward(priority_service=PriorityService(service="s"), start_days=-1), ["entitlement.start_days"]),
    ],
)
def test_kinds(kind: Message, expected: list[str]) -> None:
    """What each kind needs."""
    reward = Reward(cost_points=1)
    for field in Reward.DESCRIPTOR.oneofs_by_name["kind"].fields:
        if field.message_type is kind.DESCRIPTOR:
            getattr(reward, field.name).CopyFrom(kind)
    assert found(reward) == expected


def test_points_out_of_points() -> None:
    """A cycle: no reward gives as many points as one of its prices, neither at once nor by a voucher."""
    dear = [TierCost(tier="gold", cost_points=100)]
    for points, expected in ((99, 0), (100, 1), (1_000, 1)):
        for reward, path in (
            (Reward(cost_points=200, tier_costs=dear, points=points), "points"),
            (Reward(cost_points=200, tier_costs=dear, voucher=VoucherReward(points=points)), "voucher.points"),
        ):
            assert found(reward) == [path] * expected
    assert found(Reward(voucher=VoucherReward(points=1_000))) == []


def test_the_policy_for_discounts() -> None:
    """Each of its values is one that this server knows."""
    definition = Program(name="programs/p", currency="JPY", time_zone="Asia/Tokyo", default_region="JP")
    definition.discounts.CopyFrom(DiscountPolicy(base=99, choice=99, conflict=99))  # type: ignore[arg-type]  # wrong
    assert [path for path, _ in problems(definition)] == ["discounts.base", "discounts.choice", "discounts.conflict"]
