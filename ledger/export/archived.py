"""Events to be exported whose states are in the archive: they are read into a table of the transaction's own."""

from collections.abc import Sequence
from typing import Any, Final

from psycopg import Connection, Cursor, sql

from ledger.store.archive import Archive
from ledger.store.topics import Archived

PAGE_EVENTS: Final = 10_000

_CREATE: Final = """
CREATE TEMPORARY TABLE archived_states (position bigint PRIMARY KEY, state bytea NOT NULL) ON COMMIT DROP
"""

_POSITIONS: Final = """
SELECT notification_id FROM events
WHERE notification_id > %b AND notification_id <= %b AND state IS NULL ORDER BY notification_id LIMIT %b
"""

_ALL: Final = sql.SQL("FROM events WHERE notification_id BETWEEN {} AND {} ORDER BY notification_id")

_WITH_ARCHIVED: Final = sql.SQL("""
FROM (
    SELECT e.originator_id, e.originator_version, e.topic, coalesce(e.state, a.state) AS state, e.notification_id,
           e.recorded_at, e.request_id, e.transaction_id, e.sale_reference
    FROM events e LEFT JOIN pg_temp.archived_states a ON a.position = e.notification_id
    WHERE e.notification_id BETWEEN {} AND {}
) AS whole ORDER BY notification_id
""")


def whole_events(connection: Connection[Any], archive: Archive, first: int, last: int) -> sql.Composed:
    """Where to select the events of a range from, each with its state, in the same transaction and snapshot.

    Raises Archived for an event whose state is nowhere.
    """
    source = _ALL
    with connection.cursor(binary=True) as cursor:
        positions = _without_state(cursor, first - 1, last)
        if positions:
            source = _WITH_ARCHIVED
            cursor.execute(_CREATE)
        while positions:
            _read_in(cursor, archive, positions)
            positions = _without_state(cursor, positions[-1], last)
    return source.format(sql.Literal(first), sql.Literal(last))


def _without_state(cursor: Cursor[Any], after: int, last: int) -> list[int]:
    return [position for (position,) in cursor.execute(_POSITIONS, (after, last, PAGE_EVENTS)).fetchall()]


def _read_in(cursor: Cursor[Any], archive: Archive, positions: Sequence[int]) -> None:
    states = archive.states(cursor, positions)
    with cursor.copy("COPY pg_temp.archived_states (position, state) FROM STDIN (FORMAT binary)") as copy:
        copy.set_types(["bigint", "bytea"])
        for position, state in states.items():
            if isinstance(state, Archived):
                raise state
            copy.write_row((position, state))
