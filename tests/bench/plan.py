"""How long each case runs. The lines are the same in every plan."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The sizes of a run."""

    name: str
    rounds: int
    """Rounds of a case and what it is compared with, in turn; figures are medians over them."""
    round_s: float
    open_loop_s: float
    lag_s: float
    members: int
    growth_events_max: int
    """Where growth is measured, against a log that has just the members' enrolments."""
    year_baskets: int | None
    """Of the real year, in order; None for all."""
    segment_members: int
    """Members over whom a segment is evaluated."""


FULL: Final = Plan(
    name="full",
    rounds=5,
    round_s=3.0,
    open_loop_s=20.0,
    lag_s=15.0,
    members=10_000,
    growth_events_max=1_000_000,
    year_baskets=None,
    segment_members=1_000_000,
)

QUICK: Final = Plan(
    name="quick",
    rounds=3,
    round_s=0.7,
    open_loop_s=4.0,
    lag_s=4.0,
    members=5_000,
    growth_events_max=50_000,
    year_baskets=10_000,
    segment_members=100_000,
)

SMOKE: Final = Plan(
    name="smoke",
    rounds=1,
    round_s=0.1,
    open_loop_s=0.2,
    lag_s=0.2,
    members=100,
    growth_events_max=500,
    year_baskets=100,
    segment_members=1_000,
)
