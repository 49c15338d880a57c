"""The log as auditors and CRM systems read it: see ledger.views.EventReader."""

from collections.abc import Collection, Sequence
from typing import Any, Final
from uuid import UUID

from loyalty.v1 import events_pb2
from psycopg import Cursor
from psycopg.rows import tuple_row

from ledger.domain.instant import set_timestamp
from ledger.domain.names import (
    last_id,
    member_name,
    pool_name,
    pool_stream,
    program_stream,
    segment_stream,
    transaction_name,
)
from ledger.domain.segments.decide import name_of
from ledger.store.archive import NO_ARCHIVE, Archive
from ledger.store.datastore import LedgerDatastore
from ledger.store.topics import TOPICS
from ledger.views import EventPage
from projections.hub import Hub
from projections.page import COLUMNS, POSITION_AT, STATE_AT, Event, event_of
from projections.sql import statements

SCAN_EVENTS_MAX: Final = 20_000
"""Events that one call looks at, so that a rare type in a long log does not keep a connection for minutes."""

_SQL: Final = {
    name: sql.replace(b"{columns}", COLUMNS.strip().encode()) for name, sql in statements("reader.sql").items()
}

TOPICS_BY_NAME: Final = {topic_type.__name__: topic for topic_type, topic in TOPICS.items()}

_FIELDS: Final = {
    field.message_type.name: field.name
    for field in events_pb2.Event.DESCRIPTOR.oneofs_by_name["event"].fields
    if field.message_type is not None
}


class PostgresReader:
    """Reads the log. The datastore should be made with POINT_LOOKUPS."""

    def __init__(self, datastore: LedgerDatastore, hub: Hub, archive: Archive = NO_ARCHIVE) -> None:
        self._datastore = datastore
        self._archive = archive
        self._hub = hub

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
        """Events behind a position, up to another (0: the head), that match all conditions.

        A page can be short, even empty, before the end: go on behind `scanned_to`. Raises MapperDeserialisationError
        when an event cannot be read, and Archived where it is in the archive and cannot be read there.
        """
        with self._datastore.get_connection() as connection:
            cursor = connection.cursor(binary=True, row_factory=tuple_row)
            head = head_position(cursor)
            end = min(until or head, head)
            last = end
            if recorded_from is not None:
                after = max(after, first_recorded_at(cursor, recorded_from, after, last) - 1)
            if recorded_until is not None:
                last = min(last, first_recorded_at(cursor, recorded_until, after, last) - 1)
            topics = [TOPICS_BY_NAME[name] for name in types] if types else list(TOPICS_BY_NAME.values())
            scan = last if subject else min(last, after + SCAN_EVENTS_MAX)
            rows: list[tuple[Any, ...]] = []
            if scan > after:
                parameters: dict[str, Any] = {"after": after, "until": scan, "limit": limit}
                question = "range"
                if subject:
                    question = "stream"
                    parameters |= {"stream": _stream(subject), "topics": topics}
                elif types:
                    question = "range_of_types"
                    parameters["topics"] = topics
                rows = cursor.execute(_SQL[question], parameters, prepare=True).fetchall()
                rows = self._archive.fill(cursor, rows, POSITION_AT, STATE_AT)
        scanned_to = scan if scan < last else max(end, after)
        if len(rows) == limit:
            scanned_to = rows[-1][0]
        return EventPage([message_of(event_of(row)) for row in rows], scanned_to, head)

    def transaction(self, transaction_id: UUID) -> list[events_pb2.Event]:
        """A command's main event and all that followed from it, in order; empty when it is not known."""
        with self._datastore.get_connection() as connection:
            cursor = connection.cursor(binary=True, row_factory=tuple_row)
            rows = cursor.execute(_SQL["transaction"], {"transaction": transaction_id}, prepare=True).fetchall()
            rows = self._archive.fill(cursor, rows, POSITION_AT, STATE_AT)
        return [message_of(event_of(row)) for row in rows]

    def recorded(self, requests: Collection[UUID]) -> set[UUID]:
        """Which of some commands have an event of their own."""
        with self._datastore.get_connection() as connection:
            cursor = connection.cursor(binary=True, row_factory=tuple_row)
            return {row[0] for row in cursor.execute(_SQL["recorded"], (list(requests),), prepare=True)}

    def head_position(self) -> int:
        """The position of the last event; 0 in an empty log."""
        with self._datastore.get_connection() as connection:
            return head_position(connection.cursor(binary=True, row_factory=tuple_row))

    def wait_for(self, position: int, timeout_s: float) -> bool:
        """Waits until the log reaches a position. False when it did not in time."""
        return self._hub.wait_beyond(position - 1, timeout_s)


def message_of(event: Event) -> events_pb2.Event:
    """An event as readers get it."""
    payload = event.payload
    name = type(payload).__name__
    message = events_pb2.Event(
        position=event.position,
        subject=_subject(event),
        subject_version=event.version,
        transaction="" if event.command_id is None else transaction_name(event.command_id),
        **{_FIELDS[name]: payload},
    )
    set_timestamp(message.recorded_at, event.recorded_at)
    return message


def _subject(event: Event) -> str:
    match event.payload:
        case events_pb2.ProgramPublished() as published:
            return published.request.program.name
        case events_pb2.ReversalAwaited() | events_pb2.CommandBlocked():
            return ""
        case events_pb2.PoolDrawn() | events_pb2.PoolReturned() | events_pb2.PoolKept() as moved:
            return pool_name(moved.program, moved.pool)
        case events_pb2.VoucherCodesUploaded() as uploaded:
            return pool_name(uploaded.request.program, uploaded.pool)
        case events_pb2.SegmentMembersChanged() as moved:
            return moved.segment
        case events_pb2.SegmentSaved() | events_pb2.SegmentDeleted() | events_pb2.SegmentListed() as decided:
            return name_of(decided.request)
        case events_pb2.AuditRecorded() as audit:
            return audit.request.trail
        case _:
            return member_name(event.stream_id)


def _stream(subject: str) -> UUID:
    if subject.startswith(("members/", "trails/")):
        return last_id(subject)
    if "/segments/" in subject:
        return segment_stream(subject)
    program, is_pool, key = subject.partition("/pools/")
    return pool_stream(program, key) if is_pool else program_stream(program)


def head_position(cursor: Cursor[Any]) -> int:
    """The end of the log."""
    row = cursor.execute(_SQL["head"], prepare=True).fetchone()
    return int(row[0]) if row is not None else 0


def first_recorded_at(cursor: Cursor[Any], instant: int, after: int, last: int) -> int:
    """The first position in (after, last] recorded at or after an instant; last + 1 when there is none.

    recorded_at never decreases with position, so halving finds it.
    """
    low, high = after + 1, last + 1
    while low < high:
        middle = (low + high) // 2
        row = cursor.execute(_SQL["recorded_at"], (middle,), prepare=True).fetchone()
        if row is None or row[0] >= instant:
            high = middle
        else:
            low = middle + 1
    return low
