"""Statements: one line for every event that can move points, with the member's total after it."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final
from uuid import UUID

from google.protobuf.message import Message
from loyalty.v1.events_pb2 import (
    ActivityRecorded,
    ExpiryExtended,
    MemberEnrolled,
    PendingSettled,
    PointsAdjusted,
    PointsExpired,
    PointsRedeemed,
    PointsReinstated,
    RewardGranted,
    RewardReleased,
    RewardReserved,
    SaleRecorded,
    SaleReturned,
    TransactionReversed,
)

from ledger.domain.effect import effective_at
from projections.page import Event
from projections.postings import postings
from projections.projection import Projection, Step, columns
from projections.sql import statements

_TYPES: Final[Mapping[type[Message], str]] = {
    event_type: event_type.DESCRIPTOR.name
    for event_type in (
        SaleRecorded,
        PointsRedeemed,
        RewardReserved,
        RewardReleased,
        SaleReturned,
        TransactionReversed,
        PointsExpired,
        PointsAdjusted,
        ActivityRecorded,
        PendingSettled,
        ExpiryExtended,
        PointsReinstated,
        RewardGranted,
    )
}
"""What gets a line, also when it comes to 0 points."""


class Statements(Projection):
    """The lines of every member's statement."""

    name: ClassVar[str] = "statements"
    sql: ClassVar[Mapping[str, bytes]] = statements("statements.sql")
    tables: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "member_totals": ("member_id",),
        "entries": ("member_id", "position"),
    }

    def collect(self, events: Sequence[Event]) -> list[Step]:
        """The statements that apply a page."""
        enrolled: list[UUID] = []
        entries: list[tuple[Any, ...]] = []
        running: dict[UUID, int] = {}
        for event in events:
            position, member_id, _, recorded_at, command_id, payload = event
            event_type = _TYPES.get(type(payload))
            if event_type is None:
                if isinstance(payload, MemberEnrolled):
                    enrolled.append(member_id)
                continue
            points = postings(payload).get("member", 0)
            after = running[member_id] = running.get(member_id, 0) + points
            entries.append(
                (
                    member_id,
                    position,
                    effective_at(event.payload, event.recorded_at),
                    recorded_at,
                    event_type,
                    command_id,
                    points,
                    after,
                    "" if event_type == "PointsExpired" else payload.origin.store,
                )
            )
        steps: list[Step] = []
        if enrolled:
            steps.append(Step("enrol", (enrolled,), len(enrolled)))
        if entries:
            steps.append(Step("enter", columns(entries), len(entries)))
            parameters = (list(running), list(running.values()))
            steps.append(Step("total", parameters, len(running)))
        return steps
