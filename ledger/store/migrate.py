"""Migrations: numbered SQL files, each applied once and in order, however many processes start together."""

from collections.abc import Iterator
from hashlib import sha256
from importlib.resources import files
from typing import Final, NamedTuple

import psycopg

SERVER_VERSION_MIN: Final = 150_000
_LOCK: Final = 0x6C6F79616C7479  # "loyalty"


class Migration(NamedTuple):
    """One file of SQL."""

    number: int
    name: str
    sql: str

    @property
    def digest(self) -> bytes:
        """SHA-256 of the file."""
        return sha256(self.sql.encode()).digest()


class MigrationError(Exception):
    """The database cannot be brought to this release's schema. The message says what to do."""


def migrations() -> Iterator[Migration]:
    """All migrations of this release, in order."""
    for package in ("ledger.store", "projections"):
        folder = files(package) / "migrations"
        found = sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql"))
        for name in found:
            yield Migration(int(name[:4]), name, (folder / name).read_text(encoding="utf-8"))


def migrate(database_url: str) -> list[str]:
    """Applies what has not been applied yet and returns the names of that.

    One transaction under an advisory lock: a second process waits and then finds nothing to do; a failure leaves the
    database as it was. Raises MigrationError when the database is too old, or was made by a newer or changed release.
    """
    with psycopg.connect(database_url) as connection:
        if connection.info.server_version < SERVER_VERSION_MIN:
            raise MigrationError(f"PostgreSQL {connection.info.server_version // 10_000} is too old: use 15 or newer")
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations (number int PRIMARY KEY, name text NOT NULL,"
            " digest bytea NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        rows = connection.execute("SELECT number, name, digest FROM migrations").fetchall()
        applied = {number: (name, digest) for number, name, digest in rows}
        done: list[str] = []
        known = sorted(migrations())
        newer = sorted(set(applied) - {migration.number for migration in known})
        if newer:
            raise MigrationError(
                f"the database has migration {applied[newer[-1]][0]}, which this release does not know:"
                " run the release that made it, or a newer one"
            )
        for migration in known:
            if migration.number in applied:
                if applied[migration.number][1] != migration.digest:
                    raise MigrationError(
                        f"{migration.name} is not what was applied to the database:"
                        " restore the file and put the change into a new migration"
                    )
                continue
            connection.execute(migration.sql.encode())
            connection.execute(
                "INSERT INTO migrations (number, name, digest) VALUES (%s, %s, %s)",
                (migration.number, migration.name, migration.digest),
            )
            done.append(migration.name)
        return done
