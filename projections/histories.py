"""States of the past as they are made from the log and the views: see ledger.as_of."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final
from uuid import UUID

from psycopg import Cursor
from psycopg.rows import tuple_row

from ledger.as_of.histories import Unchanged
from ledger.as_of.totals import Sum, Totals
from ledger.store.archive import NO_ARCHIVE, Archive
from ledger.store.datastore import LedgerDatastore
from ledger.views import ViewBehind
from projections.page import COLUMNS, POSITION_AT, STATE_AT, Event, event_of
from projections.sql import statements
from projections.tries import tries

PAGE_EVENTS: Final = 2_000
"""Events that are read at once."""

_SQL: Final = {
    name: sql.replace(b"{columns}", COLUMNS.strip().encode()) for name, sql in statements("histories.sql").items()
}


class PostgresHistories:
    """Reads the events of members. The datastore should be made with POINT_LOOKUPS."""

    def __init__(self, datastore: LedgerDatastore, archive: Archive = NO_ARCHIVE) -> None:
        self._datastore = datastore
        self._archive = archive

    def member(self, member_id: UUID, until: int) -> Iterator[Event]:
        """A member's events up to a position, in order; read in pages as they are asked for."""
        parameters = {"member_id": member_id, "after": 0, "until": until, "limit": PAGE_EVENTS}
        while True:
            with self._datastore.get_connection() as connection:
                cursor = connection.cursor(binary=True, row_factory=tuple_row)
                rows = cursor.execute(_SQL["member"], parameters, prepare=True).fetchall()
                rows = self._archive.fill(cursor, rows, POSITION_AT, STATE_AT)
            yield from map(event_of, rows)
            if len(rows) < PAGE_EVENTS:
                return
            parameters["after"] = rows[-1][2]

    def members(self, member_ids: Sequence[UUID], until: int) -> Iterator[Event]:
        """The same of several members, one after the other."""
        parameters = {"member_ids": list(member_ids), "until": until}
        with (
            self._datastore.get_connection() as connection,
            connection.transaction(),
            connection.cursor("members", binary=True, row_factory=tuple_row) as cursor,
        ):
            cursor.execute(_SQL["members"], parameters)
            states = connection.cursor(binary=True, row_factory=tuple_row)
            while rows := cursor.fetchmany(PAGE_EVENTS):
                yield from map(event_of, self._archive.fill(states, rows, POSITION_AT, STATE_AT))

    def enrolled(self, program: str, position: int, timeout_s: float) -> list[UUID]:
        """The members of a program whom the views know at a position or later. Raises ViewBehind."""
        with self._snapshot(position, timeout_s) as (cursor, _):
            return [row[0] for row in cursor.execute(_SQL["enrolled"], {"program": program}).fetchall()]

    def unchanged(self, program: str, position: int, at: int, timeout_s: float) -> Unchanged:
        """The members of a program who did nothing behind a position, as they were at an instant since.

        Raises ViewBehind. What the log has behind the position up to where the views are says who did something.
        """
        with self._snapshot(position, timeout_s) as (cursor, until):
            parameters: dict[str, Any] = {"program": program, "position": position, "until": until, "at": at}
            changed = [row[0] for row in cursor.execute(_SQL["changed"], parameters).fetchall()]
            parameters["changed"] = changed
            rows = cursor.execute(_SQL["unchanged"], parameters).fetchall()
        return Unchanged(Totals({tier: Sum(*map(int, sums)) for tier, *sums in rows}), changed)

    @contextmanager
    def _snapshot(self, position: int, timeout_s: float) -> Iterator[tuple[Cursor[tuple[Any, ...]], int]]:
        """One moment of the database in which the views have reached a position, and how far the farthest of them is.

        Raises ViewBehind when they have not in time.
        """
        behind = 0
        for _ in tries(timeout_s):
            with self._datastore.get_connection() as connection, connection.transaction():
                cursor = connection.cursor(binary=True, row_factory=tuple_row)
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                # Every member of the program is looked at, not a few keys.
                cursor.execute("SET LOCAL enable_seqscan = on")
                cursor.execute("SET LOCAL enable_hashjoin = on")
                ((behind, ahead),) = cursor.execute(_SQL["positions"]).fetchall()
                if behind >= position:
                    yield cursor, ahead
                    return
        raise ViewBehind(behind)
