"""Segments as CrmService reads them: see ledger.segment_views."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from loyalty.v1.member_pb2 import IdentifierType
from loyalty.v1.segment_pb2 import Measure, Segment
from loyalty.v1.segment_reads_pb2 import SegmentMembership, SegmentState
from psycopg.rows import tuple_row

from ledger.domain.instant import local_date, set_timestamp, to_timestamp
from ledger.domain.names import member_name, segment_stream
from ledger.domain.segments.criteria import MEASURE_FIELDS
from ledger.domain.segments.decide import etag_of
from ledger.segment_views import MembershipPage, Standing
from ledger.store.datastore import LedgerDatastore
from ledger.views import ViewBehind
from projections.facts import read_facts
from projections.measures import NOTHING, read_measure
from projections.sql import statements
from projections.tries import tries

_SQL: Final = statements("segments_reader.sql")


class PostgresSegments:
    """Reads segments. The datastore should be made with POINT_LOOKUPS."""

    def __init__(self, datastore: LedgerDatastore) -> None:
        self._datastore = datastore

    def segment(self, name: str, min_position: int = 0, timeout_s: float = 0) -> tuple[SegmentState, int] | None:
        """A segment and the position that it reflects; None where there is none, or it is deleted."""
        stream = segment_stream(name)
        position = self._reached(min_position, timeout_s, stream=stream)
        rows = self._query("segment", stream=stream)
        state = _state(rows[0]) if rows else None
        return (state, position) if state is not None else None

    def segments(self, program: str, after: str, limit: int) -> list[SegmentState]:
        """The segments of a program behind an id, in the order of their ids."""
        rows = self._query("segments", program=program, after=after, limit=limit)
        return [state for row in rows if (state := _state(row)) is not None]

    def members(
        self, name: str, after: UUID, limit: int, as_of: int | None, min_position: int, timeout_s: float
    ) -> MembershipPage | None:
        """Who is in a segment, or was at an instant, behind a member; None where there is no such segment.

        One that is deleted has its past and no present.
        """
        stream = segment_stream(name)
        position = self._reached(min_position, timeout_s, stream=stream)
        known = self._query("segment", stream=stream)
        if not known or (as_of is None and _state(known[0]) is None):
            return None
        asked = {"stream": stream, "after": after, "limit": limit + 1}
        rows = (
            self._query("members_now", **asked) if as_of is None else self._query("members_as_of", **asked, as_of=as_of)
        )
        page = [_membership(name, member_name(row[0]), row[1:]) for row in rows[:limit]]
        return MembershipPage(page, len(rows) > limit, position)

    def of_member(
        self, member_id: UUID, before: int, limit: int, min_position: int, timeout_s: float, *, current_only: bool
    ) -> MembershipPage:
        """The memberships of a member, newest first."""
        position = self._reached(min_position, timeout_s, member=member_id)
        asked = {"member": member_id, "before": before, "limit": limit + 1, "current_only": current_only}
        rows = self._query("of_member", **asked)
        page = [_membership(row[0], member_name(member_id), row[1:]) for row in rows[:limit]]
        return MembershipPage(page, len(rows) > limit, position)

    def standing(self, name: str, member_id: UUID) -> Standing:
        """How a member stands to a segment."""
        return Standing(*self._query("standing", stream=segment_stream(name), member=member_id)[0])

    def facts(
        self, program: str, member_id: UUID, at: int, names: Collection[str], measures: Mapping[str, Measure]
    ) -> Mapping[str, Any] | None:
        """Facts and measures of a member at an instant; None where the program has no such member, or not yet."""
        zones = self._query("zone", program=program, member=member_id)
        if not zones:
            return None
        today = local_date(at, ZoneInfo(zones[0][0]))
        with self._datastore.get_connection() as connection:
            cursor = connection.cursor(binary=True, row_factory=tuple_row)
            facts = read_facts(cursor, program, at, names, [member_id]).get(member_id)
            if facts is None:  # erased
                return None
            values: dict[str, Any] = dict(facts)
            for name, measure in measures.items():
                figures = read_measure(cursor, program, today, measure, [member_id]).get(member_id, NOTHING)
                values[name] = dict(zip(MEASURE_FIELDS, figures, strict=True))
        return values

    def by_external_id(self, program: str, external_ids: Sequence[str]) -> Mapping[str, UUID]:
        """The members of a program that have some external ids."""
        external = IdentifierType.IDENTIFIER_TYPE_EXTERNAL_ID
        return dict(self._query("by_external_id", program=program, type=external, values=list(external_ids)))

    def strangers(self, program: str, members: Sequence[UUID]) -> list[UUID]:
        """Which of some members the program does not have, or who are erased."""
        known = {member for (member,) in self._query("known", program=program, members=list(members))}
        return [member for member in members if member not in known]

    def _reached(
        self, min_position: int, timeout_s: float, *, stream: UUID | None = None, member: UUID | None = None
    ) -> int:
        """Waits until memberships reflect a position, and returns which they do. Raises ViewBehind."""
        position = 0
        for _ in tries(timeout_s):
            position, is_shown, is_complete = self._query("reached", stream=stream, member=member)[0]
            if not min_position or (position >= min_position and is_shown and is_complete):
                return int(position)
        raise ViewBehind(position)

    def _query(self, name: str, **parameters: Any) -> list[tuple[Any, ...]]:
        with self._datastore.get_connection() as connection:
            cursor = connection.cursor(binary=True, row_factory=tuple_row)
            return cursor.execute(_SQL[name], parameters, prepare=True).fetchall()


def _state(row: Sequence[Any]) -> SegmentState | None:
    definition, version, saved_at, members, listed, is_deleted, is_complete = row
    if is_deleted:
        return None
    segment = Segment.FromString(definition)
    segment.version = version
    segment.etag = etag_of(version)
    return SegmentState(
        segment=segment,
        member_count=members,
        listed_count=listed,
        is_complete=is_complete,
        saved_at=to_timestamp(saved_at),
    )


def _membership(segment: str, member: str, row: Sequence[Any]) -> SegmentMembership:
    entered_at, entered_position, left_at, left_position = row
    membership = SegmentMembership(
        segment=segment, member=member, entered_position=entered_position, left_position=left_position or 0
    )
    set_timestamp(membership.entered_at, entered_at)
    if left_at is not None:
        set_timestamp(membership.left_at, left_at)
    return membership
