"""`loyalty terminals`: the credentials of tills and of everybody else who calls."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import psycopg
import typer
from rich.console import Console
from rich.table import Table

from ledger.cli.connection import DataDirOption, fail
from ledger.cli.database import DatabaseOption, JsonOption, LocalOption, database
from ledger.local_postgres import LocalPostgresError
from ledger.store.credentials import ROLES, Credentials, Listed, Principal, parse_token
from ledger.store.datastore import LedgerDatastore

_PROGRAM: Final = re.compile(r"(?:programs/)?([a-z0-9-]+)")

app = typer.Typer(help="Who may call: add, list and revoke credentials.", no_args_is_help=True)


@app.command()
def add(  # noqa: PLR0913, PLR0917 - one for each option
    role: Annotated[str, typer.Option(help=f"What it may do: {', '.join(ROLES)}.")] = "pos",
    store: Annotated[str, typer.Option(help="The only store it may name.")] = "",
    terminal: Annotated[str, typer.Option(help="The only terminal it may name.")] = "",
    program: Annotated[str, typer.Option(help="The only program, as programs/{program}.")] = "",
    personal_data: Annotated[
        bool, typer.Option("--personal-data", help="Let an auditor look members up and see personal data.")
    ] = False,
    database_url: DatabaseOption = "",
    local: LocalOption = False,
    data_dir: DataDirOption = Path("var"),
    as_json: JsonOption = False,
) -> None:
    """Add a credential and print its token, this once."""
    known = next((one for one in ROLES if one == role), None)
    if known is None:
        fail(f"--role must be one of {', '.join(ROLES)}")
    if personal_data and known != "auditor":
        fail("--personal-data is for auditors: other roles see what their work needs")
    match = _PROGRAM.fullmatch(program)
    if program and match is None:
        fail("--program must be programs/{program} in lower-case letters, digits and dashes")
    named = f"programs/{match[1]}" if match is not None else None
    with _credentials(database_url, data_dir, local=local) as credentials:
        token = credentials.add(known, store or None, terminal or None, named, personal_data=personal_data)
    parts = parse_token(token)
    if parts is None:
        fail("a token was made that cannot be used; report this")
    made = Principal(parts.credential_id, known, store or None, terminal or None, named, personal_data)
    if as_json:
        typer.echo(json.dumps({**made._asdict(), "token": token}))
    else:
        _print_table([made], ["valid"])
        typer.echo("Its token is not shown again; the caller sends it with every call:")
        typer.echo(token)


@app.command("list")
def list_command(
    database_url: DatabaseOption = "",
    local: LocalOption = False,
    data_dir: DataDirOption = Path("var"),
    as_json: JsonOption = False,
) -> None:
    """List all credentials, the revoked ones too."""
    with _credentials(database_url, data_dir, local=local) as credentials:
        listed = credentials.listed()
    if as_json:
        typer.echo(json.dumps([_as_json(one) for one in listed], indent=2))
    else:
        states = [f"revoked {one.revoked_at:%F}" if one.revoked_at else "valid" for one in listed]
        _print_table([one.principal for one in listed], states)


@app.command()
def revoke(
    credential_id: Annotated[str, typer.Argument(help="Its id, such as t-7k2m9q.")],
    database_url: DatabaseOption = "",
    local: LocalOption = False,
    data_dir: DataDirOption = Path("var"),
    as_json: JsonOption = False,
) -> None:
    """Revoke a credential for good. Servers refuse it within two seconds."""
    with _credentials(database_url, data_dir, local=local) as credentials:
        if not credentials.revoke(credential_id):
            # What was given may be a whole token, which must not be repeated.
            fail("there is no credential with this id; `loyalty terminals list` shows all")
    if as_json:
        typer.echo(json.dumps({"credential_id": credential_id, "revoked": True}))
    else:
        typer.echo(f"{credential_id} is revoked")


@contextmanager
def _credentials(database_url: str, data_dir: Path, *, local: bool) -> Iterator[Credentials]:
    """The credentials in a database; what goes wrong with it ends the command with one line."""
    try:
        with database(database_url, data_dir, local=local) as url, LedgerDatastore(url) as datastore:
            yield Credentials(datastore.pool)
    except psycopg.errors.UndefinedTable:
        fail("the database has no ledger yet; run `loyalty migrate` first")
    except (LocalPostgresError, OSError, psycopg.Error) as error:
        fail(" ".join(str(error).split()))


def _as_json(one: Listed) -> dict[str, str | bool | None]:
    return {
        **one.principal._asdict(),
        "created_at": one.created_at.isoformat(),
        "revoked_at": one.revoked_at.isoformat() if one.revoked_at is not None else None,
    }


def _print_table(principals: list[Principal], states: list[str]) -> None:
    table = Table("credential", "role", "store", "terminal", "program", "personal data", "state")
    for principal, state in zip(principals, states, strict=True):
        table.add_row(*(part or "any" for part in principal[:5]), "" if principal.may_identify else "no", state)
    Console(markup=False).print(table)
