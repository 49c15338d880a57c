"""`loyalty report` and `loyalty reconcile`, as an accountant types them, against a server with a past."""

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ledger.cli.report import _expectation
from server import app
from tests.projections.history import History, append
from tests.projections.tables import catch_up
from tests.running import Databases, running, token

Loyalty = Callable[..., Result]

PROGRAM = ("--program", "programs/shop")
NO_PERCENTAGES = ("many", "", "inf", "-inf", "nan", "snan", "2026-01=", "2026-01=inf", "1e999999999", "-1", "100.0001")


@pytest.fixture(scope="module", name="loyalty")
def _loyalty(databases: Databases) -> Iterator[Loyalty]:
    """Runs a command with a server of its own, whose log was recorded in 2020."""
    url = databases.url(databases.create())
    append(url, History().live(300).events)
    catch_up(url)
    with running(url) as server:
        credential = token(url, "auditor")
        yield lambda *words: CliRunner().invoke(
            app,
            [
                *words,
                *(() if words[0] == "member" else PROGRAM),
                "--address", server.address, "--token", credential,
            ],
        )  # fmt: skip


def rows(result: Result) -> list[dict[str, str]]:
    """The lines of a CSV."""
    assert result.exit_code == 0, result.output
    return list(csv.DictReader(io.StringIO(result.stdout)))


def test_liability_reconciles_with_its_journal(loyalty: Loyalty) -> None:
    """Both come to the same points and money by vintage; every day of the journal balances."""
    liability = rows(loyalty("report", "liability", "--format", "csv", "--price", "1000", "--as-of", "2020-12-31"))
    *vintages, total = liability
    assert total["vintage"] == "total"
    assert int(total["closing_points"]) == sum(int(row["closing_points"]) for row in vintages)
    entries = rows(loyalty("report", "journal", "--price", "1000", "--as-of", "2020-12-31"))
    days: Counter[str] = Counter()
    held: Counter[str] = Counter()
    for entry in entries:
        days[entry["date"]] += int(entry["debit_minor"]) - int(entry["credit_minor"])
        if entry["account"] == "liability":
            held[entry["vintage"]] += int(entry["credit_minor"]) - int(entry["debit_minor"])
    assert entries
    assert not any(days.values())
    assert {row["vintage"]: int(row["closing_minor"]) for row in vintages} == dict(held)


def test_the_same_journal_when_it_is_exported_again(loyalty: Loyalty) -> None:
    """Byte for byte, and no day that is not over."""
    first, again = loyalty("report", "journal"), loyalty("report", "journal")
    assert first.exit_code == 0, first.output
    assert first.stdout == again.stdout
    assert rows(loyalty("report", "journal", "--as-of", "2020-01-01T00:00:01")) == []


@pytest.mark.parametrize("report", ["liability", "roll-forward", "breakage", "revenue", "journal"])
@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_every_report_in_every_format(loyalty: Loyalty, report: str, form: str) -> None:
    """As of a position; JSON has a header that says which."""
    result = loyalty("report", report, "--format", form, "--as-of", "200")
    assert result.exit_code == 0, result.output
    if form == "json":
        header: dict[str, Any] = json.loads(result.stdout)["header"]
        assert (header["program"], header["position"]) == ("programs/shop", "200")


def test_revenue_by_what_is_expected(loyalty: Loyalty) -> None:
    """Percentages, from a month on."""
    result = loyalty(
        "report", "revenue", "--day", "effective", "--price", "1000",
        "--expect", "90", "--expect", "2020-06=97.5", "--format", "csv",
    )  # fmt: skip
    months = rows(result)
    assert any(int(month["catch_up_minor"]) for month in months)
    for month in months:
        moved = int(month["deferred_minor"]) - int(month["recognised_minor"]) - int(month["catch_up_minor"])
        assert int(month["opening_minor"]) + moved == int(month["closing_minor"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("report", "liability", "--as-of", "yesterday"), "give a position, or a time"),
        (("report", "liability", "--as-of", "999999"), "OUT_OF_RANGE"),
        (("report", "liability", "--as-of", "99999999999999999999"), "give a position of at most 9223372036854775807"),
        (("report", "liability", "--as-of", "9" * 5_000), "give a position of at most"),
        (("report", "liability", "--as-of", "0001-01-01T00:00:00+14:00"), "give a position, or a time"),
        *((("report", "revenue", "--expect", text), "give a percentage from 0 to 100") for text in NO_PERCENTAGES),
        (("report", "state", "--effective-at", "yesterday"), "give a time as"),
        (("member", "state", "members/ada"), "members/{member}, with a UUID"),
        (("reconcile", "tills", "nowhere.csv"), "No such file"),
    ],
)
def test_what_is_wrong_is_one_line(loyalty: Loyalty, words: tuple[str, ...], says: str) -> None:
    """And status 1."""
    result = loyalty(*words)
    assert result.exit_code == 1
    assert says in result.output
    assert result.output.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "millionths"), [("100", 1_000_000), ("0", 0), ("64.9999", 649_999), ("1.005", 10_050)]
)
def test_a_percentage_is_exact(text: str, millionths: int) -> None:
    """Four digits behind the point, none of them lost to binary."""
    assert _expectation(f"2026-01={text}").redeemed_millionths == millionths


@pytest.mark.parametrize("option", [("revenue", "--price"), ("breakage", "--vintages")])
def test_numbers_have_a_limit(loyalty: Loyalty, option: tuple[str, str]) -> None:
    """What is beyond it is wrong usage."""
    assert loyalty("report", *option, "99999999999999999999").exit_code == 2


def test_state_of_the_program(loyalty: Loyalty) -> None:
    """By tier, as it was believed, and with an effective time as it is known; the last line of a side is its total."""
    *tiers, total = rows(loyalty("report", "state", "--as-of", "200", "--format", "csv"))
    assert total["tier"] == "total"
    assert {row["side"] for row in (*tiers, total)} == {"believed"}
    for name in ("members", "total_points"):
        assert int(total[name]) == sum(int(row[name]) for row in tiers)
    both = rows(loyalty("report", "state", "--as-of", "200", "--effective-at", "2020-04-01", "--format", "csv"))
    assert {row["side"] for row in both} == {"believed", "known"}
    shown = json.loads(loyalty("report", "state", "--effective-at", "2020-04-01", "--format", "json").stdout)
    assert shown["known"]["total"]["members"] == "6"
    assert "believed" in loyalty("report", "state").stdout


def test_state_of_a_member(loyalty: Loyalty) -> None:
    """Both sides in a table, with what came late below it, or as JSON."""
    member = f"members/{next(iter(History().live(300).accounts))}"
    result = loyalty("member", "state", member, "--as-of", "100", "--effective-at", "2020-06-01T00:00:00+02:00")
    assert result.exit_code == 0, result.output
    assert f"{member} of programs/shop at 2020-05-31T22:00:00Z: what was believed up to position 100" in result.stdout
    assert "available_points" in result.stdout
    assert "recorded later" in result.stdout
    shown = json.loads(loyalty("member", "state", member, "--as-of", "2020-12-31", "--json").stdout)
    assert shown["believed"] == shown["known"]
    assert shown["late_transactions"] == []


def test_reconcile_tills(loyalty: Loyalty, tmp_path: Path) -> None:
    """Status 1 where anything differs, and for a file that cannot be read, by line."""
    file = tmp_path / "tills.csv"
    file.write_text(
        "store,terminal,business_date,sequence,amount_minor\nnowhere,t,2020-01-01,1,100\n", encoding="utf-8"
    )
    result = loyalty("reconcile", "tills", str(file), "--format", "csv")
    assert result.exit_code == 1
    (row,) = csv.DictReader(io.StringIO(result.stdout))
    assert (row["store"], row["till_minor"], row["ledger_minor"]) == ("nowhere", "100", "0")
    file.write_text("store,terminal,business_date,sequence,amount_minor\ns,t,never,1,100\n", encoding="utf-8")
    result = loyalty("reconcile", "tills", str(file))
    assert result.exit_code == 1
    assert f"{file}:2: business_date must be a day, as 2026-01-31" in result.output
