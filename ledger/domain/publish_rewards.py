"""What rewards must be to be published."""

from typing import Final

from loyalty.v1.program_pb2 import Program
from loyalty.v1.reward_pb2 import (
    Cashback,
    DiscountBase,
    DiscountChoice,
    DiscountConflict,
    EntitlementReward,
    ExtendedWarranty,
    FreeItems,
    LineDiscount,
    OrderDiscount,
    Reward,
    Stackability,
    VoucherReward,
)

from ledger.domain.grant_reward import GIVEN
from ledger.domain.publish_earning import check_conditions, check_limits, check_lines
from ledger.domain.publish_expiry import check_period
from ledger.domain.publish_fields import (
    ID_FORM,
    NAME_CHARACTERS_MAX,
    Problems,
    check_count,
    check_enum,
    check_ids,
    check_positive,
    check_text,
    has_control,
    is_id,
)
from ledger.domain.rules.discount import WHOLE_PERCENT

REWARDS_MAX: Final = 10_000
"""Rewards of a program."""

TIER_COSTS_MAX: Final = 50
"""Prices of one reward by tier."""

START_DAYS_MAX: Final = 3_650
"""Days after which a voucher can be used at the latest."""

KINDS: Final = "order_discount, line_discount, free_items, voucher, entitlement, points or cashback"


def check_rewards(definition: Program, found: Problems) -> None:
    """What points buy."""
    rewards = definition.rewards
    check_count(rewards, REWARDS_MAX, "rewards", found)
    check_ids([reward.reward_id for reward in rewards], "rewards", "reward_id", found)
    for index, reward in enumerate(rewards[:REWARDS_MAX]):
        _reward(reward, definition, f"rewards[{index}]", found)
    policy = definition.discounts
    check_enum(policy.base, DiscountBase.values(), "discounts.base", found)
    check_enum(policy.choice, DiscountChoice.values(), "discounts.choice", found)
    check_enum(policy.conflict, DiscountConflict.values(), "discounts.conflict", found)


def _reward(reward: Reward, definition: Program, path: str, found: Problems) -> None:
    check_text(reward.display_name, f"{path}.display_name", found)
    _kind(reward, path, found)
    _tier_costs(reward, definition, path, found)
    for name in ("stock", "minimum_units"):
        if getattr(reward, name) < 0:
            found.append((f"{path}.{name}", "must be more than 0, or 0 for any number"))
    check_limits(reward.limits, f"{path}.limits", found)
    if reward.HasField("conditions"):
        check_conditions(reward.conditions, definition, f"{path}.conditions", found)
        if reward.conditions.tenders:
            found.append((f"{path}.conditions.tenders", "are not known when it is reserved: leave them out"))
    check_enum(reward.stackability, Stackability.values(), f"{path}.stackability", found)


def _kind(reward: Reward, path: str, found: Problems) -> None:
    kind = reward.WhichOneof("kind")
    if kind is None:
        found.append((path, f"is of no kind: give {KINDS}"))
    elif kind == "cashback":
        if reward.cost_points or reward.tier_costs:
            found.append((f"{path}.cost_points", "must be 0 for cashback: its steps are its price"))
        _cashback(reward.cashback, f"{path}.cashback", found)
    elif kind not in GIVEN:
        check_positive(reward.cost_points, f"{path}.cost_points", found)
    elif reward.cost_points < 0:
        found.append((f"{path}.cost_points", "must be more than 0, or 0 for what is only given"))
    if kind == "voucher":
        _voucher(reward.voucher, f"{path}.voucher", found)
    elif kind == "entitlement":
        _entitlement(reward.entitlement, f"{path}.entitlement", found)
    elif kind == "points":
        _points(reward, path, found)
    elif kind is not None:
        _benefit(getattr(reward, kind), f"{path}.{kind}", found)


def _points(reward: Reward, path: str, found: Problems) -> None:
    check_positive(reward.points, f"{path}.points", found)
    prices = [reward.cost_points, *(cost.cost_points for cost in reward.tier_costs)]
    if any(0 < price <= reward.points for price in prices):
        found.append((f"{path}.points", "must be less than the price: nobody makes points out of points"))


def _tier_costs(reward: Reward, definition: Program, path: str, found: Problems) -> None:
    check_count(reward.tier_costs, TIER_COSTS_MAX, f"{path}.tier_costs", found)
    tiers = {tier.tier_id for tier in definition.tiers}
    seen: set[str] = set()
    for index, cost in enumerate(reward.tier_costs[:TIER_COSTS_MAX]):
        if cost.tier not in tiers:
            found.append((f"{path}.tier_costs[{index}].tier", "is no tier of the program"))
        elif cost.tier in seen:
            found.append((f"{path}.tier_costs[{index}].tier", "has a price already"))
        seen.add(cost.tier)
        check_positive(cost.cost_points, f"{path}.tier_costs[{index}].cost_points", found)


def _voucher(voucher: VoucherReward, path: str, found: Problems) -> None:
    match voucher.WhichOneof("benefit"):
        case None:
            found.append((path, "does nothing: give order_discount, line_discount, free_items, value_minor or points"))
        case "value_minor" | "points" as amount:
            check_positive(getattr(voucher, amount), f"{path}.{amount}", found)
        case kind:
            _benefit(getattr(voucher, kind), f"{path}.{kind}", found)
    if not 0 <= voucher.start_days <= START_DAYS_MAX:
        found.append((f"{path}.start_days", f"must be from 0 to {START_DAYS_MAX}"))
    if voucher.code_pool and not is_id(voucher.code_pool):
        found.append((f"{path}.code_pool", f"must be {ID_FORM}, or empty for codes that the server makes"))
    if voucher.HasField("validity"):
        check_period(voucher.validity, f"{path}.validity", found)


def _entitlement(entitlement: EntitlementReward, path: str, found: Problems) -> None:
    match entitlement.WhichOneof("service"):
        case "event_seat":
            _service_id(entitlement.event_seat.event, f"{path}.event_seat.event", found)
        case "extended_warranty":
            warranty = entitlement.extended_warranty
            _needs_lines(warranty, f"{path}.extended_warranty", found)
            check_period(warranty.period, f"{path}.extended_warranty.period", found)
            if entitlement.HasField("validity"):
                found.append((f"{path}.validity", "must be left out: a warranty has its own period"))
        case "priority_service":
            _service_id(entitlement.priority_service.service, f"{path}.priority_service.service", found)
            if entitlement.priority_service.times < 0:
                found.append((f"{path}.priority_service.times", "must be more than 0, or 0 for any number of times"))
        case None:
            found.append((path, "is no service: give event_seat, extended_warranty or priority_service"))
    if not 0 <= entitlement.start_days <= START_DAYS_MAX:
        found.append((f"{path}.start_days", f"must be from 0 to {START_DAYS_MAX}"))
    if entitlement.HasField("validity"):
        check_period(entitlement.validity, f"{path}.validity", found)


def _service_id(value: str, path: str, found: Problems) -> None:
    if not 1 <= len(value) <= NAME_CHARACTERS_MAX or has_control(value):
        found.append((path, f"must be 1 to {NAME_CHARACTERS_MAX} characters without control characters"))


def _benefit(benefit: OrderDiscount | LineDiscount | FreeItems | Cashback, path: str, found: Problems) -> None:
    match benefit:
        case OrderDiscount():
            _amounts(benefit, path, found)
        case LineDiscount():
            _amounts(benefit, path, found)
            _needs_lines(benefit, path, found)
        case FreeItems():
            check_positive(benefit.units, f"{path}.units", found)
            _needs_lines(benefit, path, found)
        case _:
            pass


def _needs_lines(benefit: LineDiscount | FreeItems | ExtendedWarranty, path: str, found: Problems) -> None:
    if not benefit.HasField("only"):
        found.append((f"{path}.only", "is required: say which lines it is for"))
    check_lines(benefit, path, found)


def _amounts(discount: OrderDiscount | LineDiscount, path: str, found: Problems) -> None:
    percent, amount = discount.percent_hundredths, discount.amount_minor
    if bool(percent) == bool(amount):
        found.append((path, "must have either percent_hundredths or amount_minor"))
    if not 0 <= percent <= WHOLE_PERCENT:
        found.append((f"{path}.percent_hundredths", f"must be from 1 to {WHOLE_PERCENT}"))
    if amount < 0:
        found.append((f"{path}.amount_minor", "must be more than 0"))
    if discount.maximum_minor < 0:
        found.append((f"{path}.maximum_minor", "must be more than 0, or 0 for no maximum"))


def _cashback(cashback: Cashback, path: str, found: Problems) -> None:
    check_positive(cashback.points, f"{path}.points", found)
    check_positive(cashback.value_minor, f"{path}.value_minor", found)
