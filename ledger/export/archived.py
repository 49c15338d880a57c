"""Events to be exported whose states are in the archive: they are read into a table of the session's own."""

from typing import Any, Final

from psycopg import Connection, sql

from ledger.store.archive import Archive
from ledger.store.topics import Archived

PAGE_EVENTS: Final = 10_000

_IS_ARCHIVED: Final = "SELECT FROM log_archives WHERE first_position <= %s AND last_position >= %s LIMIT 1"

_CREATE: Final = """
CREATE TEMPORARY TABLE IF NOT EXISTS archived_states (position bigint PRIMARY KEY, state bytea NOT NULL)
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
    """Where to select the events of a range from, with what is in the archive. Raises Archived."""
    source = _ALL
    if connection.execute(_IS_ARCHIVED, (last, first)).fetchall():
        _read_in(connection, archive, first, last)
        source = _WITH_ARCHIVED
    return source.format(sql.Literal(first), sql.Literal(last))


def _read_in(connection: Connection[Any], archive: Archive, first: int, last: int) -> None:
    connection.execute(_CREATE)
    connection.execute("TRUNCATE pg_temp.archived_states")
    after = first - 1
    with connection.cursor(binary=True) as cursor:
        while rows := cursor.execute(_POSITIONS, (after, last, PAGE_EVENTS)).fetchall():
            states = archive.states(cursor, [position for (position,) in rows])
            with cursor.copy("COPY pg_temp.archived_states (position, state) FROM STDIN (FORMAT binary)") as copy:
                copy.set_types(["bigint", "bytea"])
                for position, state in states.items():
                    if isinstance(state, Archived):
                        raise state
                    copy.write_row((position, state))
            after = rows[-1][0]
