"""Balances: which points each event moves into and out of which lot, hold and debt."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final, get_args
from uuid import UUID

from google.protobuf.message import Message
from loyalty.v1.account_pb2 import Allocation
from loyalty.v1.account_pb2 import Lot as LotMessage
from loyalty.v1.events_pb2 import (
    ActivityRecorded,
    AuditRecorded,
    CommandBlocked,
    CommandRefused,
    EntitlementExpired,
    EntitlementIssued,
    EntitlementRevoked,
    EntitlementUsed,
    ExpiryExtended,
    ExpiryNotified,
    MemberEnrolled,
    MemberUpdated,
    PendingSettled,
    PointsAdjusted,
    PointsExpired,
    PointsRedeemed,
    PointsReinstated,
    PoolDrawn,
    PoolKept,
    PoolReturned,
    ProgramPublished,
    ReturnAwaited,
    ReversalAwaited,
    RewardGranted,
    RewardReleased,
    RewardReserved,
    SaleRecorded,
    SaleReturned,
    SegmentDeleted,
    SegmentListed,
    SegmentMembersChanged,
    SegmentSaved,
    TierChanged,
    TierFloorSet,
    TransactionReversed,
    Undo,
    VoucherCodesUploaded,
    VoucherExpired,
    VoucherIssued,
    VoucherRevoked,
    VoucherUsed,
)

from ledger.domain.instant import FOREVER, from_timestamp
from ledger.domain.lot import activates_at, points_of
from ledger.domain.names import last_id
from ledger.domain.person import PersonEvent
from projections.page import Event
from projections.projection import Contradiction, Projection, Step, columns
from projections.sql import statements


class Balances(Projection):
    """What every account holds."""

    name: ClassVar[str] = "balances"
    sql: ClassVar[Mapping[str, bytes]] = statements("balances.sql")
    tables: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "accounts": ("member_id",),
        "lots": ("member_id", "number", "expires_at"),
        "expired_lots": ("member_id", "expires_at", "number"),
        "holds": ("hold_id",),
        "held_lots": ("member_id", "hold_id", "number", "expires_at"),
    }

    def collect(self, events: Sequence[Event]) -> list[Step]:
        """The statements that apply a page. Raises Contradiction."""
        page = _Page()
        for event in events:
            handle = _HANDLE[type(event.payload)]
            if handle is not None:
                page.touch(event)
                handle(page, event)
        return page.steps()


class _Touched:
    """What a page does to an account as a whole."""

    __slots__ = (
        "activity_expires_at",
        "first_version",
        "notified_until",
        "owed",
        "position",
        "recorded_at",
        "version",
    )

    def __init__(self, event: Event) -> None:
        self.first_version = self.version = event.version
        self.position = event.position
        self.recorded_at = event.recorded_at
        self.owed = 0
        self.activity_expires_at = 0
        self.notified_until = 0


class _Page:
    """What a page does, as rows for the statements."""

    def __init__(self) -> None:
        self.touched: dict[UUID, _Touched] = {}
        self.enrolled: list[tuple[UUID, str]] = []
        self.moves: list[tuple[UUID, int, int, int, int]] = []
        self.following: list[tuple[UUID, int, int, int, int]] = []
        self.expired: list[tuple[UUID, int, int, int, int]] = []
        self.holds: dict[UUID, tuple[UUID, UUID, int, str]] = {}
        self.held: dict[UUID, list[tuple[UUID, UUID, int, int, int, bool, int]]] = {}
        self.ended: list[tuple[UUID, UUID]] = []
        self.active: list[UUID] = []

    def touch(self, event: Event) -> None:
        """Notes that an account has an event more."""
        touched = self.touched.get(event.stream_id)
        if touched is None:
            self.touched[event.stream_id] = _Touched(event)
            return
        if event.version != touched.version + 1:
            raise Contradiction(f"event {event.version} of {event.stream_id} follows event {touched.version}")
        touched.version = event.version
        touched.position = event.position
        touched.recorded_at = event.recorded_at

    def put(self, member_id: UUID, lot: LotMessage | Allocation, number: int, points: int) -> None:
        """Puts points into a lot, or takes them out of it when negative."""
        row = (
            member_id,
            number,
            from_timestamp(lot.expires_at) if lot.HasField("expires_at") else FOREVER,
            activates_at(lot),
            points,
        )
        (self.following if lot.follows_activity else self.moves).append(row)

    def give(self, member_id: UUID, allocations: Iterable[Allocation]) -> None:
        """Puts points back where they came from."""
        for allocation in allocations:
            self.put(member_id, allocation, allocation.lot, allocation.points)

    def take(self, member_id: UUID, allocations: Iterable[Allocation]) -> None:
        """Takes points."""
        for allocation in allocations:
            self.put(member_id, allocation, allocation.lot, -allocation.points)

    def follow(self, event: Event) -> None:
        """Moves the expiry of the lots that follow activity, where the event is such an activity."""
        if event.payload.HasField("activity_expires_at"):
            touched = self.touched[event.stream_id]
            expires_at = from_timestamp(event.payload.activity_expires_at)
            touched.activity_expires_at = max(touched.activity_expires_at, expires_at)
            self.active.append(event.stream_id)

    def end_hold(self, member_id: UUID, hold: str) -> None:
        """Drops a hold, opened before the page or in it."""
        hold_id = last_id(hold)
        opened = self.holds.pop(hold_id, None)
        if opened is None:
            self.ended.append((hold_id, member_id))
        elif opened[1] != member_id:
            raise Contradiction(f"hold {hold_id} is not of member {member_id}")
        else:
            del self.held[hold_id]

    def steps(self) -> list[Step]:
        """The statements."""
        steps: list[Step] = []
        if self.enrolled:
            steps.append(Step("enrol", columns(self.enrolled), len(self.enrolled)))
        if self.touched:
            steps.append(Step("touch", self._touched_columns(), len(self.touched)))
        if self.moves:
            steps.append(Step("move", columns(self.moves)))
        if self.following or self.active:
            steps += self._follow_steps()
        if self.expired:
            steps.append(Step("expire", columns(self.expired)))
        if self.ended:
            ended = columns(self.ended)
            steps.append(Step("end_hold", ended, len(self.ended)))
            steps.append(Step("end_hold_lots", ended))
        if self.holds:
            steps.append(Step("hold", columns(list(self.holds.values()))))
            held = [row for rows in self.held.values() for row in rows]
            if held:
                steps.append(Step("hold_lots", columns(held)))
        return steps

    def _touched_columns(self) -> list[list[Any]]:
        touched = self.touched.values()
        return [
            list(self.touched),
            [t.first_version for t in touched],
            [t.version for t in touched],
            [t.position for t in touched],
            [t.recorded_at for t in touched],
            [t.owed for t in touched],
            [t.activity_expires_at for t in touched],
            [t.notified_until for t in touched],
        ]

    def _follow_steps(self) -> list[Step]:
        moves = columns(self.following) if self.following else [[], [], [], [], []]
        touched = self.active + moves[0]
        return [Step("move_following", [touched, *moves]), Step("sum_following", [touched])]


def _member_enrolled(page: _Page, event: Event) -> None:
    page.enrolled.append((event.stream_id, event.payload.program))


def _sale_recorded(page: _Page, event: Event) -> None:
    _issued(page, event)
    page.follow(event)


def _issued(page: _Page, event: Event) -> None:
    for lot in event.payload.lots:
        if lot.points:
            page.put(event.stream_id, lot, lot.number, lot.points)
    if event.payload.repaid_points:
        page.touched[event.stream_id].owed -= event.payload.repaid_points


def _pending_settled(page: _Page, event: Event) -> None:
    page.take(event.stream_id, event.payload.taken)
    page.give(event.stream_id, event.payload.activated)


def _points_redeemed(page: _Page, event: Event) -> None:
    redeemed = event.payload
    if points_of(redeemed.allocations) != redeemed.redemption.points:
        raise Contradiction("points redeemed are not those of the lots that they came from")
    if redeemed.redemption.hold:
        page.end_hold(event.stream_id, redeemed.redemption.hold)
    else:
        page.take(event.stream_id, redeemed.allocations)
    _lot_added(page, event)
    page.follow(event)


def _reward_reserved(page: _Page, event: Event) -> None:
    reserved = event.payload
    page.take(event.stream_id, reserved.allocations)
    hold_id = UUID(reserved.request.request_id)
    expires_at = from_timestamp(reserved.expires_at)
    page.holds[hold_id] = (hold_id, event.stream_id, expires_at, reserved.reward.reward_id)
    page.held[hold_id] = [
        (
            event.stream_id,
            hold_id,
            allocation.lot,
            from_timestamp(allocation.expires_at) if allocation.HasField("expires_at") else FOREVER,
            activates_at(allocation),
            allocation.follows_activity,
            allocation.points,
        )
        for allocation in reserved.allocations
    ]


def _reward_released(page: _Page, event: Event) -> None:
    page.end_hold(event.stream_id, event.payload.hold)
    page.give(event.stream_id, event.payload.allocations)


def _undone(page: _Page, event: Event) -> None:
    undo: Undo = event.payload.undo
    for given in (undo.moved_back, undo.restored, undo.revived):
        page.give(event.stream_id, given)
    for taken in (undo.moved, undo.clawed_back):
        page.take(event.stream_id, taken)
    page.touched[event.stream_id].owed += undo.owed_points - undo.repaid_points


def _points_expired(page: _Page, event: Event) -> None:
    page.take(event.stream_id, event.payload.allocations)
    page.expired += [
        (
            event.stream_id,
            from_timestamp(allocation.expires_at),
            allocation.lot,
            activates_at(allocation),
            allocation.points,
        )
        for allocation in event.payload.allocations
    ]


def _points_adjusted(page: _Page, event: Event) -> None:
    page.take(event.stream_id, event.payload.allocations)
    _lot_added(page, event)


def _lot_added(page: _Page, event: Event) -> None:
    added = event.payload
    if added.lot.points:
        page.put(event.stream_id, added.lot, added.lot.number, added.lot.points)
    page.touched[event.stream_id].owed -= added.repaid_points


def _expiry_extended(page: _Page, event: Event) -> None:
    page.take(event.stream_id, event.payload.taken)
    page.give(event.stream_id, event.payload.extended)


def _expiry_notified(page: _Page, event: Event) -> None:
    page.touched[event.stream_id].notified_until = from_timestamp(event.payload.expires_at)


def _unmoved(page: _Page, event: Event) -> None:
    """An event that moves no points, but counts in the account's version."""


_HANDLE: Final[Mapping[type[Message], Callable[[_Page, Event], None] | None]] = {
    MemberEnrolled: _member_enrolled,
    SaleRecorded: _sale_recorded,
    ActivityRecorded: _issued,
    PendingSettled: _pending_settled,
    ExpiryNotified: _expiry_notified,
    ExpiryExtended: _expiry_extended,
    PointsReinstated: _lot_added,
    PointsRedeemed: _points_redeemed,
    RewardReserved: _reward_reserved,
    RewardGranted: _lot_added,
    RewardReleased: _reward_released,
    SaleReturned: _undone,
    ReturnAwaited: _unmoved,
    TransactionReversed: _undone,
    PointsExpired: _points_expired,
    TierChanged: _unmoved,
    TierFloorSet: _unmoved,
    PointsAdjusted: _points_adjusted,
    CommandRefused: _unmoved,
    VoucherIssued: _unmoved,
    VoucherUsed: _unmoved,
    VoucherRevoked: _unmoved,
    VoucherExpired: _unmoved,
    EntitlementIssued: _unmoved,
    EntitlementUsed: _unmoved,
    EntitlementRevoked: _unmoved,
    EntitlementExpired: _unmoved,
    **dict.fromkeys(get_args(PersonEvent), _unmoved),
    MemberUpdated: _unmoved,
    # Not in an account's stream.
    PoolDrawn: None,
    PoolReturned: None,
    PoolKept: None,
    VoucherCodesUploaded: None,
    ReversalAwaited: None,
    CommandBlocked: None,
    AuditRecorded: None,
    SegmentSaved: None,
    SegmentDeleted: None,
    SegmentListed: None,
    SegmentMembersChanged: None,
    ProgramPublished: None,
}
