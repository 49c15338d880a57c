"""Tiers: what counts towards tiers, the tier of each member, and the versions of each program."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from uuid import UUID

from loyalty.v1.events_pb2 import (
    ActivityRecorded,
    MemberEnrolled,
    PendingSettled,
    ProgramPublished,
    SaleRecorded,
    SaleReturned,
    TierChanged,
    TransactionReversed,
)

from ledger.domain.instant import from_timestamp
from projections.effect import effective_at
from projections.page import Event
from projections.postings import issued, total
from projections.projection import Contradiction, Projection, Step, columns
from projections.sql import statements


class Tiers(Projection):
    """Where each member stands."""

    name: ClassVar[str] = "tiers"
    sql: ClassVar[Mapping[str, bytes]] = statements("tiers.sql")
    tables: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "tiers": ("member_id",),
    }
    shared_tables: ClassVar[Mapping[str, tuple[str, ...]]] = {"programs": ("program", "version")}

    def collect(self, events: Sequence[Event]) -> list[Step]:
        """The statements that apply a page. Raises Contradiction."""
        page = _Page()
        for event in events:
            payload = event.payload
            match payload:
                case SaleRecorded() | ActivityRecorded():
                    page.qualify(event.stream_id, issued(payload))
                case PendingSettled():
                    page.qualify(event.stream_id, total(payload.activated) - total(payload.taken))
                case TierChanged():
                    page.change(event)
                case SaleReturned() | TransactionReversed():
                    page.qualify(event.stream_id, -payload.undo.qualifying_points)
                case MemberEnrolled():
                    since = effective_at(event)
                    page.enrolled.append((event.stream_id, payload.program, payload.tier, since))
                case ProgramPublished():
                    program = payload.request.program
                    definition = program.SerializeToString(deterministic=True)
                    starts_at = from_timestamp(program.starts_at) if program.HasField("starts_at") else 0
                    page.programs.append((program.name, program.version, starts_at, definition))
                case _:
                    pass
        return page.steps()


class _Page:
    def __init__(self) -> None:
        self.enrolled: list[tuple[UUID, str, str, int]] = []
        self.programs: list[tuple[str, int, int, bytes]] = []
        self.points: dict[UUID, int] = {}
        self.lowest: dict[UUID, int] = {}
        self.changes: dict[UUID, tuple[str, str, int]] = {}

    def qualify(self, member_id: UUID, points: int) -> None:
        """Adds qualifying points, or takes them off when negative."""
        after = self.points[member_id] = self.points.get(member_id, 0) + points
        if after < 0:
            self.lowest[member_id] = min(self.lowest.get(member_id, 0), after)

    def change(self, event: Event) -> None:
        """Changes a tier."""
        changed: TierChanged = event.payload
        first = changed.from_tier
        earlier = self.changes.get(event.stream_id)
        if earlier is not None:
            first = earlier[0]
            if earlier[1] != changed.from_tier:
                raise Contradiction(f"{event.stream_id} is not in tier {changed.from_tier!r}")
        self.changes[event.stream_id] = (first, changed.to_tier, effective_at(event))

    def steps(self) -> list[Step]:
        """The statements."""
        steps: list[Step] = []
        if self.programs:
            steps.append(Step("publish", columns(self.programs), len(self.programs)))
        if self.enrolled:
            steps.append(Step("enrol", columns(self.enrolled), len(self.enrolled)))
        if self.points:
            parameters: list[list[Any]] = [
                list(self.points),
                list(self.points.values()),
                [self.lowest.get(member_id, 0) for member_id in self.points],
            ]
            steps.append(Step("qualify", parameters, len(self.points)))
        if self.changes:
            changes = columns([(member, *change) for member, change in self.changes.items()])
            steps.append(Step("change", changes, len(self.changes)))
        return steps
