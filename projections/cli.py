"""`loyalty check` and `loyalty rebuild`. Functions for the application's Typer app."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import psycopg
import typer

from ledger.cli.connection import DataDirOption, fail
from ledger.cli.database import ArchiveOption, DatabaseOption, JsonOption, LocalOption, database
from ledger.cli.progress import progress_bar
from ledger.local_postgres import LocalPostgresError
from ledger.store.actions import record_action_in
from ledger.store.archive import Archive
from projections.catalogue import PROJECTIONS
from projections.check import PROCESSES_MAX, CheckError
from projections.check import check as check_database
from projections.rebuild import RebuildError
from projections.rebuild import rebuild as rebuild_projection
from projections.tracking import UnknownProjection


def check(
    database_url: DatabaseOption = "",
    local: LocalOption = False,
    data_dir: DataDirOption = Path("var"),
    processes: Annotated[int, typer.Option(min=0, max=PROCESSES_MAX, help="0: one for each CPU.")] = 0,
    archive: ArchiveOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replay every event and compare every view, byte for byte; status 1 when anything differs."""
    with _database(database_url, data_dir, local=local) as url, progress_bar("replaying") as bar:
        result = check_database(url, processes or None, bar, archive)
    if as_json:
        typer.echo(json.dumps(result.as_json()))
    else:
        for line in result.lines():
            typer.echo(line)
    if not result.ok:
        raise typer.Exit(1)


def rebuild(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(PROJECTIONS)}.")],
    database_url: DatabaseOption = "",
    local: LocalOption = False,
    data_dir: DataDirOption = Path("var"),
    archive: ArchiveOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a projection anew beside the live one, and switch to it."""
    with _database(database_url, data_dir, local=local) as url, progress_bar("rebuilding") as bar:
        if name in PROJECTIONS:
            record_action_in(url, "loyalty rebuild", f"views/{name}", {})
        done = rebuild_projection(url, name, bar, Archive(archive))
    if as_json:
        typer.echo(json.dumps(done._asdict()))
    else:
        typer.echo(f"{done.name} was rebuilt and switched to at position {done.position}")


@contextmanager
def _database(database_url: str, data_dir: Path, *, local: bool) -> Iterator[str]:
    """The database's address; what goes wrong with it, or in the block, ends the command with one line."""
    try:
        with database(database_url, data_dir, local=local) as url:
            yield url
    except psycopg.errors.UndefinedTable:
        fail("the database has no ledger yet; run `loyalty migrate` first")
    except (CheckError, RebuildError, UnknownProjection, LocalPostgresError) as error:
        fail(str(error))
    except (OSError, psycopg.Error) as error:
        fail(" ".join(str(error).split()))
