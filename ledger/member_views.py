"""What the API reads about members from the views. The composition root says which implementation serves it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from loyalty.v1.profile_pb2 import ListedMember, PersonalData

from ledger.views import MemberView


class MembersQuestion(NamedTuple):
    """Which members of a program somebody wants. All conditions must hold; what is empty or None is none."""

    program: str
    tier: str
    purchased_from: int | None
    not_purchased_since: int | None
    enrolled_from: int | None
    enrolled_until: int | None
    segment: str


class MemberProfile(NamedTuple):
    """All that is known of a member, of one moment."""

    view: MemberView
    facts: Mapping[str, Any]
    """What is known of the customer besides, by name, without personal data and without what is nothing."""
    person: tuple[PersonalData, str] | None
    """With its etag; None where it was not asked for."""


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

    def profiles(self, members: Sequence[UUID], at: int, *, with_person: bool) -> Mapping[UUID, MemberProfile]:
        """What is known of members at an instant, without those who are not known yet, or were erased."""

    def page(self, question: MembersQuestion, after: UUID, limit: int, at: int) -> MembersPage:
        """Members behind an id."""
