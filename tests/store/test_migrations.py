"""Migrations: once, in order, by however many processes; never on a database of another release."""

import subprocess
import sys

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from ledger.store import migrate as module
from ledger.store.migrate import Migration, MigrationError, migrate, migrations
from tests.running import ROOT, Databases
from tests.shop import new_id

MIGRATE = "import sys; from ledger.store.migrate import migrate; print(*migrate(sys.argv[1]))"


@pytest.fixture
def empty_url(databases: Databases) -> str:
    """A database with nothing in it."""
    name = f"e_{new_id().replace('-', '')}"
    with psycopg.connect(databases.postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return make_conninfo(databases.postgres.url, dbname=name)


def names(url: str) -> list[str]:
    """The migrations that a database has."""
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT name FROM migrations ORDER BY number").fetchall()
    return [row[0] for row in rows]


def test_processes_at_once(empty_url: str) -> None:
    """Each migration is applied by exactly one of them, and all of them succeed."""
    command = [sys.executable, "-c", MIGRATE, empty_url]
    processes = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    done = [process.communicate(timeout=60)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    every = [migration.name for migration in sorted(migrations())]
    assert sorted(name for each in done for name in each) == every
    assert names(empty_url) == every
    assert migrate(empty_url) == []


def test_newer_database(database_url: str) -> None:
    """A release does not touch what a newer one has made."""
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO migrations VALUES (9999, '9999_later.sql', '')")
    with pytest.raises(MigrationError, match=r"9999_later\.sql, which this release does not know: run the release"):
        migrate(database_url)


def test_changed_file(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was applied is history; a change is a new migration."""
    changed = [
        migration._replace(sql=migration.sql + "-- more") if migration.number == 1 else migration
        for migration in migrations()
    ]
    monkeypatch.setattr(module, "migrations", lambda: iter(changed))
    with pytest.raises(MigrationError, match=r"0001_events\.sql is not what was applied"):
        migrate(database_url)


def test_failure_leaves_nothing(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One broken migration undoes those before it; mended, all are applied."""
    broken = Migration(9000, "9000_broken.sql", "CREATE TABLE half (); SELECT no_such_function()")
    with monkeypatch.context() as patch:
        patch.setattr(module, "migrations", lambda: iter([*migrations(), broken]))
        with pytest.raises(psycopg.errors.UndefinedFunction):
            migrate(empty_url)
    with psycopg.connect(empty_url) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    assert rows == []
    assert migrate(empty_url) == [migration.name for migration in sorted(migrations())]


def test_old_server(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PostgreSQL that is too old is named before anything is done."""
    monkeypatch.setattr(module, "SERVER_VERSION_MIN", 9_990_000)
    with pytest.raises(MigrationError, match="is too old: use 15 or newer"):
        migrate(empty_url)


def test_numbers_are_unique() -> None:
    """No two files of the packages share a number."""
    numbers = [migration.number for migration in migrations()]
    assert len(numbers) == len(set(numbers))
