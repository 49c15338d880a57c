"""Fixtures: a PostgreSQL for the process, a fresh database for each test, credentials in it."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from ledger.api.authentication import Authenticator
from ledger.api.interceptor import Gate
from ledger.local_postgres import LocalPostgres
from ledger.store.credentials import Credentials
from ledger.store.datastore import LedgerDatastore
from ledger.store.migrate import migrate

TEMPLATE = "trust_template"


@pytest.fixture(scope="session")
def postgres() -> Iterator[LocalPostgres]:
    """A PostgreSQL with a migrated template."""
    with tempfile.TemporaryDirectory(prefix="loyalty-trust-") as folder:
        Path(folder).chmod(0o755)
        server = LocalPostgres(Path(folder) / "postgres")
        server.start()
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
        migrate(make_conninfo(server.url, dbname=TEMPLATE))
        yield server
        server.stop("immediate")  # nobody needs its data any more


@pytest.fixture
def database_url(postgres: LocalPostgres) -> str:
    """A fresh, migrated database."""
    name = f"trust_{uuid4().hex}"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(TEMPLATE))
        )
    return make_conninfo(postgres.url, dbname=name)


@pytest.fixture
def credentials(database_url: str) -> Iterator[Credentials]:
    """The table of credentials in the fresh database."""
    with LedgerDatastore(database_url) as datastore:
        yield Credentials(datastore.pool, timeout_s=1.0)


@pytest.fixture
def authenticator(credentials: Credentials) -> Iterator[Authenticator]:
    """An authenticator over it."""
    authenticator = Authenticator(credentials)
    yield authenticator
    authenticator.close()


@pytest.fixture
def gate(authenticator: Authenticator) -> Gate:
    """A gate over it that allows five look-ups a minute."""
    return Gate(authenticator, lookups_per_minute=5, log_successes=True)
