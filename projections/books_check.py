"""The daily check of the books: L5 for the last days, and that what is booked is what members hold."""

import logging
import threading
from datetime import timedelta
from typing import Final, NamedTuple

import psycopg
from psycopg.rows import tuple_row

from ledger.domain.instant import to_datetime
from ledger.metrics import LIABILITY_BROKEN, LIABILITY_CHECKED
from ledger.writer.writer import Clock
from projections.hub import connect
from projections.sql import statements
from projections.tries import tries

log = logging.getLogger(__name__)

DAYS: Final = 3
"""Days that a check looks at: the day before is over in every time zone, and one that was missed is looked at again."""

LOOK_EVERY_S: Final = 60.0
"""How often the checker looks whether a day has ended."""

PATIENCE_S: Final = 30.0
"""How long a check waits for a moment in which both views can be compared."""

_SQL: Final = statements("books.sql")


class Broken(NamedTuple):
    """A vintage that does not add up, in all or on a day."""

    program: str
    vintage: str
    booked_on: str
    """Empty for what members hold in all."""
    booked_points: int
    """What the sums by day say."""
    found_points: int
    """What the movements of the day say, or the lots that members hold."""

    def __str__(self) -> str:
        where = f"{self.program} vintage {self.vintage or 'owed'}"
        if self.booked_on:
            return f"{where}: {self.booked_points} points booked on {self.booked_on}, {self.found_points} in movements"
        return f"{where}: {self.booked_points} points booked, {self.found_points} held by members"


def check_books(database_url: str, now: int) -> list[Broken]:
    """What does not add up at an instant. Raises TimeoutError where the views are never at comparable positions."""
    since = to_datetime(now).date() - timedelta(days=DAYS)
    balances = liability = 0
    with connect(database_url, "books") as connection:
        cursor = connection.cursor(binary=True, row_factory=tuple_row)
        for _ in tries(PATIENCE_S):
            with connection.transaction():
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                ((balances, liability),) = cursor.execute(_SQL["positions"]).fetchall()
                if liability >= balances:
                    rows = cursor.execute(_SQL["broken_days"], {"since": since}).fetchall()
                    rows += cursor.execute(_SQL["broken_vintages"], {"position": balances}).fetchall()
                    return [Broken(p, v, str(day or ""), int(booked), int(found)) for p, v, day, booked, found in rows]
    raise TimeoutError(f"balances are at {balances} and the liability at {liability}")


class BooksChecker:
    """One thread, which checks the books when the server starts and after every day, and says so in log and metrics."""

    def __init__(self, database_url: str, clock: Clock) -> None:
        self._database_url = database_url
        self._clock = clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="books checker", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._stop.set()
        self._thread.join()

    def check(self) -> list[Broken]:
        """Checks once, and tells."""
        broken = check_books(self._database_url, self._clock())
        LIABILITY_BROKEN.set(len(broken))
        LIABILITY_CHECKED.set(self._clock() / 1_000_000)
        for one in broken:
            log.error("the liability does not add up: %s. Run `loyalty check`", one)
        return broken

    def _run(self) -> None:
        checked = None
        while not self._stop.wait(LOOK_EVERY_S if checked else 0):
            today = to_datetime(self._clock()).date()
            if today == checked:
                continue
            try:
                self.check()
            except (psycopg.Error, TimeoutError) as error:
                log.warning("the books could not be checked, they will be: %s", error)
                if self._stop.wait(LOOK_EVERY_S):
                    return
            else:
                checked = today
