"""What is read of the value of members. The composition root says which implementation reads it."""

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple, Protocol
from uuid import UUID


class Span(NamedTuple):
    """Sales of a program that figures are made of."""

    program: str
    as_of: date
    """What happened until the end of this day counts."""
    window_days: int
    """Only what happened on so many days; 0 for all time."""
    position: int
    """The last position of the log that counts."""


class Cell(NamedTuple):
    """Members with the same scores; all scores 0 for members without a sale."""

    recency: int
    frequency: int
    monetary: int
    members: int
    sales: int
    net_minor: int


class Cut(NamedTuple):
    """The first member of a quintile, in order of a figure, ties by member id."""

    value: str
    member: UUID


class Cuts(NamedTuple):
    """Where the quintiles 2 to 5 begin; fewer where there are fewer than five members."""

    recency: Sequence[Cut]
    """By the day of the last sale."""
    frequency: Sequence[Cut]
    monetary: Sequence[Cut]


class Score(NamedTuple):
    """The scores of a member and what they are made of."""

    member_id: UUID
    recency: int
    frequency: int
    monetary: int
    last_day: date
    sales: int
    net_minor: int


class HighValueQuestion(NamedTuple):
    """Who is of high value."""

    by_margin: bool
    """By margin, not by net spend."""
    of_total: bool
    """The share is one of the total, not one of the members."""
    share_millionths: int


class HighValue(NamedTuple):
    """A member of high value."""

    member_id: UUID
    rank: int
    value_minor: int
    """Net spend or margin, by which they are ranked."""
    cumulative_minor: int
    """That of this member and all before."""
    sales: int
    net_minor: int
    margin_minor: int
    net_with_cost_minor: int


class HighValuePage(NamedTuple):
    """Some members of high value, the first first."""

    members: list[HighValue]
    has_more: bool
    high_value_members: int
    members_total: int
    total_minor: int
    threshold_minor: int


class CohortMonth(NamedTuple):
    """What a cohort did in a month."""

    cohort: date
    """The first day of its month."""
    members: int
    month: int
    """After the cohort's own; -1 for a cohort without receipts."""
    active_members: int
    sales: int
    net_minor: int


class HoldoutRow(NamedTuple):
    """Evidence of a model."""

    repeat_purchases: int
    members: int
    purchases: int
    expected_purchases: float


class ModelRow(NamedTuple):
    """A model, as ValueModel has it."""

    version: int
    as_of: date
    fitted_at: int
    method: str
    members: int
    repeat_members: int
    r: float
    alpha: float
    a: float
    b: float
    log_likelihood: float
    p: float
    q: float
    v_minor: float
    spend_log_likelihood: float
    spend_members: int
    spend_correlation: float
    holdout_days: int
    holdout_mean_absolute_error: float


class SoFar(NamedTuple):
    """What a member has been worth so far."""

    sales: int
    net_minor: int
    margin_minor: int
    net_with_cost_minor: int
    discount_minor: int
    points: int


class Estimate(NamedTuple):
    """What the newest model expects of a member."""

    model_version: int
    as_of: date
    repeat_purchases: int
    probability_active: float
    expected_purchases: float
    expected_spend_minor: int | None
    score: Score


class Values(Protocol):
    """Read access. Every call blocks on the database and is made from a worker thread.

    `timeout_s` bounds the wait for a position; ViewBehind is raised when it is not reached by then.
    """

    def position(self, min_position: int, timeout_s: float) -> int:
        """Where the view of sales is: at a position or later."""

    def rfm(self, span: Span) -> list[Cell]:
        """Members by their scores."""

    def cuts(self, span: Span) -> Cuts:
        """Where the quintiles begin."""

    def scores(self, span: Span, cuts: Cuts, group: str, after: UUID, limit: int) -> list[Score]:
        """Members behind an id, in the order of ids; those of a group, or all where it is empty."""

    def high_value(self, span: Span, question: HighValueQuestion, after_rank: int, limit: int) -> HighValuePage:
        """Members of high value behind a rank."""

    def cohorts(self, span: Span, *, by_enrolment: bool) -> list[CohortMonth]:
        """Cohorts by the month of the first sale, or of the enrolment, the oldest first."""

    def model(self, program: str, version: int) -> tuple[ModelRow, list[HoldoutRow]] | None:
        """A version of a program's model, 0 for the newest; None where there is none."""

    def member(self, member_id: UUID, min_position: int, timeout_s: float) -> tuple[SoFar, Estimate | None, int] | None:
        """What a member has been worth, what is expected, and the position; None for one that is not known yet."""
