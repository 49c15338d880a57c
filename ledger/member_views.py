"""What the API reads about members from the views. The composition root says which implementation serves it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from loyalty.v1.profile_pb2 import ListedMember


class MembersQuestion(NamedTuple):
    """Which members of a program somebody wants. All conditions must hold; what is empty or None is none."""

    program: str
    tier: str
    purchased_from: int | None
    not_purchased_since: int | None
    enrolled_from: int | None
    enrolled_until: int | None
    segment: str


class MemberFacts(NamedTuple):
    """What is known of a member as a customer, besides what MemberView has."""

    values: Mapping[str, Any]
    """By name, without personal data and without what is nothing."""
    position: int
    """The position that all of it reflects."""


class MembersPage(NamedTuple):
    """Some members, by id."""

    members: Sequence[ListedMember]
    last: UUID | None
    """Behind whom the next page begins; None at the end."""
    position: int


class MemberViews(Protocol):
    """Read access to what is known of members. Every call blocks on the database and is made from a worker thread."""

    def wait_for(self, min_position: int, timeout_s: float) -> None:
        """Waits until all views of members reflect a position. Raises ViewBehind."""

    def facts(self, program: str, member_id: UUID, at: int) -> MemberFacts:
        """What is known of a member at an instant."""

    def page(self, question: MembersQuestion, after: UUID, limit: int, at: int) -> MembersPage:
        """Members behind an id."""
