"""The two sides of a member's state: what was believed at a position, and what is known now, about one instant."""

from typing import Final, NamedTuple
from uuid import UUID

from loyalty.v1.events_pb2 import CommandRefused, MemberEnrolled

from ledger.as_of.question import Logged, Question
from ledger.domain.account import Account
from ledger.domain.account_at import AccountAt
from ledger.domain.effect import effective_at
from ledger.domain.refusal import InvariantBroken

LATE_MAX: Final = 1_000
"""Late transactions of a member that are named; the others are counted."""


class NoMember(Exception):
    """The stream is not that of a member."""


class Late(NamedTuple):
    """A transaction that took effect by the instant and was recorded behind the position."""

    transaction: UUID
    position: int
    """Of its first event that changes anything."""
    type: str
    """Name of its event message, the one that carries the command."""
    effective_at: int
    recorded_at: int
    points: int
    """What the member has more by it; less than 0 for what went."""
    store: str


class Sides:
    """What a member's events, added in order, come to: what is known is what was believed, with what came late.

    Without by_effect what was believed is the account as any command found it then, so it raises what that would.
    """

    def __init__(self, member_id: UUID, question: Question) -> None:
        self._question = question
        self._version = 0
        self._late: dict[UUID, Late] = {}
        self._late_last: UUID | None = None
        self.believed: Account = AccountAt(member_id) if question.by_effect else Account(member_id)
        self.believed_events = 0
        self.late_events = 0
        self.late_total = 0
        self._with_late: AccountAt | None = None
        """What was believed with what came late; None as long as nothing did."""

    @property
    def known(self) -> Account:
        """What is known now."""
        return self.believed if self._with_late is None else self._with_late

    @property
    def late(self) -> list[Late]:
        """The late transactions in order, at most LATE_MAX."""
        return list(self._late.values())

    @property
    def is_empty(self) -> bool:
        """Whether there was no event at all."""
        return self._version == 0

    def check(self) -> None:
        """Raises InvariantBroken unless the points of both sides add up."""
        self.believed.check_flow()
        self.known.check_flow()

    def add(self, event: Logged) -> None:
        """Adds the next event. Raises NoMember, or InvariantBroken where the events contradict each other."""
        if event.version != self._version + 1:
            raise InvariantBroken(f"member {event.stream_id}: event {event.version} where {self._version + 1} is next")
        self._version = event.version
        if isinstance(event.payload, MemberEnrolled) != (event.version == 1):
            raise NoMember
        question = self._question
        if event.position <= question.position:
            if not question.by_effect or question.is_in_effect(event):
                self.believed.apply(event.payload)
                self.believed_events += 1
        elif question.is_in_effect(event):
            self._add_late(event)

    def _add_late(self, event: Logged) -> None:
        if self._with_late is None:
            self._with_late = AccountAt.of(self.believed)
        before = self._with_late.balance
        self._with_late.apply(event.payload)
        self.late_events += 1
        if event.command_id is not None:
            self._note(event, event.command_id, self._with_late.balance - before)

    def _note(self, event: Logged, transaction: UUID, points: int) -> None:
        """Notes an event of a late transaction. A refusal changes nothing, so nobody believed anything wrong."""
        payload = event.payload
        if isinstance(payload, CommandRefused):
            return
        late = self._late.get(transaction)
        if late is not None:
            kind = type(payload).__name__ if _is_main(payload) else late.type
            self._late[transaction] = late._replace(points=late.points + points, type=kind)
            return
        self.late_total += transaction != self._late_last
        self._late_last = transaction
        if len(self._late) < LATE_MAX:
            self._late[transaction] = Late(
                transaction,
                event.position,
                type(payload).__name__,
                effective_at(payload, event.recorded_at),
                event.recorded_at,
                points,
                payload.origin.store,
            )


def _is_main(payload: object) -> bool:
    """Whether an event carries its command."""
    descriptor = type(payload).DESCRIPTOR  # type: ignore[attr-defined]  # it is a message
    return "request" in descriptor.fields_by_name and payload.HasField("request")  # type: ignore[attr-defined]  # see above
