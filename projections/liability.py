"""Liability: what the program owes its members, by the month in which the points were issued (their vintage).

Every movement has two days, both in the time zone that the account's books are kept in: the day on which it was booked,
which is when it was recorded, and the day on which it took effect. Days on which something was booked are over once and
for all; what arrives late is booked later and takes effect earlier. The vintage is the month in which the event that
issued the points took effect.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from uuid import UUID

from loyalty.v1.events_pb2 import MemberEnrolled

from ledger.domain.effect import effective_at
from projections.movements import Movement, lots, movements
from projections.page import Event
from projections.projection import Projection, Step, columns
from projections.sql import statements


class Liability(Projection):
    """Movements by lot, and their sums by vintage and day."""

    name: ClassVar[str] = "liability"
    sql: ClassVar[Mapping[str, bytes]] = statements("liability.sql")
    tables: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "booked_members": ("member_id",),
        "vintages": ("member_id", "lot"),
        "movements": ("member_id", "position", "lot", "kind"),
    }
    shared_tables: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "liability_days": ("program", "vintage", "booked_on", "effective_on"),
    }

    def collect(self, events: Sequence[Event]) -> list[Step]:
        """The statements that apply a page."""
        enrolled: list[tuple[UUID, str, str]] = []
        opened: list[tuple[UUID, int, int]] = []
        moved: list[tuple[Any, ...]] = []
        for event in events:
            payload, member_id = event.payload, event.stream_id
            if isinstance(payload, MemberEnrolled):
                enrolled.append((member_id, payload.program, payload.time_zone))
                continue
            booked = _summed(payload)
            if not booked:
                continue
            effective = effective_at(event.payload, event.recorded_at)
            own = [lot.number for lot in lots(payload)]
            opened += [(member_id, number, effective) for number in own]
            moved += [
                (
                    member_id,
                    event.position,
                    lot,
                    kind,
                    points,
                    sold_minor,
                    event.recorded_at,
                    effective,
                    int(lot in own),
                )
                for kind, lot, points, sold_minor in booked
            ]
        steps: list[Step] = []
        if enrolled:
            steps.append(Step("enrol", columns(enrolled), len(enrolled)))
        if opened:
            steps.append(Step("open", columns(opened), len(opened)))
        if moved:
            steps.append(Step("move", columns(moved), len(moved)))
        return steps


def _summed(payload: Any) -> Sequence[Movement]:
    """Movements of an event, one for each lot and kind: lots that differ in their dates alone are one."""
    booked = list(movements(payload))
    if len(booked) < 2:  # noqa: PLR2004 - nothing to add up
        return booked
    summed: dict[tuple[int, str], Movement] = {}
    for one in booked:
        before = summed.get((one.lot, one.kind))
        summed[one.lot, one.kind] = (
            one
            if before is None
            else one._replace(points=before.points + one.points, sold_minor=before.sold_minor + one.sold_minor)
        )
    return list(summed.values())
