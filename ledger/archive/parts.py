"""The parts of the archive as the database knows them, and how a state may leave the log or come back."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import Cursor
from psycopg.rows import tuple_row

from ledger.store.arrays import register_arrays

_LOCK: Final = "SELECT pg_try_advisory_lock(7106408)"
_PARTS: Final = """
SELECT first_position, last_position FROM log_archives WHERE last_position >= %b ORDER BY first_position DESC
"""
_MAY_MOVE: Final = "SELECT set_config('ledger.moves_states', 'yes', true)"


class ArchiveError(Exception):
    """The archive is as it was. The message says what to do."""


@contextmanager
def archiving(database_url: str) -> Iterator[Cursor[Any]]:
    """A cursor of the only one who moves states now. Raises ArchiveError when there is another."""
    with psycopg.connect(database_url, autocommit=True, application_name="loyalty archive") as connection:
        register_arrays(connection)
        cursor = connection.cursor(binary=True, row_factory=tuple_row)
        if cursor.execute(_LOCK).fetchall() != [(True,)]:
            raise ArchiveError("events are being archived or restored already: wait until that is done")
        yield cursor


@contextmanager
def moving(cursor: Cursor[Any]) -> Iterator[None]:
    """A transaction in which states may move: what else happens to events is refused as ever."""
    with cursor.connection.transaction():
        cursor.execute(_MAY_MOVE)
        yield


def archived_parts(cursor: Cursor[Any], first: int = 1) -> list[tuple[int, int]]:
    """First and last positions of the parts that have one from a position on, the newest first."""
    return cursor.execute(_PARTS, (first,)).fetchall()
