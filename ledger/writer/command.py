"""A command on its way to the writer, and the outcome on its way back."""

from dataclasses import dataclass
from typing import Final, NamedTuple
from uuid import UUID

from google.protobuf.message import Message
from loyalty.v1.commands_pb2 import EnrollMemberRequest
from loyalty.v1.member_pb2 import Profile
from loyalty.v1.origin_pb2 import Origin

BATCH_COMMANDS_MAX: Final = 2_000
"""Commands in one commit."""

QUEUE_COMMANDS_MAX: Final = 20_000
"""Commands that may wait for the writer."""


class IdentifierKey(NamedTuple):
    """A normalised identifier."""

    program: str
    type: int
    value: str


@dataclass(slots=True)
class Person:
    """The personal part of an enrolment. It goes to the profile store and nowhere else."""

    identifiers: list[IdentifierKey]
    profile: Profile
    request: EnrollMemberRequest
    """The command as it came, to compare a retry with."""


@dataclass(slots=True)
class Command:
    """A checked command."""

    request: Message
    """Without its origin, and in time with the member in place of an identifier."""
    request_id: UUID
    origin: Origin
    at: int
    """When it happened, in microseconds."""
    program: str = ""
    """The program that the command or the credential names; needed only where no member is named."""
    member: UUID | None = None
    identifier: IdentifierKey | None = None
    transactions: tuple[UUID, ...] = ()
    """What it refers to: holds, a sale, a target."""
    target: UUID | None = None
    dry_run: bool = False
    deadline: float | None = None
    """time.monotonic() after which it must not be written."""
    person: Person | None = None


class Outcome(NamedTuple):
    """What a command came to, on disk."""

    command: Command
    main: Message
    """The main event; CommandRefused for a refusal."""
    subject: UUID
    position: int
    recorded_at: int
    replayed: bool


class Failure(NamedTuple):
    """A command that came to nothing: it was not recorded, or nobody knows."""

    command: Command
    error: Exception
