"""Segments: their definitions, their lists, and who was in from when until when."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from uuid import UUID

from loyalty.v1.events_pb2 import SegmentDeleted, SegmentListed, SegmentMembersChanged, SegmentSaved

from ledger.domain.names import program_of_segment
from projections.page import Event
from projections.projection import Projection, Step, columns
from projections.sql import statements


class Segments(Projection):
    """Segments and memberships. What a segment decides is in its events; nothing is evaluated here."""

    name: ClassVar[str] = "segments"
    sql: ClassVar[Mapping[str, bytes]] = statements("segments.sql")
    tables: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "segments": ("stream_id",),
        "segment_lists": ("stream_id", "member_id"),
        "segment_memberships": ("stream_id", "member_id", "entered_position"),
    }
    owner: ClassVar[str] = "stream_id"

    def collect(self, events: Sequence[Event]) -> list[Step]:
        """The statements that apply a page."""
        steps: list[Step] = []
        moves = _Moves()
        for event in events:
            payload = event.payload
            if isinstance(payload, SegmentMembersChanged):
                if not moves.fits(event.stream_id, payload):
                    steps += moves.steps()
                    moves = _Moves()
                moves.add(event, payload)
            elif isinstance(payload, SegmentSaved | SegmentDeleted | SegmentListed):
                steps += moves.steps()
                moves = _Moves()
                steps.append(_decided(event, payload))
        return steps + moves.steps()


class _Moves:
    """Who enters and leaves, each once, so that it can be applied at once."""

    def __init__(self) -> None:
        self._entered: list[tuple[Any, ...]] = []
        self._left: list[tuple[Any, ...]] = []
        self._seen: set[tuple[UUID, str]] = set()
        self._streams: dict[UUID, tuple[int, int, int]] = {}
        """The versions before and after of each segment, and how many more members it has."""

    def fits(self, stream_id: UUID, changed: SegmentMembersChanged) -> bool:
        """Whether none of the members of an event has moved here already."""
        return not any(
            (stream_id, member) in self._seen for names in (changed.entered, changed.left) for member in names
        )

    def add(self, event: Event, changed: SegmentMembersChanged) -> None:
        """Adds an event that fits."""
        at = (event.stream_id, event.position, event.recorded_at)
        self._entered += [(*at, member) for member in changed.entered]
        self._left += [(*at, member) for member in changed.left]
        self._seen.update((event.stream_id, member) for names in (changed.entered, changed.left) for member in names)
        before, _, more = self._streams.get(event.stream_id, (event.version - 1, 0, 0))
        self._streams[event.stream_id] = (before, event.version, more + len(changed.entered) - len(changed.left))

    def steps(self) -> list[Step]:
        """In this order, though nobody is in two of them."""
        steps: list[Step] = []
        if self._left:
            steps.append(Step("leave", columns(self._left), len(self._left)))
        if self._entered:
            steps.append(Step("enter", columns(self._entered), len(self._entered)))
        if self._streams:
            rows = [(stream_id, *versions) for stream_id, versions in self._streams.items()]
            steps.append(Step("count", columns(rows), len(rows)))
        return steps


def _decided(event: Event, payload: SegmentSaved | SegmentDeleted | SegmentListed) -> Step:
    stream_id, version = event.stream_id, event.version
    match payload:
        case SegmentSaved():
            segment = payload.request.segment
            program = program_of_segment(segment.name)
            row = (
                stream_id,
                version,
                program,
                segment.name.rpartition("/")[2],
                segment.display_name.en,
                segment.display_name.hi,
                segment.expression.replace("\0", ""),  # which PostgreSQL's texts cannot have
                segment.SerializeToString(deterministic=True),
                payload.version,
                event.position,
                event.recorded_at,
            )
            return Step("save", columns([row]), 1)
        case SegmentDeleted():
            return Step("delete", columns([(stream_id, version)]), 1)
        case SegmentListed():
            add, remove = payload.request.add, payload.request.remove
            return Step("list", ([stream_id], [version], list(add), list(remove)), 1)
