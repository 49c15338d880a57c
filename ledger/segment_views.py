"""What the API reads of segments. The composition root says which implementation serves it."""

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final, NamedTuple, Protocol
from uuid import UUID

from loyalty.v1.segment_pb2 import Measure, Segment
from loyalty.v1.segment_reads_pb2 import SegmentMembership, SegmentState

PREVIEWS_MAX: Final = 8
"""Previews that a server has in hand, one at work and the others waiting; beyond it callers get RESOURCE_EXHAUSTED."""


class Standing(NamedTuple):
    """How a member stands to a segment, as it is recorded."""

    is_listed: bool
    entered_at: int | None
    """When the member entered last; None if never."""
    left_at: int | None
    """When the member left after that; None while in."""


class MembershipPage(NamedTuple):
    """Some memberships."""

    memberships: list[SegmentMembership]
    has_more: bool
    position: int
    """Position of the log that they reflect."""


class SegmentViews(Protocol):
    """Read access to segments. Every call blocks on the database and is made from a worker thread.

    `timeout_s` bounds the wait for `min_position`; ViewBehind is raised when it is not reached by then.
    """

    def segment(self, name: str, min_position: int = 0, timeout_s: float = 0) -> tuple[SegmentState, int] | None:
        """A segment and the position that it reflects; None where there is none, or it is deleted."""

    def segments(self, program: str, after: str, limit: int) -> list[SegmentState]:
        """The segments of a program behind an id, in the order of their ids."""

    def members(
        self, name: str, after: UUID, limit: int, as_of: int | None, min_position: int, timeout_s: float
    ) -> MembershipPage | None:
        """Who is in a segment, or was at an instant, behind a member; None where there is no such segment.

        One that is deleted has its past and no present.
        """

    def of_member(
        self, member_id: UUID, before: int, limit: int, min_position: int, timeout_s: float, *, current_only: bool
    ) -> MembershipPage:
        """The memberships of a member, newest first."""

    def standing(self, name: str, member_id: UUID) -> Standing:
        """How a member stands to a segment."""

    def facts(
        self, program: str, member_id: UUID, at: int, names: Collection[str], measures: Mapping[str, Measure]
    ) -> Mapping[str, Any] | None:
        """Facts and measures of a member at an instant; None where the program has no such member, or not yet."""

    def by_external_id(self, program: str, external_ids: Sequence[str]) -> Mapping[str, UUID]:
        """The members of a program that have some external ids."""

    def strangers(self, program: str, members: Sequence[UUID]) -> list[UUID]:
        """Which of some members the program does not have, or who are erased."""


class Preview(NamedTuple):
    """What a segment would come to."""

    members: int
    total: int
    sample: Sequence[UUID]
    failed: int
    error: str


class PreviewsFull(Exception):
    """There are PREVIEWS_MAX previews in hand."""


class Previews(Protocol):
    """Works out what segments would come to: one at a time, PREVIEWS_MAX in hand."""

    def begin(self, segment: Segment, sample_size: int, timeout_s: float) -> Future[Preview]:
        """What a segment will come to; TimeoutError where that is not in time. Raises PreviewsFull."""
