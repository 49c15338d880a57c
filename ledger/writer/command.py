"""A command on its way to the writer, and the outcome on its way back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple
from uuid import UUID

from google.protobuf.message import Message
from loyalty.v1.account_pb2 import Receipt
from loyalty.v1.commands_pb2 import EnrollMemberRequest, SaleReference, UpdateMemberRequest
from loyalty.v1.member_pb2 import Profile
from loyalty.v1.origin_pb2 import Origin

from ledger.domain.instant import FOREVER
from ledger.domain.member_profile import MemberProfile, ProfileChange
from ledger.domain.program import Program
from ledger.domain.voucher import NewCode

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

    @property
    def known(self) -> MemberProfile:
        """The person as a member."""
        profile = self.profile
        names = {"given_name": profile.given_name, "family_name": profile.family_name}
        names["language_code"] = profile.language_code or "en"
        return MemberProfile(1, names, identifiers=len(self.identifiers))


@dataclass(slots=True)
class Command:
    """A checked command."""

    request: Message
    """Without its origin, and in time with the member in place of an identifier. Empty to record due deadlines only."""
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
    receipt: Origin | SaleReference | None = None
    """The till's receipt that it records or returns."""
    reference: str | None = None
    """The key of that receipt, once the program is known."""
    bound_program: str = ""
    """The only program whose members the credential may touch; empty for any."""
    dry_run: bool = False
    received_at: int = FOREVER
    """When the server had it."""
    clock_given: bool = True
    """Whether the till sent its clock; if not, a retry cannot be expected to carry the same one."""
    deadline: float | None = None
    """time.monotonic() after which it must not be written."""
    person: Person | None = None
    text: str = ""
    """What feedback says. It goes to the profile store and nowhere else."""
    codes: Sequence[NewCode] = ()
    """Codes that it uploads. They go to a table of their own and nowhere else."""
    change: ProfileChange | None = None
    """The personal part of an update, without which the request is an event's."""
    sent: UpdateMemberRequest | None = None
    """The update as it came, to compare a retry with. It goes to the profile store and nowhere else."""


class Outcome(NamedTuple):
    """What a command came to, on disk."""

    command: Command
    transaction: UUID
    """The request id under which it was recorded: another one only for a receipt that was sent again under a new id."""
    main: Message
    """The main event; CommandRefused for a refusal."""
    subject: UUID
    position: int
    recorded_at: int
    replayed: bool
    program: Program | None
    """The program of the account, for the names of its tiers; None where no account is involved."""


class Existing(NamedTuple):
    """An enrolment of a member who is there already. Nothing was recorded."""

    command: Command
    member: UUID
    receipt: Receipt
    program: Program


class Unchanged(NamedTuple):
    """An update that says what was so already. Nothing was recorded."""

    command: Command
    member: UUID
    kept: Sequence[str]
    """What a later source has set otherwise."""


class Settled(NamedTuple):
    """An account whose due deadlines are recorded."""

    command: Command


class Failure(NamedTuple):
    """A command that came to nothing: it was not recorded, or nobody knows."""

    command: Command
    error: Exception
