"""Programs for tests, in few words. Unless they say otherwise: 1 point per whole euro, for ever."""

from typing import Any

from loyalty.v1.program_pb2 import (
    CalendarPeriod,
    CalendarUnit,
    Cashback,
    EarningRule,
    EndOfUnitExpiry,
    ExpiryPolicy,
    FixedDateExpiry,
    InactivityExpiry,
    NeverExpiry,
    OrderDiscount,
    Program,
    Reward,
    RollingExpiry,
    SpendRule,
    Tier,
)

MONTH = CalendarUnit.CALENDAR_UNIT_MONTH
QUARTER = CalendarUnit.CALENDAR_UNIT_QUARTER
YEAR = CalendarUnit.CALENDAR_UNIT_YEAR

NEVER = ExpiryPolicy(never=NeverExpiry())


def spend(points: int = 1, per_minor: int = 1_00, rule_id: str = "spend", **fields: Any) -> EarningRule:
    """A rule that gives points for money spent."""
    return EarningRule(rule_id=rule_id, spend=SpendRule(points=points, per_minor=per_minor, **fields))


def program(*rules: EarningRule, **fields: Any) -> Program:
    """A program with some rules."""
    return Program(earning_rules=rules or [spend()], **fields)


def rolling(**period: int) -> ExpiryPolicy:
    """So many days, months or years."""
    return ExpiryPolicy(rolling=RollingExpiry(period=CalendarPeriod(**period)))


def end_of(unit: CalendarUnit.ValueType, **after: int) -> ExpiryPolicy:
    """At the end of a month, quarter or year, perhaps after some time."""
    period = CalendarPeriod(**after) if after else None
    return ExpiryPolicy(end_of_unit=EndOfUnitExpiry(unit=unit, after=period))


def fixed_date(month: int, day: int) -> ExpiryPolicy:
    """On a day of the year."""
    return ExpiryPolicy(fixed_date=FixedDateExpiry(month=month, day=day))


def inactivity(**period: int) -> ExpiryPolicy:
    """So long after the last sale or redemption."""
    return ExpiryPolicy(inactivity=InactivityExpiry(period=CalendarPeriod(**period)))


def cashback(value_minor: int = 1_00, points: int = 1, reward_id: str = "cashback") -> Reward:
    """Pays with points, so much a step."""
    return Reward(reward_id=reward_id, cashback=Cashback(points=points, value_minor=value_minor))


def discount(cost_points: int, reward_id: str = "discount", **fields: int) -> Reward:
    """Takes an amount (1.00 unless said otherwise) or a percentage off an order."""
    return Reward(
        reward_id=reward_id,
        cost_points=cost_points,
        order_discount=OrderDiscount(**(fields or {"amount_minor": 1_00})),
    )


def tiers(**thresholds: int) -> list[Tier]:
    """Tiers by id."""
    return [Tier(tier_id=tier_id, threshold_points=points) for tier_id, points in thresholds.items()]
