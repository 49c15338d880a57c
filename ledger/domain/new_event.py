"""Events that were decided and are not on disk yet."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from google.protobuf.message import Message

from ledger.domain.refusal import InvariantBroken


class NewEvent(NamedTuple):
    """An event that is not on disk yet."""

    stream_id: UUID
    version: int
    payload: Message
    request_id: UUID | None
    """Set on a command's main event, and unique: it is what makes a retry harmless."""
    transaction_id: UUID | None
    """The transaction whose file the event belongs to, where that is not its own request id."""
    sale_reference: str | None
    """The till's receipt number of a sale, unique in a program."""


def main_event(events: Sequence[NewEvent]) -> NewEvent:
    """The event among a command's that stands for the command: it carries the request id."""
    for event in events:
        if event.request_id is not None:
            return event
    raise InvariantBroken("a command decided nothing")


def event_of(events: Sequence[NewEvent], request_id: UUID) -> NewEvent:
    """The event among a command's that is stored under a request id: the command's own, or one that it blocks."""
    for event in events:
        if event.request_id == request_id:
            return event
    raise InvariantBroken(f"{request_id} decided nothing")
