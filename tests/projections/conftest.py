"""A PostgreSQL for each test process and a fresh, migrated database for each test."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from ledger.local_postgres import LocalPostgres
from ledger.store.datastore import POINT_LOOKUPS, LedgerDatastore
from ledger.store.migrate import migrate
from projections.runner import ReadSide

_numbers = count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[LocalPostgres]:
    """The server, with a migrated database to copy from.

    Not in pytest's own folder: when it starts, pytest closes that one again to everybody else, the user that another
    run's server runs as included.
    """
    with TemporaryDirectory(prefix="loyalty-") as folder, LocalPostgres(Path(folder) / "postgres") as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE blank")
        migrate(url_of(server, "blank"))
        with psycopg.connect(server.url, autocommit=True) as connection:
            # Nobody, autovacuum included, is in it while it is copied.
            connection.execute("ALTER DATABASE blank ALLOW_CONNECTIONS false")
        yield server


def url_of(server: LocalPostgres, database: str) -> str:
    """The address of a database of the server."""
    return server.url.replace("/postgres?", f"/{database}?")


@pytest.fixture
def database_url(postgres: LocalPostgres) -> str:
    """A fresh, migrated database."""
    return _fresh(postgres)


@pytest.fixture
def another_url(postgres: LocalPostgres) -> str:
    """One more, to compare with."""
    return _fresh(postgres)


@pytest.fixture
def third_url(postgres: LocalPostgres) -> str:
    """And one more."""
    return _fresh(postgres)


def _fresh(postgres: LocalPostgres) -> str:
    name = f"read_{next(_numbers)}"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE blank".encode())
    return url_of(postgres, name)


@pytest.fixture
def read_side(database_url: str) -> Iterator[ReadSide]:
    """The runners on the database, in small pages. Started by the test, stopped after it."""
    side = ReadSide(database_url, page_events=7)
    yield side
    side.stop()


@pytest.fixture
def datastore(database_url: str) -> Iterator[LedgerDatastore]:
    """Connections as the server reads through."""
    with LedgerDatastore(database_url, options=POINT_LOOKUPS) as datastore:
        yield datastore
