"""What tiers and their policy must be to be published."""

from typing import Final

from loyalty.v1.expiry_pb2 import CalendarPeriod, CalendarUnit
from loyalty.v1.program_pb2 import Program
from loyalty.v1.tier_pb2 import Downgrade, Tier, TierBasis, TierPolicy

from ledger.domain.publish_expiry import check_period
from ledger.domain.publish_fields import Problems, check_count, check_enum, check_ids, check_text

TIERS_MAX: Final = 50
"""Tiers of a program."""

BENEFITS_MAX: Final = 20
"""Benefits of a tier."""

ONCE: Final = 1_000
MULTIPLIER_MAX: Final = 1_000_000
"""Thousandths: from just more than once to a thousand times the points."""

WINDOW_MAX: Final = {"days": 731, "months": 24, "years": 2}
"""Of a rolling window: an account keeps an amount for each of its days."""


def check_tiers(definition: Program, found: Problems) -> None:
    """The tiers and how members qualify for them."""
    tiers = definition.tiers
    check_count(tiers, TIERS_MAX, "tiers", found)
    check_ids([tier.tier_id for tier in tiers], "tiers", "tier_id", found)
    taken = {rule.rule_id for rule in definition.earning_rules} | {one.promotion_id for one in definition.promotions}
    for index, tier in enumerate(tiers[:TIERS_MAX]):
        path = f"tiers[{index}]"
        _tier(tier, path, taken, found)
        if index == 0:
            if tier.threshold != 0:
                found.append((f"{path}.threshold", "must be 0: everybody is in some tier"))
        elif tier.threshold <= tiers[index - 1].threshold:
            text = "must be more than the tier's before, or one of the two can never be reached"
            found.append((f"{path}.threshold", text))
    if definition.HasField("tier_policy"):
        if not tiers:
            found.append(("tier_policy", "has no effect without tiers"))
        _policy(definition.tier_policy, found)


def _tier(tier: Tier, path: str, taken: set[str], found: Problems) -> None:
    check_text(tier.display_name, f"{path}.display_name", found)
    check_count(tier.benefits, BENEFITS_MAX, f"{path}.benefits", found)
    for index, benefit in enumerate(tier.benefits[:BENEFITS_MAX]):
        check_text(benefit, f"{path}.benefits[{index}]", found)
        if not benefit.en and not benefit.hi:
            found.append((f"{path}.benefits[{index}]", "says nothing: leave it out"))
    if tier.multiplier_thousandths:
        if not ONCE < tier.multiplier_thousandths <= MULTIPLIER_MAX:
            text = f"must be from 1,001 to {MULTIPLIER_MAX:,}, or 0 for no multiplier"
            found.append((f"{path}.multiplier_thousandths", text))
        if tier.tier_id in taken:
            found.append(
                (f"{path}.tier_id", "must not be a rule's or promotion's too: its multiplier is awarded under it")
            )


def _policy(policy: TierPolicy, found: Problems) -> None:
    path = "tier_policy"
    check_enum(policy.basis, TierBasis.values(), f"{path}.basis", found)
    check_enum(policy.downgrade, Downgrade.values(), f"{path}.downgrade", found)
    has_reviews = True
    match policy.WhichOneof("period"):
        case "rolling":
            check_period(policy.rolling.period, f"{path}.rolling.period", found, WINDOW_MAX)
        case "calendar":
            units = frozenset(CalendarUnit.values()) - {CalendarUnit.CALENDAR_UNIT_UNSPECIFIED}
            check_enum(policy.calendar.unit, units, f"{path}.calendar.unit", found)
        case "since_change":
            has_reviews = policy.since_change.HasField("review_after")
            if has_reviews:
                check_period(policy.since_change.review_after, f"{path}.since_change.review_after", found)
        case "for_ever" | None:
            has_reviews = False
    if policy.downgrade == Downgrade.DOWNGRADE_ONE_STEP and not has_reviews:
        found.append(
            (f"{path}.downgrade", "must not be ONE_STEP where nothing takes the further steps: no review comes")
        )
    if policy.HasField("grace"):
        check_period(policy.grace, f"{path}.grace", found)
        if policy.downgrade == Downgrade.DOWNGRADE_NEVER:
            found.append((f"{path}.grace", "has no effect: no tier is ever lost"))
        elif policy.HasField("calendar") and _days(policy.grace) >= _UNIT_DAYS.get(policy.calendar.unit, 0):
            found.append((f"{path}.grace", "must be shorter than the calendar period, or it hides the next review"))


def _days(period: CalendarPeriod) -> int:
    """At least so many days."""
    return period.days + 28 * period.months + 365 * period.years


_UNIT_DAYS: Final = {
    CalendarUnit.CALENDAR_UNIT_MONTH: 28,
    CalendarUnit.CALENDAR_UNIT_QUARTER: 84,
    CalendarUnit.CALENDAR_UNIT_YEAR: 336,
}
"""The units, measured like that."""
