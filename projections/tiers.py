"""Tiers: the tier of each member, what it rests on, what is ahead, and the versions of each program."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final
from uuid import UUID

from loyalty.v1.events_pb2 import (
    ActivityRecorded,
    MemberEnrolled,
    PendingSettled,
    ProgramPublished,
    SaleRecorded,
    SaleReturned,
    TierChanged,
    TierFloorSet,
    TransactionReversed,
    Undo,
)

from ledger.domain.effect import effective_at
from ledger.domain.instant import from_timestamp
from ledger.domain.standing import NO_STANDING, Standing
from projections.page import Event
from projections.projection import Contradiction, Projection, Step, columns
from projections.sql import statements

_NOTHING: Final = NO_STANDING.to_bytes()


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
                case SaleRecorded() | ActivityRecorded() | PendingSettled():
                    page.qualify(event, payload)
                case SaleReturned() | TransactionReversed():
                    page.qualify(event, payload.undo)
                case TierChanged():
                    page.change(event)
                    page.stand(event, Standing.of(payload.standing))
                case TierFloorSet():
                    page.stand(event, Standing.of(payload.standing))
                case MemberEnrolled():
                    since = effective_at(event.payload, event.recorded_at)
                    page.enrolled.append((event.stream_id, payload.program, payload.tier, since, _NOTHING))
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
        self.enrolled: list[tuple[UUID, str, str, int, bytes]] = []
        self.programs: list[tuple[str, int, int, bytes]] = []
        self.standings: dict[UUID, Standing] = {}
        self.changes: dict[UUID, tuple[str, str, int]] = {}

    def qualify(self, event: Event, payload: SaleRecorded | ActivityRecorded | PendingSettled | Undo) -> None:
        """Takes over what an event counted."""
        if payload.HasField("qualification"):
            self.stand(event, Standing.after(payload.qualification))

    def stand(self, event: Event, standing: Standing) -> None:
        """Takes over where an event left its member."""
        self.standings[event.stream_id] = standing

    def change(self, event: Event) -> None:
        """Changes a tier."""
        changed: TierChanged = event.payload
        first = changed.from_tier
        earlier = self.changes.get(event.stream_id)
        if earlier is not None:
            first = earlier[0]
            if earlier[1] != changed.from_tier:
                raise Contradiction(f"{event.stream_id} is not in tier {changed.from_tier!r}")
        self.changes[event.stream_id] = (first, changed.to_tier, effective_at(event.payload, event.recorded_at))

    def steps(self) -> list[Step]:
        """The statements."""
        steps: list[Step] = []
        if self.programs:
            steps.append(Step("publish", columns(self.programs), len(self.programs)))
        if self.enrolled:
            steps.append(Step("enrol", columns(self.enrolled), len(self.enrolled)))
        if self.standings:
            rows = [_row(member, standing) for member, standing in self.standings.items()]
            steps.append(Step("stand", columns(rows), len(rows)))
        if self.changes:
            changes = columns([(member, *change) for member, change in self.changes.items()])
            steps.append(Step("change", changes, len(self.changes)))
        return steps


def _row(member_id: UUID, standing: Standing) -> tuple[UUID, bytes, int, int, str]:
    next_change = standing.ahead[0] if standing.ahead else None
    return (
        member_id,
        standing.to_bytes(),
        standing.total,
        next_change.at if next_change is not None else 0,
        next_change.tier if next_change is not None else "",
    )
