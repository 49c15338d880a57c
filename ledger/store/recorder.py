"""The recorder: appends batches of events and finds them again by the keys that commands use."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple
from uuid import UUID

import psycopg
from eventsourcing.persistence import IntegrityError, StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder
from google.protobuf.message import Message
from psycopg import Connection, Cursor
from psycopg.rows import TupleRow, tuple_row

from ledger.domain.member_profile import NAMES, AttributeState, Key, MemberProfile
from ledger.domain.new_event import NewEvent
from ledger.store.archive import NO_ARCHIVE, Archive
from ledger.store.arrays import BigintArray, ByteaArray, TextArray, UuidArray
from ledger.store.datastore import LedgerDatastore
from ledger.store.topics import TOPICS, State, decode

LOCK_TIMEOUT_MS: Final = 5_000

_APPEND: Final = (
    "SELECT first_position, recorded_at FROM append_events(%b::uuid[], %b::bigint[], %b::text[], %b::bytea[],"
    " %b::uuid[], %b::uuid[], %b::text[], %b::bigint, %b::bigint)"
)

_COLUMNS: Final = (
    "e.originator_id, e.originator_version, e.topic, e.state, e.notification_id, e.recorded_at,"
    " e.request_id, e.transaction_id, e.sale_reference"
)

FETCH: Final = f"""
SELECT {_COLUMNS}, true AS found_by_stream FROM unnest(%b::uuid[], %b::bigint[]) AS k (id, version)
    JOIN events e ON e.originator_id = k.id AND e.originator_version > k.version
UNION ALL SELECT {_COLUMNS}, false FROM events e WHERE e.request_id = ANY (%b::uuid[])
UNION ALL SELECT {_COLUMNS}, false FROM events e WHERE e.transaction_id = ANY (%b::uuid[])
UNION ALL SELECT {_COLUMNS}, false FROM events e WHERE e.sale_reference = ANY (%b::text[])
ORDER BY notification_id
"""
"""Everything that a batch of commands needs to know, in one round trip; in position order."""

_EVENT: Final = f"""
SELECT {_COLUMNS}, true FROM events e WHERE e.originator_id = %b AND e.originator_version <= %b
ORDER BY e.originator_version DESC LIMIT 1
"""

_SNAPSHOTS: Final = "SELECT originator_id, state FROM snapshots WHERE originator_id = ANY (%b::uuid[])"

_WRITE_SNAPSHOTS: Final = """
INSERT INTO snapshots SELECT * FROM unnest(%b::uuid[], %b::bigint[], %b::bytea[])
ON CONFLICT (originator_id) DO UPDATE
    SET originator_version = excluded.originator_version, state = excluded.state
    WHERE snapshots.originator_version < excluded.originator_version
"""


_PROFILES: Final = """
SELECT m.member_id, m.version, m.source_at, m.given_name, m.family_name, m.language_code,
       (SELECT count(*) FROM profile.identifiers i WHERE i.member_id = m.member_id),
       a.names, a.types, a.texts, a.versions, a.sources, a.times
FROM profile.members m
CROSS JOIN LATERAL (
    SELECT array_agg(attribute) AS names, array_agg(type::int) AS types, array_agg(value) AS texts,
           array_agg(version) AS versions, array_agg(source) AS sources, array_agg(source_at) AS times
    FROM profile.attributes WHERE member_id = m.member_id
) AS a
WHERE m.member_id = ANY (%b::uuid[])
"""

_COUNT_SEGMENTS: Final = "SELECT count(*) FROM views.segments WHERE program = %b AND NOT is_deleted"
_SEGMENTS: Final = "SELECT member_id, segment_id FROM views.segment_members WHERE member_id = ANY (%b::uuid[])"


class RecordedEvent(NamedTuple):
    """An event on disk."""

    stream_id: UUID
    version: int
    topic: str
    state: State
    position: int
    recorded_at: int
    request_id: UUID | None
    transaction_id: UUID | None
    sale_reference: str | None
    found_by_stream: bool

    @property
    def payload(self) -> Message:
        """The event itself. Raises MapperDeserialisationError when it cannot be read."""
        return decode(self.topic, self.state)


_POSITION_AT: Final = RecordedEvent._fields.index("position")
_STATE_AT: Final = RecordedEvent._fields.index("state")


class Appended(NamedTuple):
    """Where a batch went."""

    first_position: int
    recorded_at: int


class Session:
    """One attempt of a batch on one connection: read, decide, append."""

    def __init__(self, connection: Connection[Any], archive: Archive = NO_ARCHIVE) -> None:
        self._archive = archive
        self._cursor: Cursor[TupleRow] = connection.cursor(binary=True, row_factory=tuple_row)
        self._connection = connection

    def fetch(
        self,
        streams: dict[UUID, int],
        requests: Sequence[UUID] = (),
        transactions: Sequence[UUID] = (),
        references: Sequence[str] = (),
    ) -> list[RecordedEvent]:
        """Events by stream (behind a version), by request id, by transaction and by sale reference."""
        rows = self._cursor.execute(
            FETCH,
            (
                list(streams),
                list(streams.values()),
                list(requests),
                list(transactions),
                list(references),
            ),
            prepare=True,
        )
        filled = self._archive.fill(self._cursor, rows.fetchall(), _POSITION_AT, _STATE_AT)
        return [RecordedEvent._make(row) for row in filled]

    def event(self, stream: UUID, version: int = 2**63 - 1) -> RecordedEvent | None:
        """The last event of a stream, up to a version; None where there is none."""
        rows = self._cursor.execute(_EVENT, (stream, version), prepare=True).fetchall()
        rows = self._archive.fill(self._cursor, rows, _POSITION_AT, _STATE_AT)
        return RecordedEvent._make(rows[0]) if rows else None

    def snapshots(self, streams: Sequence[UUID]) -> dict[UUID, bytes]:
        """The snapshots of some accounts, where there are any."""
        return dict(self._cursor.execute(_SNAPSHOTS, (UuidArray(streams),), prepare=True).fetchall())

    def identifiers(self, keys: Sequence[tuple[str, int, str]]) -> dict[tuple[str, int, str], UUID]:
        """The members that have some identifiers, by (program, type, value)."""
        programs, types, values = zip(*keys, strict=True)
        rows = self._cursor.execute(
            "SELECT program, type::int, value, member_id FROM unnest(%b::text[], %b::int[], %b::text[])"
            " AS k (program, type, value) JOIN profile.identifiers USING (program, type, value)",
            (list(programs), list(types), list(values)),
            prepare=True,
        )
        return {(row[0], row[1], row[2]): row[3] for row in rows}

    def identifier_times(self, named: Sequence[tuple[UUID, Key]]) -> dict[tuple[UUID, Key], int]:
        """When sources last said whether members have identifiers of their programs, where any did."""
        members, keys = zip(*named, strict=True)
        programs, types, values = zip(*keys, strict=True)
        rows = self._cursor.execute(
            "SELECT member_id, program, type::int, value, source_at"
            " FROM unnest(%b::uuid[], %b::text[], %b::int[], %b::text[]) AS k (member_id, program, type, value)"
            " JOIN profile.identifier_times USING (member_id, type, value)",
            (UuidArray(members), list(programs), list(types), list(values)),
            prepare=True,
        )
        return {(row[0], row[1:4]): row[4] for row in rows}

    def sent(self, requests: Sequence[UUID]) -> dict[UUID, bytes]:
        """Enrolments and updates as they came, of people who are not erased, by request id."""
        rows = self._cursor.execute(
            "SELECT request_id, request FROM profile.enrollments WHERE request_id = ANY (%(ids)b::uuid[])"
            " UNION ALL SELECT request_id, request FROM profile.updates WHERE request_id = ANY (%(ids)b::uuid[])",
            {"ids": list(requests)},
        )
        return dict(rows.fetchall())

    def profiles(self, members: Sequence[UUID]) -> dict[UUID, MemberProfile]:
        """What is known of some members as persons, by member."""
        rows = self._cursor.execute(_PROFILES, (UuidArray(members),), prepare=True)
        return {row[0]: _profile(row) for row in rows}

    def segments(self, members: Sequence[UUID]) -> dict[UUID, list[str]]:
        """The segments that some members are in now, by member; none for a member who is in none."""
        found: dict[UUID, list[str]] = {member: [] for member in members}
        for member_id, segment in self._cursor.execute(_SEGMENTS, (UuidArray(members),), prepare=True):
            found[member_id].append(segment)
        return found

    def count_segments(self, program: str) -> int:
        """How many segments a program has, deleted ones apart."""
        row = self._cursor.execute(_COUNT_SEGMENTS, (program,), prepare=True).fetchone()
        return int(row[0]) if row is not None else 0

    def write(self, write: Callable[[Cursor[TupleRow]], None]) -> None:
        """Writes to the profile store alone, durably, all or nothing."""
        with self._connection.transaction():
            write(self._cursor)

    def feedback_texts(self, requests: Sequence[UUID]) -> dict[UUID, str]:
        """The texts of earlier feedback that are still there, by request id."""
        rows = self._cursor.execute(
            "SELECT request_id, feedback_text FROM profile.feedback_texts WHERE request_id = ANY (%b::uuid[])",
            (list(requests),),
        )
        return dict(rows.fetchall())

    def append(
        self,
        events: Sequence[NewEvent],
        recorded_at: int,
        seen: int = 0,
        besides: Callable[[Cursor[TupleRow]], None] | None = None,
    ) -> Appended:
        """Appends a batch, durably, all or nothing; `besides` writes to the profile store in the same transaction.

        `seen` is the last position that the events were decided on; a log that does not have it, after a fail-over to
        a copy that lacked it for instance, takes none of them.

        Raises psycopg.errors.UniqueViolation when another writer was faster, and psycopg.OperationalError when the
        outcome is not known or the log has lost what was seen.
        """
        parameters = (
            UuidArray([event.stream_id for event in events]),
            BigintArray([event.version for event in events]),
            TextArray([TOPICS[type(event.payload)] for event in events]),
            ByteaArray([event.payload.SerializeToString() for event in events]),
            UuidArray([event.request_id for event in events]),
            UuidArray([event.transaction_id for event in events]),
            TextArray([event.sale_reference for event in events]),
            recorded_at,
            seen,
        )
        if besides is None:
            return self._append(parameters)
        with self._connection.transaction():
            besides(self._cursor)
            return self._append(parameters)

    def _append(self, parameters: tuple[Any, ...]) -> Appended:
        row = self._cursor.execute(_APPEND, parameters, prepare=True).fetchone()
        if row is None:
            raise psycopg.InternalError("append_events returned nothing")
        return Appended(*row)

    def write_snapshots(self, snapshots: Sequence[tuple[UUID, int, bytes]]) -> None:
        """Keeps snapshots, each unless there is a newer one."""
        ids, versions, states = zip(*snapshots, strict=True)
        self._cursor.execute(_WRITE_SNAPSHOTS, (list(ids), list(versions), list(states)))


def _profile(row: TupleRow) -> MemberProfile:
    attributes = {name: AttributeState(*state) for name, *state in zip(*row[7:], strict=True)} if row[7] else {}
    return MemberProfile(row[1], dict(zip(NAMES, row[3:6], strict=True)), row[2], row[6], attributes)


class LedgerRecorder(PostgresApplicationRecorder):
    """The library's recorder over our table: dense positions, binary insert, one lock and one NOTIFY a batch.

    It differs from the stock recorder in three ways. Inserting goes through `append_events`, whose lock makes
    position order commit order for however many writers. A lost connection is reported, never retried blindly: whoever
    called has to read back. The tables come from the migrations, not from the recorder.
    """

    def __init__(self, datastore: LedgerDatastore, archive: Archive = NO_ARCHIVE) -> None:
        super().__init__(datastore, events_table_name="events")
        self._archive = archive
        self.sql_create_statements.clear()

    @contextmanager
    def session(self, *, locked: bool = False) -> Iterator[Session]:
        """A connection for one attempt. With `locked`, no other writer gets in between reading and appending."""
        with self.datastore.pool.connection(timeout=self.datastore.pool.timeout) as connection:
            if not locked:
                yield Session(connection, self._archive)
                return
            with connection.transaction():
                connection.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
                connection.execute("SELECT lock_log()")
                yield Session(connection, self._archive)

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        """The library's way in: rows without any of the ledger's keys. Returns their positions."""
        if not stored_events:
            return []
        none = [None] * len(stored_events)
        parameters = (
            UuidArray([event.originator_id for event in stored_events]),
            BigintArray([event.originator_version for event in stored_events]),
            TextArray([event.topic for event in stored_events]),
            ByteaArray([event.state for event in stored_events]),
            UuidArray(none),
            UuidArray(none),
            TextArray(none),
            0,
            0,
        )
        with self.datastore.get_connection() as connection:
            try:
                appended = Session(connection)._append(parameters)
            except psycopg.IntegrityError as error:
                raise IntegrityError(str(error)) from error
        return list(range(appended.first_position, appended.first_position + len(stored_events)))
