"""What the API reads about people: consents and feedback. The composition root says which implementation serves it."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol
from uuid import UUID

from loyalty.v1.consent_pb2 import HeldConsent
from loyalty.v1.feedback_results_pb2 import Feedback, FeedbackFilter, FeedbackGroup, FeedbackResult
from loyalty.v1.person_pb2 import ConsentDecision


class Held(NamedTuple):
    """What a member has consented to."""

    consents: Sequence[HeldConsent]
    position: int


class ConsentsPage(NamedTuple):
    """What a member has consented to, and some of their decisions, the last recorded first."""

    held: Sequence[HeldConsent]
    decisions: Sequence[ConsentDecision]
    has_more: bool
    position: int


class FeedbackResults(NamedTuple):
    """Feedback in figures, by key."""

    results: Sequence[FeedbackResult]
    truncated: bool
    position: int


class FeedbackPage(NamedTuple):
    """Some feedback without its texts, the last recorded first."""

    feedback: Sequence[Feedback]
    has_more: bool
    position: int


class People(Protocol):
    """Read access. Every call blocks on the database and is made from a worker thread.

    `timeout_s` bounds the wait for `min_position`; ViewBehind is raised when it is not reached by then.
    """

    def held(self, member_id: UUID, at: int, min_position: int, timeout_s: float) -> Held:
        """What a member has consented to at an instant (microseconds)."""

    def consents(
        self, member_id: UUID, at: int, before: int, limit: int, min_position: int, timeout_s: float
    ) -> ConsentsPage:
        """What holds at an instant (microseconds), and decisions before a position."""

    def feedback_results(
        self,
        asked: FeedbackFilter,
        group: FeedbackGroup.ValueType,
        limit: int,
        min_position: int,
        timeout_s: float,
    ) -> FeedbackResults:
        """Figures of the feedback that is asked for."""

    def feedback(
        self, asked: FeedbackFilter, before: int, limit: int, min_position: int, timeout_s: float
    ) -> FeedbackPage:
        """Feedback that is asked for, before a position."""
