"""The part of the check that tells a view which is behind from one that has stopped: can it take the next event?"""

from typing import Final

import psycopg
from psycopg.rows import tuple_row

from ledger.store.archive import Archive
from projections.catalogue import PROJECTIONS
from projections.finding import Finding
from projections.hub import connect
from projections.page import Poisoned, read_page
from projections.projection import Contradiction
from projections.runner import END
from projections.tracking import Generation, enter_schema, search_path, tune

LOCK_TIMEOUT_MS: Final = 2_000
"""Whoever holds a view's position so long is at work on it."""

_LOCK: Final = b"SELECT 1 FROM projection.tracking WHERE name = %b AND generation = %b AND position = %b FOR UPDATE"


def stopped(database_url: str, generation: Generation, archive: Archive) -> Finding | None:
    """The event that a view behind the head cannot take; None where it can, or has gone on meanwhile.

    The event is applied as a runner would, and then rolled back.
    """
    with connect(database_url, "check next") as connection:
        cursor = connection.cursor(binary=True, row_factory=tuple_row)
        tune(cursor)
        enter_schema(cursor, generation.schema, search_path(cursor))
        try:
            with connection.transaction(force_rollback=True):
                cursor.execute(b"SELECT set_config('lock_timeout', %s, true)", (str(LOCK_TIMEOUT_MS),))
                if cursor.execute(_LOCK, (generation.name, generation.number, generation.position)).fetchone() is None:
                    return None
                after = generation.position
                PROJECTIONS[generation.name].apply(cursor, read_page(cursor, after, END, 1, archive))
        except psycopg.OperationalError:
            return None
        except (Poisoned, Contradiction, psycopg.Error, ValueError, LookupError, ArithmeticError) as error:
            found = f"a view that has stopped: {' '.join(str(error).split())}"
            return Finding(generation.name, f"event {generation.position + 1}", "a view that takes it", found)
    return None
