"""The books as they are read from the view of liability: see ledger.books."""

import time
from typing import Any, Final
from zoneinfo import ZoneInfo

from loyalty.v1.program_pb2 import Program as Definition
from psycopg.rows import tuple_row

from ledger.books.line import Basis, Grain, Line, Reading
from ledger.books.tills import Day, Receipt
from ledger.domain.instant import from_timestamp, local_date, to_datetime
from ledger.domain.names import program_stream
from ledger.store.datastore import LedgerDatastore
from ledger.store.topics import decode
from ledger.views import ViewBehind
from projections.reader import first_recorded_at, head_position
from projections.sql import statements
from projections.views import POLL_S

_SQL: Final = statements("books.sql")


class PostgresBooks:
    """Reads the books."""

    def __init__(self, datastore: LedgerDatastore) -> None:
        self._datastore = datastore

    def read(
        self, program: str, position: int, read_at: int, basis: Basis, grain: Grain, timeout_s: float
    ) -> Reading | None:
        """The books up to a position; None for a program that was not known then. Raises ViewBehind.

        `read_at` is the instant that the position stands for, in microseconds: it says which day and which version of
        the program it was.
        """
        definition = self._definition(program, position, read_at)
        if definition is None:
            return None
        parameters = {
            "program": program,
            "position": position,
            "day": to_datetime(self.recorded_at(position)).date(),
            "effective": basis == "effective",
            "grain": grain,
        }
        deadline = time.monotonic() + timeout_s
        while True:
            rows = self._query("lines", parameters)
            if rows[0][0] >= position:
                break
            if time.monotonic() >= deadline:
                raise ViewBehind(rows[0][0])
            time.sleep(POLL_S)
        return Reading(
            position,
            read_at,
            local_date(read_at, ZoneInfo(definition.time_zone)),
            definition.currency,
            definition.minor_per_thousand_points,
            [Line(vintage, period, *map(int, sums)) for _, vintage, period, *sums in rows if vintage is not None],
        )

    def recorded_at(self, position: int) -> int:
        """When a position was recorded, in microseconds; 0 for position 0."""
        rows = self._query("recorded_at", {"position": position})
        return int(rows[0][0]) if rows else 0

    def position_at(self, instant: int) -> int:
        """The last position recorded up to an instant, itself included; 0 where there is none."""
        with self._datastore.get_connection() as connection:
            cursor = connection.cursor(binary=True, row_factory=tuple_row)
            return first_recorded_at(cursor, instant + 1, 0, head_position(cursor)) - 1

    def receipts(self, program: str, day: str, position: int) -> list[Receipt]:
        """The sales up to a position with that day of the tills' books, in the order of the tills' numbers."""
        key = f"{program}|{day}|"
        parameters = {"from": key, "until": key[:-1] + chr(ord("|") + 1), "position": position}
        rows = self._query("receipts", parameters)
        return [_receipt(*row) for row in rows]

    def _definition(self, program: str, position: int, read_at: int) -> Definition | None:
        """The version that was in force at an instant, of those known at a position."""
        parameters = {"stream": program_stream(program), "position": position}
        definition: Definition | None = None
        for topic, state in self._query("publications", parameters):
            published: Any = decode(topic, state)
            definition = published.request.program
            if not definition.HasField("starts_at") or from_timestamp(definition.starts_at) <= read_at:
                break
        return definition

    def _query(self, question: str, parameters: Any) -> list[tuple[Any, ...]]:
        with self._datastore.get_connection() as connection:
            cursor = connection.cursor(binary=True, row_factory=tuple_row)
            return cursor.execute(_SQL[question], parameters, prepare=True).fetchall()


def _receipt(request_id: Any, topic: str, state: bytes) -> Receipt:
    sale: Any = decode(topic, state)
    origin = sale.origin
    return Receipt(
        Day(origin.store, origin.terminal, origin.till.business_date),
        origin.till.sequence,
        sum(sale.line_net_minor),
        str(request_id),
    )
