"""Programs for tests, in few words. Unless they say otherwise: 1 point per whole euro, for ever."""

from typing import Any

from google.protobuf.duration_pb2 import Duration
from loyalty.v1.earning_pb2 import (
    ActivityRule,
    EarningRule,
    ItemRule,
    Limit,
    LimitScope,
    LineFilter,
    Period,
    Promotion,
    SpendRule,
    VisitRule,
    Window,
)
from loyalty.v1.expiry_pb2 import (
    CalendarPeriod,
    CalendarUnit,
    EndOfUnitExpiry,
    ExpiryPolicy,
    FixedDateExpiry,
    InactivityExpiry,
    NeverExpiry,
    PendingPolicy,
    RollingExpiry,
)
from loyalty.v1.program_pb2 import Program
from loyalty.v1.reward_pb2 import Cashback, EntitlementReward, FreeItems, OrderDiscount, Reward, VoucherReward
from loyalty.v1.tier_pb2 import Downgrade, Tier, TierBasis, TierPolicy

MONTH = CalendarUnit.CALENDAR_UNIT_MONTH
QUARTER = CalendarUnit.CALENDAR_UNIT_QUARTER
YEAR = CalendarUnit.CALENDAR_UNIT_YEAR

NEVER = ExpiryPolicy(never=NeverExpiry())


def spend(points: int = 1, per_minor: int = 1_00, rule_id: str = "spend", **fields: Any) -> EarningRule:
    """A rule that gives points for money spent."""
    return EarningRule(rule_id=rule_id, spend=SpendRule(points=points, per_minor=per_minor, **fields))


def visit(points: int = 1, rule_id: str = "visit", *, minimum_minor: int = 0, **fields: Any) -> EarningRule:
    """A rule that gives points for coming."""
    return EarningRule(rule_id=rule_id, visit=VisitRule(points=points, minimum_minor=minimum_minor), **fields)


def item(points: int, sku: str, rule_id: str = "item", *, per_units: int = 1, **fields: Any) -> EarningRule:
    """A rule that gives points for units of a product."""
    only = LineFilter(skus=[sku])
    return EarningRule(rule_id=rule_id, item=ItemRule(points=points, per_units=per_units, only=only), **fields)


def activity(points: int, name: str = "review", rule_id: str = "activity", **fields: Any) -> EarningRule:
    """A rule that gives points for an activity."""
    return EarningRule(rule_id=rule_id, activity=ActivityRule(points=points, activity=name), **fields)


def plus(points: int, promotion_id: str = "plus", **fields: Any) -> Promotion:
    """A promotion that adds points."""
    return Promotion(promotion_id=promotion_id, addition_points=points, **fields)


def times(thousandths: int, promotion_id: str = "times", **fields: Any) -> Promotion:
    """A promotion that multiplies points."""
    return Promotion(promotion_id=promotion_id, multiplier_thousandths=thousandths, **fields)


def limit(period: str, *, times: int = 0, points: int = 0, of_all: bool = False) -> Limit:
    """So often or so much in a day, week, month, year or ever; by each member, or by all members together."""
    scope = LimitScope.LIMIT_SCOPE_PROGRAM if of_all else LimitScope.LIMIT_SCOPE_MEMBER
    return Limit(period=Period.Value(f"PERIOD_{period.upper()}"), scope=scope, times=times, points=points)


def window(starts_at: str, hours: int = 24, recurrence: str = "") -> Window:
    """A window that begins at a local time."""
    return Window(starts_at=starts_at, duration=Duration(seconds=hours * 3600), recurrence=recurrence)


def labelled(*labels: str) -> LineFilter:
    """Lines with any of some labels."""
    return LineFilter(labels=labels)


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


def pending(days: int) -> PendingPolicy:
    """So many days until points are active; 0 for at once."""
    return PendingPolicy(days=days) if days else PendingPolicy()


def inactivity(**period: int) -> ExpiryPolicy:
    """So long after the last sale or redemption."""
    return ExpiryPolicy(inactivity=InactivityExpiry(period=CalendarPeriod(**period)))


def cashback(value_minor: int = 1_00, points: int = 1, reward_id: str = "cashback") -> Reward:
    """Pays with points, so much a step."""
    return Reward(reward_id=reward_id, cashback=Cashback(points=points, value_minor=value_minor))


def discount(cost_points: int, reward_id: str = "discount", *, terms: Any = None, **fields: int) -> Reward:
    """Takes an amount (or else 1.00) or a percentage off an order; `terms` are the reward's other fields."""
    return Reward(
        reward_id=reward_id,
        cost_points=cost_points,
        order_discount=OrderDiscount(**(fields or {"amount_minor": 1_00})),
        **(terms or {}),
    )


def free(units: int, sku: str, cost_points: int, reward_id: str = "free", **fields: Any) -> Reward:
    """So many free items of a product for the price."""
    items = FreeItems(units=units, only=LineFilter(skus=[sku]))
    return Reward(reward_id=reward_id, cost_points=cost_points, free_items=items, **fields)


def voucher(cost_points: int = 1, reward_id: str = "voucher", *, terms: Any = None, **benefit: Any) -> Reward:
    """A voucher, 1.00 off unless said otherwise; `terms` are other fields of the reward."""
    kind = VoucherReward(**benefit)
    if kind.WhichOneof("benefit") is None:
        kind.order_discount.amount_minor = 1_00
    return Reward(reward_id=reward_id, cost_points=cost_points, voucher=kind, **(terms or {}))


def entitlement(reward_id: str, cost_points: int = 1, *, terms: Any = None, **fields: Any) -> Reward:
    """A right to a service; `terms` are the reward's other fields."""
    kind = EntitlementReward(**fields)
    return Reward(reward_id=reward_id, cost_points=cost_points, entitlement=kind, **(terms or {}))


def tiers(**thresholds: int) -> list[Tier]:
    """Tiers by id."""
    return [Tier(tier_id=tier_id, threshold=points) for tier_id, points in thresholds.items()]


def tier_policy(
    *,
    basis: str = "POINTS",
    downgrade: str = "TO_MATCH",
    grace: dict[str, int] | None = None,
    rolling: dict[str, int] | None = None,
    calendar: CalendarUnit.ValueType | None = None,
    since_change: dict[str, int] | None = None,
) -> TierPolicy:
    """How members qualify; periods as days, months or years, an empty one for no reviews."""
    policy = TierPolicy(
        basis=TierBasis.Value(f"TIER_BASIS_{basis}"),
        downgrade=Downgrade.Value(f"DOWNGRADE_{downgrade}"),
        grace=CalendarPeriod(**grace) if grace else None,
    )
    if rolling is not None:
        policy.rolling.period.CopyFrom(CalendarPeriod(**rolling))
    if calendar is not None:
        policy.calendar.unit = calendar
    if since_change is not None:
        policy.since_change.SetInParent()
        if since_change:
            policy.since_change.review_after.CopyFrom(CalendarPeriod(**since_change))
    return policy
