"""Random tiers, in the model's words and as they are published."""

from typing import Final

from hypothesis import strategies as st
from loyalty.v1.expiry_pb2 import CalendarPeriod, CalendarUnit
from loyalty.v1.program_pb2 import Program
from loyalty.v1.tier_pb2 import Downgrade, Tier, TierBasis, TierPolicy

from tests.model.tiers import Ladder, Policy, Span

DOWNGRADES: Final = {
    "match": Downgrade.DOWNGRADE_TO_MATCH,
    "step": Downgrade.DOWNGRADE_ONE_STEP,
    "never": Downgrade.DOWNGRADE_NEVER,
}
TIER_IDS: Final = ("bronze", "silver", "gold")
THRESHOLDS: Final = {"points": (0, 100, 400), "spend": (0, 5_000, 20_000), "visits": (0, 2, 4)}


@st.composite
def ladders(draw: st.DrawFn, bases: tuple[str, ...] = tuple(THRESHOLDS)) -> Ladder:
    """Three tiers with any policy that can be published."""
    basis = draw(st.sampled_from(bases))
    counts = draw(st.sampled_from(("ever", "rolling", "since", "month", "quarter", "year")))
    over = None
    if counts == "rolling":
        over = Span(*draw(st.sampled_from((("days", 2), ("days", 40), ("months", 1), ("years", 1)))))
    elif counts == "since":
        over = draw(st.sampled_from((None, Span("days", 30), Span("months", 6))))
    has_steps = counts != "ever" and not (counts == "since" and over is None)
    downgrade = draw(st.sampled_from(("match", "step", "never") if has_steps else ("match", "never")))
    spans = [("days", 1), ("days", 20), *([("months", 2)] if counts != "month" else [])]
    grace = Span(*draw(st.sampled_from(spans))) if downgrade != "never" and draw(st.booleans()) else None
    multipliers = draw(st.sampled_from(((0, 0, 0), (0, 1_500, 2_000), (1_100, 0, 3_000))))
    return Ladder(
        tuple(zip(TIER_IDS, THRESHOLDS[basis], multipliers, strict=True)),
        Policy(basis, counts, over, downgrade, grace),
    )


def write_ladder(program: Program, ladder: Ladder) -> None:
    """The tiers as they are published."""
    if not ladder.tiers:
        return
    for tier, threshold, multiplier in ladder.tiers:
        program.tiers.append(Tier(tier_id=tier, threshold=threshold, multiplier_thousandths=multiplier))
    program.tier_policy.CopyFrom(_policy(ladder.policy))


def _policy(policy: Policy) -> TierPolicy:
    message = TierPolicy(
        basis=TierBasis.Value(f"TIER_BASIS_{policy.basis.upper()}"), downgrade=DOWNGRADES[policy.downgrade]
    )
    match policy.counts:
        case "ever":
            message.for_ever.SetInParent()
        case "rolling":
            message.rolling.period.CopyFrom(_period(policy.over))
        case "since":
            message.since_change.SetInParent()
            if policy.over is not None:
                message.since_change.review_after.CopyFrom(_period(policy.over))
        case unit:
            message.calendar.unit = CalendarUnit.Value(f"CALENDAR_UNIT_{unit.upper()}")
    if policy.grace is not None:
        message.grace.CopyFrom(_period(policy.grace))
    return message


def _period(span: Span | None) -> CalendarPeriod:
    return CalendarPeriod(**{span.unit: span.number}) if span is not None else CalendarPeriod()
