"""`loyalty terminals` and `loyalty health`, as an operator types them."""

import json

import pytest
import typer
from psycopg.conninfo import make_conninfo
from typer.testing import CliRunner

from ledger.api.interceptor import Gate
from ledger.cli.health import health
from ledger.cli.terminals import app
from ledger.store.credentials import Credentials
from tests.running import Databases
from tests.trust.client import balance, bearer
from tests.trust.stand_in import running

root = typer.Typer()
root.add_typer(app, name="terminals")
root.command("health")(health)


def run(*arguments: str, exit_code: int = 0) -> str:
    """What a command prints."""
    result = CliRunner().invoke(root, arguments)
    assert result.exit_code == exit_code, result.output
    assert result.exit_code == 0 or isinstance(result.exception, SystemExit)
    return result.output


def test_add_call_list_revoke(gate: Gate, credentials: Credentials, database_url: str) -> None:
    """A till gets its credential, calls with it, is listed, and is shut out."""
    where = ("--database-url", database_url)
    added = json.loads(
        run("terminals", "add", "--store", "store-7", "--terminal", "till-1", "--program", "demo", "--json", *where)
    )
    assert added["program"] == "programs/demo"
    with running(gate) as port:
        assert "store-7" in balance(port, bearer(added["token"]))
    token = run("terminals", "add", "--role", "auditor", *where).split()[-1]
    listed = json.loads(run("terminals", "list", "--json", *where))
    assert [(one["role"], one["store"]) for one in listed] == [("pos", "store-7"), ("auditor", None)]
    assert token.startswith(listed[1]["credential_id"])
    assert "token" not in listed[0]
    run("terminals", "revoke", added["credential_id"], *where)
    table = run("terminals", "list", *where)
    assert table.count("revoked") == 1
    assert table.count("valid") == 1
    assert [one.revoked_at is None for one in credentials.listed()] == [False, True]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("add", "--role", "boss"), "--role must be one of pos, manager, auditor, crm, admin"),
        (("add", "--program", "programs/Not Good"), "--program must be programs/{program}"),
        (("revoke", "t-234567"), "`loyalty terminals list` shows all"),
    ],
)
def test_what_is_refused(database_url: str, arguments: tuple[str, ...], says: str) -> None:
    """One line that says what to do."""
    said = run("terminals", *arguments, "--database-url", database_url, exit_code=1)
    assert says in said
    assert said.count("\n") == 1


def test_no_database(databases: Databases) -> None:
    """Not given, not there, or without a ledger in it: one line."""
    for url, says in (
        ("", "LOYALTY_DATABASE_URL is not set"),
        (make_conninfo(databases.postgres.url, dbname="nowhere"), "the database cannot be reached"),
        (databases.postgres.url, "run `loyalty migrate` first"),
    ):
        said = run("terminals", "list", "--database-url", url, exit_code=1)
        assert says in said
        assert said.count("\n") == 1


def test_health_of_nobody() -> None:
    """Exit 1 and one line when nobody answers."""
    said = run("health", "--address", "127.0.0.1:1", exit_code=1)
    assert "UNAVAILABLE" in said
