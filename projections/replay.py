"""Replay: every view as it was at an instant, in a schema of its own, under the names that the live views have.

Each share of the streams is replayed in a process of its own, into tables that they have in common. Tables that are not
of members each share has for itself, and at the end they are added up. The names for readers come last, in the
transaction that says that the replay is finished: one that was interrupted has none, and the next of its name drops it.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, LiteralString, NamedTuple

import psycopg
from psycopg import Cursor, sql
from psycopg.rows import tuple_row

from ledger.domain.instant import instant_text
from ledger.store.archive import Archive
from projections.catalogue import PROJECTIONS
from projections.hub import HEAD, connect
from projections.page import COLUMNS, POSITION_AT, STATE_AT, Poisoned, readable
from projections.reader import first_recorded_at
from projections.runner import apply_events
from projections.shared_rows import Rows, rows_of, together
from projections.sql import statements
from projections.tracking import enter_schema, search_path, try_lock, tune, unlocking
from projections.workers import Report, WorkerFailed, run

PAGE_EVENTS: Final = 20_000
"""Events a page: the larger, the fewer times a member's row is written."""

EVENTS_PER_PROCESS_MIN: Final = 20_000
"""With fewer events than this for each, starting processes takes longer than it saves."""

SCHEMA_CHARACTERS_MAX: Final = 56
"""A name of PostgreSQL has 63 at most, and seven are for the tables' schema."""

_NAME: Final = re.compile(r"[a-z_][a-z0-9_]*")
_RESERVED: Final = re.compile(rf"pg_.*|(?:{'|'.join(PROJECTIONS)})_[0-9]+")
"""Names of PostgreSQL, and of generations that are yet to come."""

_SQL: Final = statements("replay.sql")
_READ: Final = _SQL["read"].replace(b"{columns}", COLUMNS.strip().encode())

Progress = Callable[[int, int], None]
"""(events done, events in all), now and then."""

Begins = Callable[[], None]
"""Is called once nothing stands against what was asked, before it is done."""


class ReplayError(Exception):
    """The replay was not made, or there is none. The message says what to do."""


class Replay(NamedTuple):
    """A replay that there is."""

    schema: str
    position: int
    """The last position in it."""
    recorded_at: int
    """When that was recorded, in microseconds; 0 for position 0."""
    finished: bool
    """Whether it is whole."""


class Share(NamedTuple):
    """What one process replays."""

    database_url: str
    tables: str
    """The schema of the tables."""
    until: int
    archive: Path | None
    share: int
    shares: int


class ShareDone(NamedTuple):
    """What came of it."""

    problem: str
    """The event that cannot be replayed, and why; empty where all were."""
    shared: dict[str, Rows]
    """The rows of the tables that are not of members, by table."""


def replay(
    database_url: str,
    schema: str,
    *,
    position: int | None = None,
    recorded_until: int | None = None,
    processes: int | None = None,
    archive: Path | None = None,
    begins: Begins = lambda: None,
    progress: Progress = lambda _done, _of: None,
) -> Replay:
    """Makes every view as of a position, or of the last that was recorded up to an instant; of the head without both.

    What of the log is archived is read from the folder `archive`. Raises ReplayError.
    """
    with _at_work(database_url, schema) as cursor:
        known = cursor.execute(_SQL["known"], (schema,)).fetchone()
        if known is not None and known[0]:
            raise ReplayError(
                f"{schema} is a replay already: drop it with `loyalty replay --drop {schema}`, or name another"
            )
        if known is not None:
            _drop(cursor, schema)
        until = _until(cursor, position, recorded_until)
        recorded_at = _recorded_at(cursor, until)
        _check_free(cursor, schema)
        begins()
        indexes = _begin(cursor, schema, until, recorded_at)
        try:
            shared = _replay(database_url, _tables(schema), until, archive, processes, progress)
            _finish(cursor, schema, until, indexes, shared)
        except BaseException:
            if not cursor.connection.broken:
                _drop(cursor, schema)
            raise
        return Replay(schema, until, recorded_at, finished=True)


def replays(database_url: str) -> list[Replay]:
    """All of them, those that are not finished included."""
    with connect(database_url, "replay") as connection:
        cursor = connection.cursor(binary=True, row_factory=tuple_row)
        return [Replay(*row) for row in cursor.execute(_SQL["all"]).fetchall()]


def drop(database_url: str, schema: str, begins: Begins = lambda: None) -> None:
    """Drops a replay, and nothing else. Raises ReplayError."""
    with _at_work(database_url, schema) as cursor:
        if cursor.execute(_SQL["known"], (schema,)).fetchone() is None:
            raise ReplayError(f"{schema} is no replay: `loyalty replay --list` says which there are")
        begins()
        _drop(cursor, schema)


@contextmanager
def _at_work(database_url: str, schema: str) -> Iterator[Cursor[Any]]:
    """A cursor, and the lock of a name."""
    if not _NAME.fullmatch(schema) or len(schema) > SCHEMA_CHARACTERS_MAX or _RESERVED.fullmatch(schema):
        raise ReplayError(
            f"{schema!r} cannot be the name of a replay: choose small letters, digits and underscores, at most"
            f" {SCHEMA_CHARACTERS_MAX}, no digit first, and no name of PostgreSQL's or of a view's tables"
        )
    try:
        with connect(database_url, "replay") as connection:
            cursor = connection.cursor(binary=True, row_factory=tuple_row)
            if not try_lock(cursor, f"replay {schema}"):
                raise ReplayError(f"{schema} is being replayed or dropped already: wait until that is done")
            tune(cursor)
            with unlocking(cursor):
                yield cursor
    except psycopg.OperationalError as error:
        raise ReplayError(f"the database went away: {' '.join(str(error).split())}") from error


# -- where it ends


def _until(cursor: Cursor[Any], position: int | None, recorded_until: int | None) -> int:
    """The last position. Raises ReplayError where the log does not have it, or has it in no order."""
    row = cursor.execute(HEAD).fetchone()
    head = row[0] if row is not None else 0
    if position is not None and not 0 <= position <= head:
        raise ReplayError(f"position {position} does not exist: the log ends at {head}")
    _check_order(cursor, head if position is None else position)
    if recorded_until is None:
        return head if position is None else position
    return first_recorded_at(cursor, recorded_until + 1, 0, head) - 1


def _check_order(cursor: Cursor[Any], until: int) -> None:
    row = cursor.execute(_SQL["out_of_order"], {"until": until}).fetchone()
    if row is None:
        return
    position, expected, recorded_at, recorded_before = row
    if position != expected:
        raise ReplayError(f"event {expected} is missing in the log: run `loyalty check`")
    raise ReplayError(
        f"event {position} was recorded at {instant_text(recorded_at)} and the one before it at"
        f" {instant_text(recorded_before)}: a clock went back, or the log was changed. Run `loyalty check`"
    )


def _recorded_at(cursor: Cursor[Any], position: int) -> int:
    row = cursor.execute(b"SELECT recorded_at FROM events WHERE notification_id = %b", (position,)).fetchone()
    return int(row[0]) if row is not None else 0


# -- making it


def _check_free(cursor: Cursor[Any], schema: str) -> None:
    tables = _tables(schema)
    if cursor.execute(_SQL["schema"], ([schema, tables],)).fetchone() is not None:
        raise ReplayError(f"there is a schema {schema} or {tables} already, and it is no replay: choose another name")


def _begin(cursor: Cursor[Any], schema: str, until: int, recorded_at: int) -> list[str]:
    """Makes the tables; returns the indexes that they are to have at the end, when they cost far less."""
    tables = _tables(schema)
    base_path = search_path(cursor)
    with cursor.connection.transaction():
        cursor.execute(_SQL["begin"], (schema, until, recorded_at))
        cursor.execute(_of("CREATE SCHEMA {}", tables))
        enter_schema(cursor, tables, base_path)
        for name in PROJECTIONS:
            cursor.execute(f"CALL projection.create_{name}()".encode())
        indexes = cursor.execute(_SQL["indexes"], (tables,)).fetchall()
        for name, _ in indexes:
            cursor.execute(f"DROP INDEX {name}".encode())
        return [definition for _, definition in indexes]


def _replay(
    database_url: str,
    tables: str,
    until: int,
    archive: Path | None,
    processes: int | None,
    progress: Progress,
) -> list[dict[str, Rows]]:
    """Fills the tables of members; returns the rows of the others by share."""
    count = processes or max(min(os.cpu_count() or 1, until // EVENTS_PER_PROCESS_MIN), 1)
    shares = [Share(database_url, tables, until, archive, share, count) for share in range(count)]
    done = 0

    def report(events: int) -> None:
        nonlocal done
        done += events
        progress(done, until)

    try:
        results = [one.result for one in run(replay_share, shares, count, report)]
    except WorkerFailed as error:
        raise ReplayError(str(error)) from error
    for result in results:
        if result.problem:
            raise ReplayError(f"the log cannot be replayed: {result.problem}. Run `loyalty check`")
    return [result.shared for result in results]


def _finish(
    cursor: Cursor[Any], schema: str, until: int, indexes: Sequence[str], shares: Sequence[dict[str, Rows]]
) -> None:
    """All that makes it whole, at once, and on the disk when this returns."""
    with cursor.connection.transaction():
        cursor.execute(b"SET LOCAL synchronous_commit = on")
        _add_up(cursor, shares)
        for definition in indexes:
            cursor.execute(definition.encode())
        _show(cursor, schema, until)
        cursor.execute(_SQL["finish"], (schema,))


def replay_share(task: Share, report: Report) -> ShareDone:
    """Replays one share of the streams into the tables."""
    with connect(task.database_url, f"replay {task.share}") as connection:
        cursor = connection.cursor(binary=True, row_factory=tuple_row)
        tune(cursor)
        enter_schema(cursor, f"pg_temp, {task.tables}", search_path(cursor))
        for table in _shared_tables():
            cursor.execute(f"CREATE TEMP TABLE {table} (LIKE {task.tables}.{table} INCLUDING ALL)".encode())
        try:
            _apply_all(cursor, task, report)
        except Poisoned as poisoned:
            return ShareDone(str(poisoned), {})
        return ShareDone(
            "", {table: rows_of(cursor, f"pg_temp.{table}", keys) for table, keys in _shared_tables().items()}
        )


def _apply_all(cursor: Cursor[Any], task: Share, report: Report) -> None:
    position, archive = 0, Archive(task.archive)
    while position < task.until:
        parameters = {
            "after": position, "until": task.until, "limit": PAGE_EVENTS, "share": task.share, "shares": task.shares
        }  # fmt: skip
        rows = cursor.execute(_READ, parameters, prepare=True).fetchall()
        events = [readable(row) for row in archive.fill(cursor, rows, POSITION_AT, STATE_AT)]
        if events:
            for projection in PROJECTIONS.values():
                apply_events(cursor, projection, None, events, _nowhere)
        report(len(events))
        position = task.until if len(rows) < PAGE_EVENTS else events[-1].position


def _nowhere(_cursor: Cursor[Any], _state: None, _position: int) -> None:
    """What moves the position of a share: it has none that outlives its process."""


def _add_up(cursor: Cursor[Any], shares: Sequence[dict[str, Rows]]) -> None:
    for table in _shared_tables():
        rows = list(together(share[table] for share in shares).values())
        if rows:
            columns = sql.SQL(", ").join(map(sql.Identifier, rows[0]))
            with cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), columns)) as copy:
                for row in rows:
                    copy.write_row(list(row.values()))


def _show(cursor: Cursor[Any], schema: str, until: int) -> None:
    """Puts the names of the live views over the tables."""
    cursor.execute(_of("CREATE SCHEMA {}", schema))
    for name, projection in PROJECTIONS.items():
        cursor.execute(f"CALL projection.show_{name}(%s)".encode(), (schema,))
        for table in (*projection.tables, *projection.shared_tables):
            cursor.execute(_of("ANALYZE {}", table))
    names = sql.SQL("CREATE VIEW {}.positions AS SELECT name, {}::bigint AS position FROM unnest({}::text[]) AS name")
    cursor.execute(names.format(sql.Identifier(schema), until, list(PROJECTIONS)))


def _drop(cursor: Cursor[Any], schema: str) -> None:
    with cursor.connection.transaction():
        for one in (schema, _tables(schema)):
            cursor.execute(_of("DROP SCHEMA IF EXISTS {} CASCADE", one))
        cursor.execute(_SQL["forget"], (schema,))


def _tables(schema: str) -> str:
    """The schema that the tables are in."""
    return f"{schema}_tables"


def _shared_tables() -> dict[str, tuple[str, ...]]:
    return {table: keys for one in PROJECTIONS.values() for table, keys in one.shared_tables.items()}


def _of(text: LiteralString, *names: str) -> sql.Composed:
    return sql.SQL(text).format(*map(sql.Identifier, names))
