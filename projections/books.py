"""The books as they are read from the view of liability: see ledger.books."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any, Final
from zoneinfo import ZoneInfo

from loyalty.v1.events_pb2 import TransactionReversed
from loyalty.v1.program_pb2 import Program as Definition
from psycopg import Cursor
from psycopg.rows import tuple_row

from ledger.books.line import Basis, Grain, Line, Reading
from ledger.books.tills import Day, Receipt
from ledger.domain.instant import from_timestamp, local_date, to_datetime
from ledger.domain.names import program_stream
from ledger.store.archive import NO_ARCHIVE, Archive
from ledger.store.datastore import LedgerDatastore
from ledger.store.topics import TOPICS, State, decode
from ledger.views import ViewBehind
from projections.reader import first_recorded_at, head_position
from projections.sql import statements
from projections.tries import tries

_SQL: Final = statements("books.sql")


class PostgresBooks:
    """Reads the books."""

    def __init__(self, datastore: LedgerDatastore, archive: Archive = NO_ARCHIVE) -> None:
        self._datastore = datastore
        self._archive = archive

    def read(
        self, program: str, position: int, read_at: int, basis: Basis, grain: Grain, timeout_s: float
    ) -> Reading | None:
        """The books up to a position; None for a program that was not known then. Raises ViewBehind.

        `read_at` is the instant that the position stands for, in microseconds: it says which day and which version of
        the program it was. `timeout_s` bounds the wait for the position.
        """
        definition = self._definition(program, position, read_at)
        if definition is None:
            return None
        with self._snapshot(timeout_s, lambda _balances, liability: liability >= position) as (cursor, _):
            lines = _lines(cursor, program, position, basis, grain)
        return _reading(definition, position, read_at, lines)

    def read_now(
        self, program: str, min_position: int, now: int, basis: Basis, grain: Grain, timeout_s: float
    ) -> Reading | None:
        """The books now, at a position or later. What has expired by now counts as expired, recorded or not.

        None for a program that is not known. Raises ViewBehind.
        """
        definition = self._definition(program, min_position, now)
        if definition is None:
            return None
        with self._snapshot(timeout_s, lambda balances, liability: liability >= balances >= min_position) as (
            cursor,
            position,
        ):
            lines = _lines(cursor, program, position, basis, grain)
            due = cursor.execute(_SQL["due"], {"program": program, "at": now}).fetchall()
        reading = _reading(definition, position, now, lines)
        for vintage, expired_on, points in due:
            day = expired_on if basis == "effective" else reading.on
            period = day.replace(day=1) if grain == "month" else day
            lines.append(Line(vintage, period, expired=-int(points)))
        return reading._replace(lines=_merged(lines))

    @contextmanager
    def _snapshot(
        self, timeout_s: float, suits: Callable[[int, int], bool]
    ) -> Iterator[tuple[Cursor[tuple[Any, ...]], int]]:
        """One moment of the database in which the positions of balances and liability suit, and that of balances.

        Raises ViewBehind when they do not in time.
        """
        balances = liability = 0
        for _ in tries(timeout_s):
            with self._datastore.get_connection() as connection, connection.transaction():
                cursor = connection.cursor(binary=True, row_factory=tuple_row)
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                ((balances, liability),) = cursor.execute(_SQL["positions"]).fetchall()
                if suits(balances, liability):
                    yield cursor, balances
                    return
        raise ViewBehind(min(balances, liability))

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
        """The sales up to a position with that day of the tills' books, in the order of the tills' numbers.

        Without those that were reversed by then; what came back of one does not change it.
        """
        key = f"{program}|{day}|"
        parameters = {
            "from": key,
            "until": key[:-1] + chr(ord("|") + 1),
            "position": position,
            "reversed": TOPICS[TransactionReversed],
        }
        with self._datastore.get_connection() as connection:
            cursor = connection.cursor(binary=True, row_factory=tuple_row)
            rows = cursor.execute(_SQL["receipts"], parameters, prepare=True).fetchall()
            rows = self._archive.fill(cursor, rows, 0, 3)
        return [_receipt(*row[1:]) for row in rows]

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


def _lines(cursor: Cursor[tuple[Any, ...]], program: str, position: int, basis: Basis, grain: Grain) -> list[Line]:
    (recorded_at,) = cursor.execute(_SQL["recorded_at"], {"position": position}).fetchone() or (0,)
    parameters = {
        "program": program,
        "position": position,
        "day": to_datetime(recorded_at).date(),
        "effective": basis == "effective",
        "grain": grain,
    }
    rows = cursor.execute(_SQL["lines"], parameters).fetchall()
    return [Line(vintage, period, *map(int, sums)) for vintage, period, *sums in rows]


def _merged(lines: Iterable[Line]) -> list[Line]:
    """The lines in order of period and vintage, each once."""
    merged: dict[tuple[date, str], Line] = {}
    for line in lines:
        key = (line.period, line.vintage)
        merged[key] = merged[key].plus(line) if key in merged else line
    return [line for _, line in sorted(merged.items())]


def _reading(definition: Definition, position: int, read_at: int, lines: list[Line]) -> Reading:
    on = local_date(read_at, ZoneInfo(definition.time_zone))
    return Reading(position, read_at, on, definition.currency, definition.minor_per_thousand_points, lines)


def _receipt(request_id: Any, topic: str, state: State) -> Receipt:
    sale: Any = decode(topic, state)
    origin = sale.origin
    return Receipt(
        Day(origin.store, origin.terminal, origin.till.business_date),
        origin.till.sequence,
        sum(sale.line_net_minor),
        str(request_id),
    )
