"""Rebuild: a projection made anew from event 1 beside the live one, which readers keep until the switch."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import Cursor, sql
from psycopg.rows import tuple_row

from ledger.store.archive import NO_ARCHIVE, Archive
from projections.catalogue import PROJECTIONS
from projections.hub import HEAD, connect
from projections.page import Poisoned, large_pages, read_page
from projections.projection import Projection
from projections.runner import apply_page
from projections.sql import statements
from projections.tracking import (
    Generation,
    UnknownProjection,
    enter_schema,
    live_generation,
    search_path,
    try_lock,
    tune,
    unlocking,
)

PAGE_EVENTS: Final = 10_000
"""Events a transaction: nobody waits for a single page here."""

LOCK_TIMEOUT_S: Final = 5
"""How long the switch waits for readers that are in the middle of a long query, before it tries again."""

SWITCH_ATTEMPTS_MAX: Final = 12

SWITCH_EVENTS_MAX: Final = 2_000
"""With fewer events than this to go, the live runner is held up and the switch is made."""

_SQL: Final = statements("rebuild.sql")

Progress = Callable[[int, int], None]
"""(position, head), after each page."""


class Rebuilt(NamedTuple):
    """A rebuild that was switched to."""

    name: str
    generation: int
    position: int
    """Where the switch was made."""


class RebuildError(Exception):
    """The rebuild was not made, and readers have what they had. The message says what to do."""


def rebuild(
    database_url: str,
    name: str,
    progress: Progress = lambda _position, _head: None,
    archive: Archive = NO_ARCHIVE,
) -> Rebuilt:
    """Makes a new generation of a projection, catches up, switches in one transaction and drops the old one.

    The live runner, in whatever process, finds its generation gone and goes on in the new one from the position of the
    switch. Raises RebuildError.
    """
    projection = PROJECTIONS.get(name)
    if projection is None:
        raise RebuildError(f"there is no projection {name!r}: choose from {', '.join(PROJECTIONS)}")
    with connect(database_url, f"rebuild {name}") as connection:
        cursor = connection.cursor(binary=True, row_factory=tuple_row)
        if not try_lock(cursor, f"rebuild {name}"):
            raise RebuildError(f"{name} is being rebuilt or checked already: wait until that is done")
        tune(cursor)
        try:
            with large_pages(), unlocking(cursor):
                return _rebuild(cursor, projection, progress, archive)
        except Poisoned as poisoned:
            raise RebuildError(
                f"{name} cannot be rebuilt: {poisoned}. Run `loyalty check`; readers keep what they had"
            ) from poisoned
        except UnknownProjection as error:
            raise RebuildError(str(error)) from error


def _rebuild(cursor: Cursor[Any], projection: Projection, progress: Progress, archive: Archive) -> Rebuilt:
    name = projection.name
    base_path = search_path(cursor)
    live = live_generation(cursor, name)
    _drop_others(cursor, live)  # what an earlier rebuild left when it was killed
    generation = Generation(name, live.number + 1, 0)
    cursor.execute(_SQL["begin"], (name, generation.number))
    enter_schema(cursor, generation.schema, base_path)
    for _ in range(SWITCH_ATTEMPTS_MAX):
        generation = _catch_up(cursor, projection, generation, progress, archive)
        try:
            generation = _switch(cursor, projection, generation, archive)
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            continue
        return Rebuilt(name, generation.number, generation.position)
    _drop_others(cursor, live)
    raise RebuildError(
        f"{name} was rebuilt but could not be switched: readers held the views for"
        f" {SWITCH_ATTEMPTS_MAX * LOCK_TIMEOUT_S} s. End long queries on schema views and try again"
    )


def _catch_up(
    cursor: Cursor[Any], projection: Projection, generation: Generation, progress: Progress, archive: Archive
) -> Generation:
    """Applies events until hardly any are left."""
    while True:
        row = cursor.execute(HEAD).fetchone()
        head = row[0] if row is not None else 0
        progress(generation.position, head)
        if head - generation.position <= SWITCH_EVENTS_MAX:
            # Plans for the new tables should not have to wait for autovacuum.
            cursor.execute(b"ANALYZE " + ", ".join([*projection.tables, *projection.shared_tables]).encode())
            return generation
        events = read_page(cursor, generation.position, head, PAGE_EVENTS, archive)
        generation = apply_page(cursor, projection, generation, events)


def _switch(cursor: Cursor[Any], projection: Projection, generation: Generation, archive: Archive) -> Generation:
    """One transaction: no live runner gets on, the rest is applied, the names move over, the old tables go."""
    with cursor.connection.transaction():
        cursor.execute(b"SELECT set_config('lock_timeout', %s, true)", (f"{LOCK_TIMEOUT_S}s",))
        row = cursor.execute(_SQL["lock"], (projection.name,)).fetchone()
        # Never behind what readers have seen.
        until = row[0] if row is not None else 0
        while generation.position < until:
            events = read_page(cursor, generation.position, until, PAGE_EVENTS, archive)
            generation = apply_page(cursor, projection, generation, events)
        cursor.execute(_SQL["show"], (projection.name, generation.number))
        _drop_others(cursor, generation)
    return generation


def _drop_others(cursor: Cursor[Any], keep: Generation) -> None:
    with cursor.connection.transaction():
        cursor.execute(_SQL["forget_others"], (keep.name, keep.number))
        others = cursor.execute(_SQL["other_schemas"], {"name": keep.name, "keep": keep.schema}).fetchall()
        for (schema,) in others:
            cursor.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))
