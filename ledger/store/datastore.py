"""Connections: the eventsourcing library's pool, opened from a libpq URL."""

from collections.abc import Callable
from typing import Any, Final

import psycopg
from eventsourcing.postgres import PostgresDatastore
from psycopg.conninfo import conninfo_to_dict

from ledger.store.arrays import register_arrays

POOL_SIZE_MAX: Final = 16
CONNECT_TIMEOUT_S: Final = 5.0

# The ledger's statements look up a few keys in a table that grows for ever. A plan that was good while the table was
# small (a sequential scan) would be kept, so such plans are ruled out. Planning anew each time and JIT compiling cost
# more than these queries.
POINT_LOOKUPS: Final = (
    "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c enable_bitmapscan=off -c jit=off"
)

# A profile takes statements that join a dozen views, for one member: planning them takes longer than they do, and the
# plan is the same for every member.
PLANNED_ONCE: Final = f"{POINT_LOOKUPS} -c plan_cache_mode=force_generic_plan"


class LedgerDatastore(PostgresDatastore):
    """A pool of connections to the database of a libpq URL, `LOYALTY_DATABASE_URL`."""

    def __init__(self, database_url: str, *, options: str = "", pool_size: int = 1) -> None:
        given: dict[str, Any] = dict(conninfo_to_dict(database_url))
        super().__init__(
            dbname=given.pop("dbname", "postgres"),
            host=given.pop("host", ""),
            port=given.pop("port", 5432),
            user=given.pop("user", ""),
            password=given.pop("password", ""),
            connect_timeout=CONNECT_TIMEOUT_S,
            idle_in_transaction_session_timeout=5,
            pool_size=pool_size,
            max_overflow=POOL_SIZE_MAX - pool_size,
        )
        settings: dict[str, Any] = {"connect_timeout": int(CONNECT_TIMEOUT_S), "options": options}
        settings |= given
        if isinstance(self.pool.kwargs, dict):
            self.pool.kwargs.update(settings)

    def after_connect_func(self) -> Callable[[psycopg.Connection[Any]], None]:
        """Besides what the library does with a new connection, teaches it our arrays."""
        library = super().after_connect_func()

        def after_connect(connection: psycopg.Connection[Any]) -> None:
            library(connection)
            register_arrays(connection)

        return after_connect


def check_reachable(database_url: str) -> str | None:
    """None when the database answers, else one line that says why not."""
    try:
        with psycopg.connect(database_url, connect_timeout=int(CONNECT_TIMEOUT_S)) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error as error:
        return " ".join(str(error).split())
    return None
