"""Measures the read side: python -m tests.projections.speed [sales]"""

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
from psycopg.rows import tuple_row

from ledger.local_postgres import LocalPostgres
from ledger.store.migrate import migrate
from projections.catalogue import PROJECTIONS
from projections.hub import connect
from projections.page import PAGE_EVENTS, read_page
from projections.runner import END, apply_page
from projections.tracking import enter_schema, live_generation, search_path, tune
from tests.projections.history import History, append, program

MEMBERS = 2_500


def fill(database_url: str, sales: int) -> int:
    """Sales of three lines over many members; returns how many events they are."""
    history = History(program(pending_days=0))
    members = [history.enrol() for _ in range(MEMBERS)]
    for number in range(sales):
        history.at += 1_000_000
        history.sell(members[number * 7919 % MEMBERS], 1299, 350, 4999)
        if len(history.events) > 5_000:
            append(database_url, history.events, 1_000)
            history.events.clear()
            history.files.clear()
    append(database_url, history.events, 1_000)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE events")
        row = connection.execute("SELECT max(notification_id), avg(length(state)) FROM events").fetchone()
    assert row is not None
    print(f"{row[0]} events of {row[1]:.0f} bytes")
    return int(row[0])


def catch_up(database_url: str, name: str) -> float:
    """Events/s of one projection that catches up from the beginning, in its live tables."""
    with connect(database_url, "speed") as connection:
        cursor = connection.cursor(binary=True, row_factory=tuple_row)
        tune(cursor)
        generation = live_generation(cursor, name)
        enter_schema(cursor, generation.schema, search_path(cursor))
        started = time.perf_counter()
        cpu = time.process_time()
        while events := read_page(cursor, generation.position, END, PAGE_EVENTS):
            generation = apply_page(cursor, PROJECTIONS[name], generation, events)
        took = time.perf_counter() - started
        cpu = time.process_time() - cpu
    print(
        f"{name:14} {generation.position / took:9.0f} events/s  {cpu / generation.position * 1e6:5.1f} us/event of Python"
    )
    return generation.position / took


def main() -> None:
    """Prints a line for each figure."""
    sales = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    with TemporaryDirectory(prefix="loyalty-speed-") as folder:
        Path(folder).chmod(0o755)
        with LocalPostgres(Path(folder) / "postgres") as server:
            migrate(server.url)
            fill(server.url, sales)
            for name in PROJECTIONS:
                catch_up(server.url, name)


if __name__ == "__main__":
    main()
