"""`loyalty check`, `loyalty rebuild` and `loyalty replay`: exit codes, JSON and one clear line for what goes wrong."""

import json
from pathlib import Path

import pytest
import typer
from loyalty.v1.audit_trail_pb2 import AuditEntry
from loyalty.v1.events_pb2 import AuditRecorded
from typer.testing import CliRunner, Result

from ledger.proof.note import Signer
from ledger.store.seal import seal
from projections.cli import check, rebuild, replay
from tests.projections.history import History, append
from tests.projections.tables import catch_up, execute
from tests.sealing.signing import Signing, cursor_on, signing_in

app = typer.Typer()
app.command()(check)
app.command()(rebuild)
app.command()(replay)


@pytest.fixture(autouse=True)
def _filled(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOYALTY_DATABASE_URL", raising=False)
    append(database_url, History().live(60).events)
    catch_up(database_url)


@pytest.fixture
def signing(tmp_path: Path) -> Signing:
    """A key, and no checkpoint yet."""
    return signing_in(tmp_path)


def loyalty(*arguments: str) -> Result:
    """Runs a command."""
    return CliRunner().invoke(app, arguments)


def test_check(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Status 0 and a report; the address may come from the environment."""
    result = loyalty("check", "--database-url", database_url)
    assert result.exit_code == 0, result.output
    assert "balances: same at position" in result.output
    monkeypatch.setenv("LOYALTY_DATABASE_URL", database_url)
    report = json.loads(loyalty("check", "--json").output)
    assert report["ok"]
    assert report["positions"]["tiers"] == report["head"]


def test_check_that_finds_something(database_url: str) -> None:
    """Status 1, in both forms."""
    execute(database_url, "UPDATE tiers_1.tiers SET tier = 'red'")
    result = loyalty("check", "--database-url", database_url)
    assert result.exit_code == 1
    assert "tiers.tiers" in result.output
    as_json = loyalty("check", "--database-url", database_url, "--json")
    assert as_json.exit_code == 1
    assert json.loads(as_json.output)["counts"]["tiers.tiers"] == 6


def test_rebuild(database_url: str) -> None:
    """Says where it switched."""
    result = loyalty("rebuild", "tiers", "--database-url", database_url, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["generation"] == 2
    result = loyalty("rebuild", "tiers", "--database-url", database_url)
    assert "tiers was rebuilt and switched to at position" in result.output


def test_replay(database_url: str) -> None:
    """Makes one, lists it, and drops it; in words and in JSON."""
    where = ("--database-url", database_url)
    result = loyalty("replay", "--until", "2020-01-01T01:00:00+01:00", "--into", "then", *where)
    assert result.exit_code == 0, result.output
    line = "then: every view as of position 50, recorded at 2020-01-01T00:00:00Z."
    assert result.output == f"{line} Read it as then.balances, then.statements and so on\n"
    assert loyalty("replay", "--list", *where).output == f"{line}\n"
    (made,) = json.loads(loyalty("replay", "--into", "now", *where, "--json").output)
    listed = json.loads(loyalty("replay", "--list", *where, "--json").output)
    assert [one["schema"] for one in listed] == ["now", "then"]
    assert listed[0] == made
    for name in ("now", "then"):
        assert loyalty("replay", "--drop", name, *where).output == f"{name} was dropped\n"
    assert loyalty("replay", "--list", *where).output == "there is no replay\n"
    assert loyalty("replay", "--drop", "then", *where).exit_code == 1
    trail = [(entry.method, entry.resource, dict(entry.details)) for entry in recorded(database_url)]
    assert trail == [
        ("loyalty replay", "replays/then", {"until": "2020-01-01T01:00:00+01:00"}),
        ("loyalty replay", "replays/now", {}),
        ("loyalty replay", "replays/now", {"drop": "True"}),
        ("loyalty replay", "replays/then", {"drop": "True"}),
    ]


def recorded(database_url: str) -> list[AuditEntry]:
    """What the audit trail has in the log."""
    query = "SELECT state FROM events WHERE topic = 'audit/1' ORDER BY notification_id"
    with cursor_on(database_url) as cursor:
        states = [state for (state,) in cursor.execute(query).fetchall()]
    return [AuditRecorded.FromString(state).request.entries[0] for state in states]


def test_check_with_key_and_state(database_url: str, tmp_path: Path, signing: Signing) -> None:
    """The keys and checkpoints of elsewhere, and the file that a check goes on from."""
    with cursor_on(database_url) as cursor:
        with cursor.connection.transaction():
            tree = seal(cursor, 1_000)
        signing.notary().attend(cursor, tree)
    options = ("--state", str(tmp_path / "state.json"), "--checkpoint-file", str(signing.checkpoint_file))
    key = str(signing.keys.verifiers[0])
    result = loyalty("check", "--database-url", database_url, "--key", key, *options)
    assert result.exit_code == 0, result.output
    assert f"log seal: same up to {tree.size}, signed up to {tree.size}" in result.output
    other = str(Signer.generate("other.example/loyalty").verifier)
    result = loyalty("check", "--database-url", database_url, "--key", other, *options, "--json")
    assert (result.exit_code, json.loads(result.output)["counts"]) == (1, {"log seal": 2})


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("replay",), "give --into SCHEMA, with or without --until; or --drop SCHEMA; or --list"),
        (("replay", "--until", "5", "--drop", "x"), "give --into SCHEMA"),
        (("replay", "--until", "yesterday", "--into", "x"), "--until yesterday: give a position, or a time as"),
        (("replay", "--until", "2999-01-01", "--into", "x"), "--until 2999-01-01 lies in the future"),
        (("replay", "--until", "-1", "--into", "x"), "position -1 does not exist: the log ends at 99"),
        (("replay", "--until", "100", "--into", "x"), "position 100 does not exist: the log ends at 99"),
        (("replay", "--into", "views"), "there is a schema views"),
        (("replay", "--drop", "views"), "views is no replay"),
        (("check", "--key", "nobody"), "--key: "),
        (("check",), "LOYALTY_DATABASE_URL is not set"),
        (("check", "--database-url", "postgresql://nobody@127.0.0.1:1/x"), "cannot be reached"),
        (("rebuild", "tears"), "choose from balances"),
    ],
)
def test_what_goes_wrong_is_one_line(database_url: str, arguments: tuple[str, ...], line: str) -> None:
    """No traceback, status 1."""
    if arguments[0] != "check" or "--key" in arguments:
        arguments += ("--database-url", database_url)
    result = loyalty(*arguments)
    assert result.exit_code == 1
    assert line in result.output
    assert len(result.output.strip().splitlines()) == 1
