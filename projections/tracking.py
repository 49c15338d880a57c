"""Tracking: which generation of a projection is live, and how far each one is.

The library's PostgresTrackingRecorder accepts any position above the stored one, so of two runners that have read
overlapping pages the second would apply the common events again. Here a page is applied only onto exactly the position
that it follows, and the row stays locked until the page is in.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from psycopg import Cursor

_LIVE: Final = b"SELECT generation, position FROM projection.tracking WHERE name = %s AND live"

_ADVANCE: Final = b"UPDATE projection.tracking SET position = %b WHERE name = %b AND generation = %b AND position = %b"

_SEARCH_PATH: Final = b"SELECT set_config('search_path', %s, false)"

_UNLOCK: Final = b"SELECT pg_advisory_unlock_all()"

_TRY_LOCK: Final = b"SELECT pg_try_advisory_lock(hashtext('loyalty.projection'), hashtext(%s))"

SETTINGS: Final = {
    # What is lost in a crash is applied again: tables and position go back together.
    "synchronous_commit": "off",
    # Statements join a page to a few rows of tables that grow for ever: see ledger.store.datastore.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    "idle_in_transaction_session_timeout": "60s",
}


class Fenced(Exception):
    """The generation is gone or has been moved on by somebody else."""


class UnknownProjection(Exception):
    """The database has no such projection. The message says what to do."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the database has no projection {name!r}: bring it up to date with `loyalty migrate`")


class Generation(NamedTuple):
    """A generation of a projection's tables."""

    name: str
    number: int
    position: int

    @property
    def schema(self) -> str:
        """The schema of its tables."""
        return f"{self.name}_{self.number}"


def live_generation(cursor: Cursor[Any], name: str) -> Generation:
    """The generation that readers see, and how far it is."""
    row = cursor.execute(_LIVE, (name,)).fetchone()
    if row is None:
        raise UnknownProjection(name)
    return Generation(name, row[0], row[1])


def advance(cursor: Cursor[Any], generation: Generation, position: int) -> Generation:
    """Moves a generation to a position, in the transaction that applies what lies between. Raises Fenced."""
    cursor.execute(
        _ADVANCE,
        (position, generation.name, generation.number, generation.position),
        prepare=True,
    )
    if cursor.rowcount != 1:
        raise Fenced
    return generation._replace(position=position)


def enter_schema(cursor: Cursor[Any], schema: str, base_path: str) -> None:
    """Makes unqualified names mean the tables of a schema, then what they meant before."""
    cursor.execute(_SEARCH_PATH, (f"{schema}, {base_path}",))


def tune(cursor: Cursor[Any]) -> None:
    """Makes a connection one that applies pages."""
    for setting, value in SETTINGS.items():
        cursor.execute(b"SELECT set_config(%s, %s, false)", (setting, value))


def search_path(cursor: Cursor[Any]) -> str:
    """What unqualified names mean now."""
    row = cursor.execute(b"SELECT current_setting('search_path')").fetchone()
    return str(row[0]) if row is not None else ""


def try_lock(cursor: Cursor[Any], key: str) -> bool:
    """Takes a lock for as long as the connection lasts; False when another connection has it."""
    row = cursor.execute(_TRY_LOCK, (key,)).fetchone()
    return bool(row is not None and row[0])


@contextmanager
def unlocking(cursor: Cursor[Any]) -> Iterator[None]:
    """Gives locks back at the end of the block: those of a closed connection the server has for a moment longer."""
    try:
        yield
    finally:
        if not cursor.connection.broken:
            cursor.execute(_UNLOCK)
