"""The feed's consumers: how far each of them is, and which of its streams is the newest."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from psycopg import Cursor
from psycopg.rows import tuple_row

from ledger.store.datastore import LedgerDatastore

CONSUMERS_MAX: Final = 100

_LIST: Final = """
SELECT c.consumer_id, c.program, c.types, c.log_id::text, c.position, c.created_at, c.seen_at, h.head,
       h.head - p.position,
       coalesce((SELECT greatest(%b - e.recorded_at, 0) FROM events e WHERE e.notification_id = p.position + 1), 0)
FROM feed_consumers c
CROSS JOIN log_identity i
CROSS JOIN (SELECT coalesce(max(notification_id), 0) AS head FROM events) AS h
CROSS JOIN LATERAL (SELECT CASE WHEN c.log_id = i.log_id THEN c.position ELSE 0 END AS position) AS p
WHERE %b IN ('', c.consumer_id) ORDER BY c.consumer_id
"""

_ADD: Final = """
INSERT INTO feed_consumers (consumer_id, program, types, created_at, log_id)
SELECT %b, %b, %b, %b, log_id FROM log_identity WHERE (SELECT count(*) FROM feed_consumers) < %b
"""

_ACKNOWLEDGE: Final = """
UPDATE feed_consumers c
SET position = CASE WHEN %b OR c.log_id <> i.log_id THEN %b ELSE greatest(c.position, %b) END, log_id = i.log_id,
    seen_at = greatest(c.seen_at, %b)
FROM log_identity i
WHERE c.consumer_id = %b
"""

_TAKE_OVER: Final = """
UPDATE feed_consumers SET stream = stream + 1, seen_at = greatest(seen_at, %b) WHERE consumer_id = %b RETURNING stream
"""

_STAY: Final = "UPDATE feed_consumers SET seen_at = greatest(seen_at, %b) WHERE consumer_id = %b AND stream = %b"


class KnownConsumer(NamedTuple):
    """A consumer. Instants and durations are in microseconds."""

    consumer_id: str
    program: str
    """programs/{program}; empty for all."""
    types: list[str]
    log_id: str
    """The log that its position is in."""
    position: int
    created_at: int
    seen_at: int
    """When it was last there; 0 where it never was."""
    head: int
    lag_events: int
    """Of the whole log where its position is in another."""
    lag_us: int
    """How long the first event behind its position has been there; 0 where there is none."""


class TooManyConsumers(Exception):
    """There are CONSUMERS_MAX already."""


class Consumers:
    """The table of consumers. Every call blocks on the database; instants are the server's clock."""

    def __init__(self, datastore: LedgerDatastore) -> None:
        self._datastore = datastore

    def log_id(self) -> str:
        """The id of the log, a UUID."""
        with self._cursor() as cursor:
            row = cursor.execute("SELECT log_id::text FROM log_identity", prepare=True).fetchone()
        if row is None:
            raise LookupError("table log_identity is empty")
        return str(row[0])

    def all(self, now: int) -> list[KnownConsumer]:
        """All consumers, by name."""
        with self._cursor() as cursor:
            return known_consumers(cursor, now)

    def find(self, consumer_id: str, now: int) -> KnownConsumer | None:
        """A consumer; None where there is none of that name."""
        with self._cursor() as cursor:
            return next(iter(known_consumers(cursor, now, consumer_id)), None)

    def add(self, consumer_id: str, program: str, types: Sequence[str], now: int) -> KnownConsumer:
        """Makes a consumer, or finds the one of that name, which may have another filter. Raises TooManyConsumers."""
        with self._cursor() as cursor, cursor.connection.transaction():
            cursor.execute("LOCK TABLE feed_consumers IN SHARE ROW EXCLUSIVE MODE")
            if not known_consumers(cursor, now, consumer_id):
                cursor.execute(_ADD, (consumer_id, program, list(types), now, CONSUMERS_MAX))
                if not cursor.rowcount:
                    raise TooManyConsumers
            return known_consumers(cursor, now, consumer_id)[0]

    def acknowledge(self, consumer_id: str, position: int, now: int, *, reset: bool) -> KnownConsumer | None:
        """Moves a consumer's position on, or with `reset` to wherever it is; None where there is no such consumer.

        One of another log is replaced by this one, which is of this log.
        """
        with self._cursor() as cursor:
            cursor.execute(_ACKNOWLEDGE, (reset, position, position, now, consumer_id), prepare=True)
            return next(iter(known_consumers(cursor, now, consumer_id)), None)

    def take_over(self, consumer_id: str, now: int) -> int | None:
        """Begins a stream, which ends those before it. Its number; None where there is no such consumer."""
        with self._cursor() as cursor:
            row = cursor.execute(_TAKE_OVER, (now, consumer_id), prepare=True).fetchone()
        return None if row is None else int(row[0])

    def stays(self, consumer_id: str, stream: int, now: int) -> bool:
        """Notes that a stream is there. False where a newer one has taken over, or the consumer is gone."""
        with self._cursor() as cursor:
            return cursor.execute(_STAY, (now, consumer_id, stream), prepare=True).rowcount > 0

    def remove(self, consumer_id: str) -> bool:
        """Forgets a consumer; False where there is none of that name."""
        with self._cursor() as cursor:
            return cursor.execute("DELETE FROM feed_consumers WHERE consumer_id = %b", (consumer_id,)).rowcount > 0

    @contextmanager
    def _cursor(self) -> Iterator[Cursor[Any]]:
        with self._datastore.get_connection() as connection:
            yield connection.cursor(binary=True, row_factory=tuple_row)


def known_consumers(cursor: Cursor[Any], now: int, consumer_id: str = "") -> list[KnownConsumer]:
    """All consumers, or the one of a name."""
    rows = cursor.execute(_LIST, (now, consumer_id), prepare=True).fetchall()
    return [KnownConsumer(*row) for row in rows]
