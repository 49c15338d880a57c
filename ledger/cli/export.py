"""`loyalty export` and `loyalty verify`: the log in the hands of those who need not trust us."""

import json
import time
from pathlib import Path
from typing import Annotated, Final

import psycopg
import typer

from ledger.cli.connection import DataDirOption, fail
from ledger.cli.database import ArchiveOption, DatabaseOption, JsonOption, LocalOption, database
from ledger.cli.keys import KeyFileOption, keys_of, verifiers_of
from ledger.cli.progress import progress_bar
from ledger.cli.trail import record
from ledger.export.export import Order
from ledger.export.export import export as export_to
from ledger.export.folder import ExportError
from ledger.export.member_columns import Key, Profile
from ledger.export.members import MEMBERS, MemberOrder
from ledger.local_postgres import LocalPostgresError
from ledger.proof.event_rows import ExtraMissing
from ledger.proof.manifest import Format
from ledger.proof.note import NoteInvalid
from ledger.proof.verify import PROCESSES_MAX, ExportUnreadable, verify_export
from ledger.store.archive import Archive
from ledger.store.topics import Archived

UNREADABLE: Final = 2
"""The status of a verification that could not begin."""


def export(  # noqa: PLR0913, PLR0917 - one for each option
    what: Annotated[
        str, typer.Argument(help="`events`, `members` with --profile, or the name of a view, such as `balances`.")
    ],
    folder: Annotated[Path, typer.Argument(help="Where to: a folder that is new or empty.")],
    kind: Annotated[Format, typer.Option("--format", help="Parquet needs the extra `export`.")] = "jsonl",
    first: Annotated[int | None, typer.Option("--from", min=1, help="The first position.")] = None,
    last: Annotated[
        int | None, typer.Option("--until", min=1, help="The last position; that of the newest checkpoint without.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an export that was cut off.")] = False,
    profile: Annotated[
        Profile | None, typer.Option(help="Of `members`: as CSV for this system, as its import takes it.")
    ] = None,
    key: Annotated[Key | None, typer.Option(help="Of `members`: by what the other system knows a member.")] = None,
    program: Annotated[str, typer.Option(help="Of `members`: only those of programs/{program}.")] = "",
    purpose: Annotated[
        str,
        typer.Option(help="Of `members`: only those who consent, as marketing, or marketing/email by one way."),
    ] = "",
    key_file: KeyFileOption = None,
    archive: ArchiveOption = None,
    database_url: DatabaseOption = "",
    local: LocalOption = False,
    data_dir: DataDirOption = Path("var"),
    as_json: JsonOption = False,
) -> None:
    """Write events, a view, or members for a CRM system, to files that anybody can verify and read."""
    signers = keys_of(key_file, data_dir, local=local).signers
    started = time.monotonic()
    try:
        with database(database_url, data_dir, local=local) as url, progress_bar("exporting") as bar:
            members = _members(what, profile, key, program, purpose)
            order = Order(what, kind if members is None else "csv", first, last, resume, members)
            _record(url, order)
            now, archived = time.time_ns() // 1_000, Archive(archive)
            plan = export_to(url, folder, order, now=now, signers=signers, archive=archived, progress=bar)
    except psycopg.errors.UndefinedTable:
        fail("the database has no ledger yet; run `loyalty migrate` first")
    except (Archived, ExportError, ExtraMissing, LocalPostgresError) as error:
        fail(str(error))
    except (OSError, psycopg.Error) as error:
        fail(" ".join(str(error).split()))
    rows = sum(file.rows for file in plan.files) if plan is not None else 0
    seconds = time.monotonic() - started
    if as_json:
        typer.echo(json.dumps({"folder": str(folder), "rows": rows, "seconds": round(seconds, 3)}))
    elif plan is None:
        typer.echo(f"{folder} has the whole export already")
    else:
        typer.echo(f"{rows} rows in {len(plan.files)} files are in {folder} after {seconds:.1f} s")
        if not signers:
            typer.echo("the manifest is not signed: set LOYALTY_LOG_KEY_FILE or give --key-file")


def verify(
    folder: Annotated[Path, typer.Argument(help="The export.")],
    checkpoints: Annotated[
        list[Path] | None,
        typer.Option("--checkpoint", help="An earlier checkpoint that you have kept; may be repeated."),
    ] = None,
    keys: Annotated[
        list[str] | None,
        typer.Option("--key", help="The log's public key, as text or the name of a file; may be repeated."),
    ] = None,
    processes: Annotated[int, typer.Option(min=0, max=PROCESSES_MAX, help="0: one for each CPU.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Verify an export, offline. Status 0: verified; 1: something is wrong; 2: it cannot be read."""
    try:
        verifiers = verifiers_of(keys or ())
        kept = [(path.name, path.read_text(encoding="utf-8")) for path in checkpoints or ()]
        with progress_bar("verifying") as bar:
            report = verify_export(folder, kept, verifiers, processes or None, bar)
    except (ExportUnreadable, NoteInvalid, OSError, UnicodeDecodeError) as error:
        if as_json:
            typer.echo(json.dumps({"ok": False, "error": str(error)}))
        else:
            typer.echo(f"loyalty: {error}", err=True)
        raise typer.Exit(UNREADABLE) from None
    if as_json:
        typer.echo(json.dumps(report.as_json()))
    else:
        for line in report.lines():
            typer.echo(line)
    if not report.ok:
        raise typer.Exit(1)


def _members(what: str, profile: Profile | None, key: Key | None, program: str, purpose: str) -> MemberOrder | None:
    """How to export members; None where something else is exported."""
    if profile is None:
        return None
    if what != MEMBERS:
        fail(f"--profile is for `{MEMBERS}`: leave it out, or export those")
    return MemberOrder(profile, key or ("member" if profile == "generic" else "external_id"), program, purpose)


def _record(database_url: str, order: Order) -> None:
    """Has the audit trail say that an export begins, before it does. What is no name of a view is no export."""
    if not order.exported.isidentifier():
        return
    details: dict[str, object] = {"format": order.format, "from": order.first, "until": order.last}
    details["resume"] = order.resume or None
    if order.members is not None:
        details |= {name: value or None for name, value in order.members._asdict().items()}
    told = {name: str(value) for name, value in details.items() if value is not None}
    record(database_url, "loyalty export", f"exports/{order.exported}", told)
