"""Membership: who is in segments now, who should be, and the events that make the one the other."""

from collections.abc import Collection, Iterable, Iterator, Sequence, Set
from typing import Any, Final, NamedTuple
from uuid import UUID

from loyalty.v1.events_pb2 import SegmentMembersChanged
from loyalty.v1.segment_pb2 import SegmentCause
from psycopg import Cursor

from ledger.domain.instant import to_timestamp
from ledger.domain.names import member_name
from ledger.domain.new_event import NewEvent
from ledger.segments.holding import Page
from ledger.segments.live import Live
from ledger.segments.statements import SQL
from projections.measures import Between

MEMBERS_MAX: Final = 1_000
"""Members that one event names."""


class Decision(NamedTuple):
    """Who enters a segment and who leaves it."""

    live: Live
    entered: Sequence[UUID]
    left: Sequence[UUID]


def decide(cursor: Cursor[Any], page: Page, segments: Sequence[Live]) -> list[Decision]:
    """What is to change among the members of a page, of one program."""
    now, listed = _now(cursor, [live.stream_id for live in segments], page.members)
    known = [member for member, _ in page.facts]
    decisions: list[Decision] = []
    for live in segments:
        wanted: Set[UUID] = set()
        if not live.is_deleted:
            held = page.held(cursor, live.criteria).members if live.criteria is not None else ()
            wanted = listed[live.stream_id].intersection(known).union(held) if listed[live.stream_id] else set(held)
        entered, left = wanted - now[live.stream_id], now[live.stream_id] - wanted
        if entered or left:
            decisions.append(Decision(live, sorted(entered), sorted(left)))
    return decisions


def _now(
    cursor: Cursor[Any], streams: Sequence[UUID], members: Collection[UUID] | Between
) -> tuple[dict[UUID, set[UUID]], dict[UUID, set[UUID]]]:
    """Who is in segments now, and who is on their lists, of some members."""
    parameters: dict[str, Any] = {"streams": streams}
    if isinstance(members, Between):
        rows = cursor.execute(SQL["now_between"], parameters | members._asdict(), prepare=True)
    else:
        rows = cursor.execute(SQL["now_of"], parameters | {"members": list(members)}, prepare=True)
    now: dict[UUID, set[UUID]] = {stream: set() for stream in streams}
    listed: dict[UUID, set[UUID]] = {stream: set() for stream in streams}
    for stream, member, is_in in rows:
        (now if is_in else listed)[stream].add(member)
    return now, listed


def events_of(decisions: Iterable[Decision], at: int, cause: SegmentCause.ValueType) -> list[NewEvent]:
    """The events that record decisions."""
    events: list[NewEvent] = []
    for live, entered, left in decisions:
        version = live.version
        for part_entered, part_left in _parts(entered, left):
            version += 1
            changed = SegmentMembersChanged(
                segment=live.name,
                definition_version=live.definition_version,
                entered=[member_name(member) for member in part_entered],
                left=[member_name(member) for member in part_left],
                at=to_timestamp(at),
                cause=cause,
            )
            events.append(NewEvent(live.stream_id, version, changed, None, None, None))
    return events


def _parts(entered: Sequence[UUID], left: Sequence[UUID]) -> Iterator[tuple[Sequence[UUID], Sequence[UUID]]]:
    """Parts of MEMBERS_MAX: first those who leave, then those who enter."""
    total = len(left) + len(entered)
    for first in range(0, total, MEMBERS_MAX):
        behind = first + MEMBERS_MAX
        yield entered[max(first - len(left), 0) : max(behind - len(left), 0)], left[first:behind]
