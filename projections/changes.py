"""Changes for the feed: see ledger.views.ChangeReader.

What is stored of an event is a part of what a consumer gets, byte for byte. It is put behind the parts that the log's
columns say, and not built as objects and encoded again.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from loyalty.v1 import events_pb2
from psycopg import Cursor
from psycopg.rows import tuple_row

from ledger.domain.instant import set_timestamp
from ledger.domain.names import program_in
from ledger.store.archive import NO_ARCHIVE, Archive
from ledger.store.datastore import LedgerDatastore
from ledger.store.topics import TOPICS, TOPICS_OF_ACCOUNTS, TYPES, decode
from ledger.store.wire import tag_of, varint
from ledger.views import Change, ChangePage
from projections.page import CAUSED_OTHERWISE, COLUMNS, POSITION_AT, STATE_AT, event_of
from projections.reader import SCAN_EVENTS_MAX, TOPICS_BY_NAME, head_position, message_of
from projections.sql import statements

PROGRAMS_KEPT_MAX: Final = 100_000
"""Members whose program is kept in mind."""

_SQL: Final = {
    name: sql.replace(b"{columns}", COLUMNS.strip().encode()) for name, sql in statements("changes.sql").items()
}

_STREAM_AT: Final = 1
_TOPIC_AT: Final = 5

_NO_CHANGE: Final = TOPICS[events_pb2.AuditRecorded]

_ALWAYS: Final = TOPICS[events_pb2.MemberErased]
"""Comes whatever types are asked for: every copy has to forget whoever is erased."""

Row = tuple[Any, ...]


_FIELDS: Final = {
    field.message_type.name: field
    for field in events_pb2.Event.DESCRIPTOR.oneofs_by_name["event"].fields
    if field.message_type is not None
}

_TAGS: Final[Mapping[str, bytes]] = {
    topic: tag_of(_FIELDS[TYPES[topic].__name__])
    for topic in TOPICS_OF_ACCOUNTS
    if TYPES[topic] not in CAUSED_OTHERWISE
}
"""What stands before the stored bytes of the events of which the log's columns say all the rest."""


class PostgresChanges:
    """Reads changes. The datastore should be made with POINT_LOOKUPS."""

    def __init__(self, datastore: LedgerDatastore, archive: Archive = NO_ARCHIVE) -> None:
        self._datastore = datastore
        self._archive = archive
        self._programs: dict[str, str] = {}

    def read(self, after: int, types: Sequence[str], program: str, limit: int) -> ChangePage:
        """Changes behind a position, of some types and MemberErased or of all, and of a program or all."""
        with self._datastore.get_connection() as connection:
            cursor = connection.cursor(binary=True, row_factory=tuple_row)
            head = head_position(cursor)
            until = min(head, after + SCAN_EVENTS_MAX)
            if until <= after:
                return ChangePage([], after, head)
            topics = [*(TOPICS_BY_NAME[name] for name in types), _ALWAYS]
            parameters = {"after": after, "until": until, "topics": topics, "limit": limit}
            rows = cursor.execute(_SQL["range_of_types" if types else "range"], parameters, prepare=True).fetchall()
            scanned_to = rows[-1][POSITION_AT] if len(rows) == limit else until
            rows = [row for row in rows if row[_TOPIC_AT] != _NO_CHANGE]
            if program:
                rows = self._of_program(cursor, rows, program)
            rows = self._archive.fill(cursor, rows, POSITION_AT, STATE_AT)
        return ChangePage(_changes(rows, program), scanned_to, head)

    def _of_program(self, cursor: Cursor[Any], rows: Sequence[Row], program: str) -> list[Row]:
        """The rows of a program's members, and those that only their own content tells the program of."""
        members = {row[_STREAM_AT] for row in rows if row[_TOPIC_AT] in TOPICS_OF_ACCOUNTS}
        programs = {stream: self._programs.get(stream) for stream in members}
        unknown = [stream for stream, known in programs.items() if known is None]
        if unknown:
            found = cursor.execute(_SQL["first_events"], (unknown,), prepare=True).fetchall()
            for _, stream, topic, state in self._archive.fill(cursor, found, 0, 3):
                programs[stream] = getattr(decode(topic, state), "program", "")
            if len(self._programs) + len(unknown) > PROGRAMS_KEPT_MAX:
                self._programs = {}
            self._programs.update((stream, known) for stream, known in programs.items() if known is not None)
        return [row for row in rows if programs.get(row[_STREAM_AT], program) == program]


def _changes(rows: Sequence[Row], program: str) -> list[Change]:
    """The changes of some rows; of those without a member only a program's, unless it is empty."""
    head = events_pb2.Event()
    changes: list[Change] = []
    for row in rows:
        tag = _TAGS.get(row[_TOPIC_AT])
        if tag is not None:
            changes.append(Change(row[POSITION_AT], _stored(head, row, tag)))
            continue
        position, stream, version, recorded_at, command, topic, state = row
        command_id = None if command is None else UUID(command)
        message = message_of(event_of((position, UUID(stream), version, recorded_at, command_id, topic, state)))
        if not program or topic in TOPICS_OF_ACCOUNTS or program_in(message.subject) == program:
            changes.append(Change(position, message.SerializeToString()))
    return changes


def _stored(head: events_pb2.Event, row: Row, tag: bytes) -> bytes:
    """An Event around the bytes that are stored. `head` is any, to be used again."""
    head.position, stream, head.subject_version, recorded_at, command, topic, state = row
    head.subject = f"members/{stream}"
    head.transaction = "" if command is None else f"transactions/{command}"
    set_timestamp(head.recorded_at, recorded_at)
    decode(topic, state)  # what cannot be read is told here, with its position, and not at the consumer's
    return b"".join((head.SerializeToString(), tag, varint(len(state)), state))
