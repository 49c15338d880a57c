"""`loyalty check`, `loyalty rebuild` and `loyalty replay`. Functions for the application's Typer app."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import psycopg
import typer

from ledger.cli.connection import DataDirOption, fail
from ledger.cli.database import ArchiveOption, DatabaseOption, JsonOption, LocalOption, database
from ledger.cli.instants import timestamp_of
from ledger.cli.keys import verifiers_of
from ledger.cli.progress import progress_bar
from ledger.cli.trail import record
from ledger.domain.instant import from_timestamp, instant_text
from ledger.local_postgres import LocalPostgresError
from ledger.proof.note import NoteInvalid
from ledger.store.archive import Archive
from projections.catalogue import PROJECTIONS
from projections.check import CheckError
from projections.check import check as check_database
from projections.check_seal import Trust
from projections.rebuild import RebuildError
from projections.rebuild import rebuild as rebuild_projection
from projections.replay import Replay, ReplayError, replays
from projections.replay import drop as drop_replay
from projections.replay import replay as replay_views
from projections.tracking import UnknownProjection
from projections.workers import PROCESSES_MAX


def check(  # noqa: PLR0913, PLR0917 - one for each option
    state: Annotated[
        Path | None,
        typer.Option(
            help="Keep what is done in this file, and go on behind it where an earlier check was interrupted."
        ),
    ] = None,
    checkpoint_file: Annotated[
        Path | None,
        typer.Option(
            envvar="LOYALTY_CHECKPOINT_FILE",
            help="The file of checkpoints outside of the database: shows that it was not put back to a backup.",
        ),
    ] = None,
    keys: Annotated[
        list[str] | None,
        typer.Option(
            "--key", help="The log's public key, as text or the name of a file; may be repeated. None: not verified."
        ),
    ] = None,
    database_url: DatabaseOption = "",
    local: LocalOption = False,
    data_dir: DataDirOption = Path("var"),
    processes: Annotated[int, typer.Option(min=0, max=PROCESSES_MAX, help="0: one for each CPU.")] = 0,
    archive: ArchiveOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replay every event, compare every view byte for byte, the log with its seal; status 1 when anything differs."""
    try:
        trust = Trust(checkpoint_file, verifiers_of(keys or ()))
    except (NoteInvalid, OSError, UnicodeDecodeError) as error:
        fail(f"--key: {error}")
    with _database(database_url, data_dir, local=local) as url, progress_bar("replaying") as bar:
        result = check_database(url, processes or None, bar, state, trust, archive)
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
            record(url, "loyalty rebuild", f"views/{name}", {})
        done = rebuild_projection(url, name, bar, Archive(archive))
    if as_json:
        typer.echo(json.dumps(done._asdict()))
    else:
        typer.echo(f"{done.name} was rebuilt and switched to at position {done.position}")


def replay(  # noqa: PLR0913, PLR0917 - one for each option
    until: Annotated[
        str,
        typer.Option(
            help="A position, or a time as 2026-01-31T00:00:00+01:00, UTC without an offset; without, all of the log."
        ),
    ] = "",
    into: Annotated[str, typer.Option(help="The schema to make, of a new name.")] = "",
    drop: Annotated[str, typer.Option(help="Drop the replay of that name instead.")] = "",
    show: Annotated[bool, typer.Option("--list", help="List the replays that there are instead.")] = False,
    processes: Annotated[int, typer.Option(min=0, max=PROCESSES_MAX, help="0: one for each CPU.")] = 0,
    database_url: DatabaseOption = "",
    local: LocalOption = False,
    data_dir: DataDirOption = Path("var"),
    archive: ArchiveOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make every view as it was, in a schema of its own beside the live ones, under the same names."""
    if (bool(into), bool(drop), show).count(True) != 1 or (until and not into):
        fail("give --into SCHEMA, with or without --until; or --drop SCHEMA; or --list")
    position, instant = _until(until)
    with _database(database_url, data_dir, local=local) as url, progress_bar("replaying") as bar:
        listed: list[Replay] = []
        said = f"{drop} was dropped"
        if into:
            made = replay_views(
                url,
                into,
                position=position,
                recorded_until=instant,
                processes=processes or None,
                archive=archive,
                begins=partial(record, url, "loyalty replay", f"replays/{into}", {"until": until} if until else {}),
                progress=bar,
            )
            listed = [made]
            said = f"{_said(made)} Read it as {into}.balances, {into}.statements and so on"
        elif drop:
            drop_replay(url, drop, partial(record, url, "loyalty replay", f"replays/{drop}", {"drop": "True"}))
        else:
            listed = replays(url)
            said = "\n".join(map(_said, listed)) or "there is no replay"
    typer.echo(json.dumps([one._asdict() for one in listed]) if as_json else said)


def _said(one: Replay) -> str:
    if not one.finished:
        return f"{one.schema}: not finished; it was interrupted, or is being made"
    recorded = f", recorded at {instant_text(one.recorded_at)}" if one.recorded_at else ""
    return f"{one.schema}: every view as of position {one.position}{recorded}."


def _until(text: str) -> tuple[int | None, int | None]:
    """A position, or an instant."""
    if not text or text.removeprefix("-").isdecimal():
        return int(text) if text else None, None
    instant = from_timestamp(timestamp_of(text, "--until", "a position, or a time"))
    if instant > time.time_ns() // 1_000:
        fail(f"--until {text} lies in the future: what will be recorded by then is not known")
    return None, instant


@contextmanager
def _database(database_url: str, data_dir: Path, *, local: bool) -> Iterator[str]:
    """The database's address; what goes wrong with it, or in the block, ends the command with one line."""
    try:
        with database(database_url, data_dir, local=local) as url:
            yield url
    except psycopg.errors.UndefinedTable:
        fail("the database has no ledger yet; run `loyalty migrate` first")
    except (CheckError, RebuildError, ReplayError, UnknownProjection, LocalPostgresError) as error:
        fail(str(error))
    except (OSError, psycopg.Error) as error:
        fail(" ".join(str(error).split()))
