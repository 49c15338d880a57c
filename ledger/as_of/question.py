"""A question: as of when a state is asked for."""

from typing import Any, NamedTuple, Protocol
from uuid import UUID

from ledger.domain.effect import effective_at


class Logged(Protocol):
    """An event as the log holds it."""

    @property
    def position(self) -> int:
        """Its place in the log."""

    @property
    def stream_id(self) -> UUID:
        """The member."""

    @property
    def version(self) -> int:
        """Its number within the member's events, from 1."""

    @property
    def recorded_at(self) -> int:
        """When it was recorded, in microseconds."""

    @property
    def command_id(self) -> UUID | None:
        """Request id of the command that caused it; None for what a deadline caused."""

    @property
    def payload(self) -> Any:
        """The event."""


class Question(NamedTuple):
    """As of when: what had been recorded by then, and the instant that it is about."""

    position: int
    """What was believed is everything up to here."""
    at: int
    """The instant, in microseconds."""
    by_effect: bool
    """Whether only what took effect by the instant counts; otherwise all that had been recorded by the position."""

    def is_in_effect(self, event: Logged) -> bool:
        """Whether an event took effect by the instant. The first did at all times: it enrols the member."""
        return event.version == 1 or effective_at(event.payload, event.recorded_at) <= self.at
