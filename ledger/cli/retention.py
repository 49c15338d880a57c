"""`loyalty retention`: what has been kept long enough goes. To be run daily, when few people shop."""

import json
import time
from pathlib import Path
from typing import Annotated

import psycopg
import typer

from ledger.cli.connection import DataDirOption, fail
from ledger.cli.database import ArchiveOption, DatabaseOption, JsonOption, LocalOption, database
from ledger.cli.trail import record
from ledger.local_postgres import LocalPostgresError
from ledger.store.archive import Archive
from ledger.store.datastore import POINT_LOOKUPS, LedgerDatastore
from ledger.store.programs import Programs
from ledger.store.recorder import LedgerRecorder
from ledger.writer.retention import Applied, Retention
from ledger.writer.writer import OutcomeUnknown, Writer


def retention(
    apply: Annotated[bool, typer.Option("--apply/--dry-run", help="Erase and delete, or only count.")] = False,
    archive: ArchiveOption = None,
    database_url: DatabaseOption = "",
    local: LocalOption = False,
    data_dir: DataDirOption = Path("var"),
    as_json: JsonOption = False,
) -> None:
    """Erase inactive members and delete old texts, as each program's `retention` says; without --apply, count them."""
    try:
        with database(database_url, data_dir, local=local) as url:
            if apply:
                record(url, "loyalty retention", "profile", {})
            found = run(url, Archive(archive), time.time_ns() // 1_000, apply=apply)
    except psycopg.errors.UndefinedTable:
        fail("the database has no ledger yet; run `loyalty migrate` first")
    except psycopg.errors.LockNotAvailable:
        fail(
            "the rules are applied, but the profile store is in use: run it again, so that it leaves the files as well"
        )
    except OutcomeUnknown:
        fail("the database does not answer: run it again")
    except (LocalPostgresError, OSError, psycopg.Error) as error:
        fail(" ".join(str(error).split()))
    if as_json:
        typer.echo(json.dumps([one._asdict() for one in found]))
        return
    for one in found:
        said = "erased" if apply else "to be erased"
        typer.echo(
            f"{one.program}: {one.members} members {said}, {one.texts} texts {said.replace('erased', 'deleted')}"
        )
    if not found:
        typer.echo("no program has rules of retention")


def run(database_url: str, archive: Archive, now: int, *, apply: bool) -> list[Applied]:
    """What the rules come to at an instant. Raises OutcomeUnknown and psycopg.Error."""
    datastore = LedgerDatastore(database_url, options=POINT_LOOKUPS)
    datastore.pool.open()
    try:
        recorder = LedgerRecorder(datastore, archive)
        with psycopg.connect(database_url, autocommit=True) as connection:
            rules = Retention(connection, Programs(recorder), now)
            if not apply:
                return rules.due()
            writer = Writer(recorder, lambda: max(now, time.time_ns() // 1_000))
            writer.start()
            try:
                return rules.apply(writer)
            finally:
                writer.stop()
    finally:
        datastore.close()
