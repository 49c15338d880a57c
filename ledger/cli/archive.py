"""`loyalty archive` and `loyalty restore-archive`: old events in files, and back."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import psycopg
import typer
from psycopg.rows import tuple_row

from ledger.archive.archive import archive as archive_until
from ledger.archive.parts import ArchiveError
from ledger.archive.restore import restore
from ledger.cli.connection import DataDirOption, fail
from ledger.cli.database import DatabaseOption, JsonOption, LocalOption, database
from ledger.cli.instants import timestamp_of
from ledger.cli.keys import KeyFileOption, keys_of
from ledger.cli.progress import progress_bar
from ledger.cli.trail import record
from ledger.domain.instant import from_timestamp
from ledger.export.folder import ExportError
from ledger.local_postgres import LocalPostgresError
from ledger.proof.verify import ExportUnreadable
from ledger.store.topics import Archived
from projections.reader import first_recorded_at, head_position


def archive(
    folder: Annotated[Path, typer.Option("--to", envvar="LOYALTY_ARCHIVE", help="The archive's folder.")],
    until: Annotated[
        str,
        typer.Option(help="The last position, or a time before which it was recorded, as 2026-01-31T00:00:00+01:00."),
    ],
    key_file: KeyFileOption = None,
    database_url: DatabaseOption = "",
    local: LocalOption = False,
    data_dir: DataDirOption = Path("var"),
    as_json: JsonOption = False,
) -> None:
    """Move what old events say to files, once these are verified. Servers find them by LOYALTY_ARCHIVE."""
    keys = keys_of(key_file, data_dir, local=local)
    with _database(database_url, data_dir, local=local) as url, progress_bar("archiving") as bar:
        position = _position(url, until)
        record(url, "loyalty archive", "archive", {"until": str(position)})
        done = archive_until(url, folder, position, now=time.time_ns() // 1_000, keys=keys, progress=bar)
    if as_json:
        typer.echo(json.dumps(done._asdict()))
    elif not done.parts:
        typer.echo(f"events up to {done.last_position} are in the archive already")
    else:
        typer.echo(f"{done.states} events up to {done.last_position} are in {folder}: {', '.join(done.parts)}")
        typer.echo(f"set LOYALTY_ARCHIVE={folder} where servers and checks run, and keep copies of the folder")


def restore_archive(
    folder: Annotated[Path, typer.Option("--archive", envvar="LOYALTY_ARCHIVE", help="The archive's folder.")],
    first: Annotated[int, typer.Option("--from", min=1, help="Only parts with this position, or later ones.")] = 1,
    database_url: DatabaseOption = "",
    local: LocalOption = False,
    data_dir: DataDirOption = Path("var"),
    as_json: JsonOption = False,
) -> None:
    """Bring archived events back into the database. The files stay."""
    with _database(database_url, data_dir, local=local) as url, progress_bar("restoring") as bar:
        record(url, "loyalty restore-archive", "archive", {"from": str(first)})
        parts, states = restore(url, folder, first, bar)
    if as_json:
        typer.echo(json.dumps({"parts": parts, "states": states}))
    else:
        typer.echo(f"{states} events of {parts} parts are back in the database")


def _position(url: str, until: str) -> int:
    """The last position that an option means."""
    if until.isdecimal():
        return int(until)
    instant = from_timestamp(timestamp_of(until, "--until", "a position, or a time"))
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.cursor(binary=True, row_factory=tuple_row)
        head = head_position(cursor)
        found = first_recorded_at(cursor, instant, 0, head) - 1
    if not found:
        fail(f"--until {until}: no event was recorded before then")
    return found


@contextmanager
def _database(database_url: str, data_dir: Path, *, local: bool) -> Iterator[str]:
    """The database's address; what goes wrong with it, or in the block, ends the command with one line."""
    try:
        with database(database_url, data_dir, local=local) as url:
            yield url
    except psycopg.errors.UndefinedTable:
        fail("the database has no ledger yet; run `loyalty migrate` first")
    except (ArchiveError, Archived, ExportError, ExportUnreadable, LocalPostgresError) as error:
        fail(str(error))
    except (OSError, psycopg.Error) as error:
        fail(" ".join(str(error).split()))
