"""A page: some events of the log, in order, decoded once."""

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple
from uuid import UUID

from eventsourcing.persistence import MapperDeserialisationError
from google.protobuf.message import Message
from loyalty.v1.events_pb2 import CommandBlocked, PoolReturned, ReleaseReason, RewardReleased
from psycopg import Cursor

from ledger.domain.names import last_id
from ledger.store.archive import NO_ARCHIVE, Archive
from ledger.store.topics import decode

PAGE_EVENTS: Final = 2_000
"""Events that are applied in one transaction."""

COLUMNS: Final = """
e.notification_id, e.originator_id, e.originator_version, e.recorded_at,
CASE WHEN e.request_id IS NOT NULL THEN e.request_id
     WHEN e.topic IN ('expired/1', 'voucher-expired/1', 'entitlement-expired/1') THEN NULL
     WHEN e.topic = 'released/1' THEN (
         SELECT n.request_id FROM events n
         WHERE n.originator_id = e.originator_id AND n.originator_version = e.originator_version + 1
     )
     ELSE e.transaction_id
END AS command_id, e.topic, e.state
"""
"""An event with the command that caused it. A hold that a reversal ended is followed by that reversal."""

_READ: Final = f"""
SELECT {COLUMNS} FROM events e
WHERE e.notification_id > %b AND e.notification_id <= %b ORDER BY e.notification_id LIMIT %b
"""


@contextmanager
def large_pages() -> Iterator[None]:
    """For as long as large pages go by: no search for reference cycles.

    Events and rows hold none, but there are so many that every search takes a third of the time. It holds for the
    whole process, so it is for commands that do nothing else.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class Event(NamedTuple):
    """An event of the log."""

    position: int
    stream_id: UUID
    version: int
    recorded_at: int
    command_id: UUID | None
    """Request id of the command that caused it; None for what a deadline caused."""
    payload: Any
    """One of the messages of events.proto. Not Message, so that its fields can be reached."""


class Poisoned(Exception):
    """An event that cannot be applied: unknown, damaged, missing, or in contradiction to what is before it."""

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(f"event {position}: {reason}")
        self.position = position
        self.reason = reason


def event_of(row: Sequence[Any]) -> Event:
    """The event of a row of COLUMNS. Raises MapperDeserialisationError."""
    position, stream_id, version, recorded_at, command_id, topic, state = row
    payload = decode(topic, state)
    if command_id is not None and type(payload) in CAUSED_OTHERWISE:
        command_id = _cause(payload, command_id)
    return Event(position, stream_id, version, recorded_at, command_id, payload)


CAUSED_OTHERWISE: Final = frozenset({RewardReleased, PoolReturned, CommandBlocked})
"""Events of which their content says which command, if any, caused them."""


def _cause(payload: Message, command_id: UUID) -> UUID | None:
    if isinstance(payload, CommandBlocked):
        return last_id(payload.reversal)
    timed_out = payload.reason == ReleaseReason.RELEASE_REASON_TIMED_OUT  # type: ignore[attr-defined]  # a RewardReleased or PoolReturned
    return None if timed_out else command_id


POSITION_AT: Final = 0
STATE_AT: Final = 6
"""Which of COLUMNS are the position and the state."""


def read_page(cursor: Cursor[Any], after: int, until: int, limit: int, archive: Archive = NO_ARCHIVE) -> list[Event]:
    """The events behind a position, in order and without gaps; empty at the end.

    A page ends before an event that is missing or cannot be read. Raises Poisoned when that is its first.
    """
    rows = cursor.execute(_READ, (after, until, limit), prepare=True).fetchall()
    rows = archive.fill(cursor, rows, POSITION_AT, STATE_AT)
    events: list[Event] = []
    try:
        for position, row in enumerate(rows, after + 1):
            events.append(_event_at(position, row))
    except Poisoned:
        if not events:
            raise
    return events


def _event_at(position: int, row: Sequence[Any]) -> Event:
    if row[0] != position:
        raise Poisoned(position, "it is missing in the log")
    return readable(row)


def readable(row: Sequence[Any]) -> Event:
    """The event of a row of COLUMNS. Raises Poisoned where it cannot be read."""
    try:
        return event_of(row)
    except (MapperDeserialisationError, ValueError) as error:
        raise Poisoned(row[0], str(error).removeprefix(f"event {row[0]}: ")) from error
