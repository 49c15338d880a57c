"""What the API reads: the views that projections build. The composition root says which implementation serves it."""

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol
from uuid import UUID

from loyalty.v1.account_pb2 import Balance, LocalizedText, NextExpiry, TierProgress
from loyalty.v1.audit_trail_pb2 import AuditKind, ListedAuditEntry
from loyalty.v1.crm_service_pb2 import MemberSnapshot, StatementEntry
from loyalty.v1.events_pb2 import Event
from loyalty.v1.program_service_pb2 import CatalogueEntry
from loyalty.v1.reward_pb2 import Entitlement, Voucher


class ViewBehind(Exception):
    """A view has not reached the asked position in time."""

    def __init__(self, position: int) -> None:
        super().__init__(f"the view is at position {position}")
        self.position = position


class MemberView(NamedTuple):
    """A member's points and tier."""

    program: str
    balance: Balance
    expiries: Sequence[NextExpiry]
    """What expires when, soonest first."""
    tier: TierProgress
    tier_benefits: Sequence[LocalizedText]
    """What members in the tier enjoy."""
    position: int
    """The position that all of it reflects."""


class StatementPage(NamedTuple):
    """Some entries of a statement, newest first."""

    entries: list[StatementEntry]
    has_more: bool
    position: int


class SnapshotPage(NamedTuple):
    """Some members, in order of their ids."""

    members: list[MemberSnapshot]
    position: int
    """The position that the page reflects."""


class VoucherPage(NamedTuple):
    """Some vouchers of a member, newest first."""

    vouchers: list[Voucher]
    next_before: int
    """Before which position the next page begins; 0 at the end."""
    position: int


class EntitlementPage(NamedTuple):
    """Some entitlements of a member, newest first."""

    entitlements: list[Entitlement]
    next_before: int
    """Before which position the next page begins; 0 at the end."""
    position: int


class Catalogue(NamedTuple):
    """The rewards of a program, with what is left of them."""

    entries: list[CatalogueEntry]
    version: int
    position: int


class Views(Protocol):
    """Read access to the views. Every call blocks on the database and is made from a worker thread.

    `timeout_s` bounds the wait for `min_position`; ViewBehind is raised when it is not reached by then.
    """

    def member(self, member_id: UUID, at: int, min_position: int = 0, timeout_s: float = 0) -> MemberView | None:
        """A member's balance at an instant (microseconds) and tier; None for a member that is not known yet."""

    def statement(
        self,
        member_id: UUID,
        before_position: int,
        limit: int,
        min_position: int = 0,
        timeout_s: float = 0,
    ) -> StatementPage | None:
        """Entries before a position, newest first; None for a member that is not known yet."""

    def vouchers(
        self,
        member_id: UUID,
        before_position: int,
        limit: int,
        state: int,
        at: int,
        min_position: int = 0,
        timeout_s: float = 0,
    ) -> VoucherPage | None:
        """Vouchers issued before a position, newest first; None for a member that is not known yet.

        `state` is the state that they are in at an instant (microseconds), 0 for any.
        """

    def entitlements(
        self,
        member_id: UUID,
        before_position: int,
        limit: int,
        state: int,
        at: int,
        min_position: int = 0,
        timeout_s: float = 0,
    ) -> EntitlementPage | None:
        """The same for entitlements."""

    def catalogue(self, program: str, at: int, min_position: int = 0, timeout_s: float = 0) -> Catalogue | None:
        """The rewards of the version of a program that is in force at an instant; None where none is known yet."""

    def snapshot(self, after: UUID | None, limit: int, at: int, program: str = "") -> SnapshotPage:
        """Members behind an id, of a program or all, for a feed that starts.

        Each page may reflect a later position than the one before.
        """


class EventPage(NamedTuple):
    """Some events of the log."""

    events: list[Event]
    scanned_to: int
    """Everything up to here has been looked at: go on behind it."""
    head: int
    """The end of the log."""


class EventReader(Protocol):
    """Read access to the log. Every call blocks on the database and is made from a worker thread."""

    def read_events(
        self,
        after: int,
        until: int,
        subject: str,
        types: Sequence[str],
        recorded_from: int | None,
        recorded_until: int | None,
        limit: int,
    ) -> EventPage:
        """Events behind a position, up to another (0: the head), that match all conditions."""

    def head_position(self) -> int:
        """The position of the last event; 0 in an empty log."""

    def wait_for(self, position: int, timeout_s: float) -> bool:
        """Waits until the log reaches a position. False when it did not in time."""

    def transaction(self, transaction_id: UUID) -> list[Event]:
        """A command's main event and all that followed from it, in order; empty when it is not known."""

    def recorded(self, requests: Collection[UUID]) -> set[UUID]:
        """Which of some commands have an event of their own."""


class Change(NamedTuple):
    """A change, as a consumer of the feed gets it."""

    position: int
    content: bytes
    """A loyalty.v1.Event, encoded."""


class ChangePage(NamedTuple):
    """Some changes, in order."""

    changes: list[Change]
    scanned_to: int
    """Everything up to here has been looked at: go on behind it."""
    head: int
    """The end of the log."""


class ChangeReader(Protocol):
    """Read access to the log as the feed shows it. Every call blocks on the database."""

    def read(self, after: int, types: Sequence[str], program: str, limit: int) -> ChangePage:
        """Changes behind a position, of some types and MemberErased or all (empty), and of a program or all (empty).

        A page can be short, even empty, before the end: go on behind `scanned_to`. Raises MapperDeserialisationError
        when an event cannot be read, and Archived where it is in the archive and cannot be read there.
        """


class AuditQuestion(NamedTuple):
    """What entries of the audit trail somebody wants. All conditions must hold; what is empty or None is none."""

    actor: str
    """As AuditEntry.actor, or as AuditEntry.operator."""
    member: UUID | None
    method: str
    kind: AuditKind.ValueType
    recorded_from: int | None
    recorded_until: int | None


class AuditPage(NamedTuple):
    """Some entries of the audit trail, newest first."""

    entries: list[ListedAuditEntry]
    next_before: tuple[int, int] | None
    """Before which event's which entry the next page begins; None at the end."""
    position: int


class AuditTrail(Protocol):
    """Read access to the audit trail. Every call blocks on the database and is made from a worker thread."""

    def entries(
        self, question: AuditQuestion, before: tuple[int, int], limit: int, min_position: int, timeout_s: float
    ) -> AuditPage:
        """Entries before an event's entry, at `min_position` or later. Raises ViewBehind."""
