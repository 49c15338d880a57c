"""`loyalty check` and `loyalty rebuild`: exit codes, JSON and one clear line for what goes wrong."""

import json

import pytest
import typer
from typer.testing import CliRunner, Result

from projections.cli import check, rebuild
from tests.projections.history import History, append
from tests.projections.tables import catch_up, execute

app = typer.Typer()
app.command()(check)
app.command()(rebuild)


@pytest.fixture(autouse=True)
def _filled(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOYALTY_DATABASE_URL", raising=False)
    append(database_url, History().live(60).events)
    catch_up(database_url)


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


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("check",), "LOYALTY_DATABASE_URL is not set"),
        (("check", "--database-url", "postgresql://nobody@127.0.0.1:1/x"), "cannot be reached"),
        (("rebuild", "tears"), "choose from balances"),
    ],
)
def test_what_goes_wrong_is_one_line(database_url: str, arguments: tuple[str, ...], line: str) -> None:
    """No traceback, status 1."""
    if arguments[0] == "rebuild":
        arguments += ("--database-url", database_url)
    result = loyalty(*arguments)
    assert result.exit_code == 1
    assert line in result.output
    assert len(result.output.strip().splitlines()) == 1
