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
from projections.movements import lots, movements
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
            opened += [(member_id, lot.number, effective) for lot in lots(payload)]
            moved += [
                (member_id, event.position, lot, kind, points, sold_minor, event.recorded_at, effective)
                for (lot, kind), (points, sold_minor) in booked.items()
            ]
        steps: list[Step] = []
        if enrolled:
            steps.append(Step("enrol", columns(enrolled), len(enrolled)))
        if opened:
            steps.append(Step("open", columns(opened), len(opened)))
        if moved:
            steps.append(Step("move", columns(moved), len(moved)))
        return steps


def _summed(payload: Any) -> dict[tuple[int, str], tuple[int, int]]:
    """Points and money of an event by lot and kind: lots that differ in their dates alone are one."""
    booked: dict[tuple[int, str], tuple[int, int]] = {}
    for kind, lot, points, sold_minor in movements(payload):
        before = booked.get((lot, kind), (0, 0))
        booked[lot, kind] = (before[0] + points, before[1] + sold_minor)
    return booked
