"""The real year by the example programs, in the ledger and in the independent model."""

from dataclasses import replace
from pathlib import Path

import pytest
import typer
from loyalty.v1.events_pb2 import Event
from typer.testing import CliRunner

from ledger.cli.demo import definition_of
from ledger.demo.own_server import Endpoint
from ledger.programs import find, names
from tests.demo.silent import Silent
from tests.model.dates import Expiry
from tests.model.published import read
from tests.model.purse import Figures
from tests.model.scheme import Rules
from tests.year import __main__ as command
from tests.year.by_ledger import CameTooLate, Reading
from tests.year.run import run_by_both
from tests.year.sheet import Issued, Sheet, compare

pytestmark = pytest.mark.xdist_group("demo")

SOME = 500
FEW = 200


@pytest.mark.parametrize("name", names())
def test_the_model_agrees_with_the_ledger(endpoint: Endpoint, name: str) -> None:
    """Every receipt, lot, balance, expiry and tier of the first days."""
    report = run_by_both(endpoint, SOME, Silent(), definition_of(name), read(find(name)))
    assert report.points.differences == []
    assert report.holds
    totals = {total.figure: total.in_model for total in report.points.totals}
    assert totals["receipts"] == SOME
    assert totals["points issued"] == totals["points available"] + totals["points pending"] > 0
    assert totals["points by expiry"] == totals["points issued"]
    assert totals["lots issued"] > 0
    assert totals["tiers"] == report.demo.reconciliation.totals[0].in_ledger


def test_the_command_says_what_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing while both go by the same program; something once the model is told another rule."""
    app = typer.Typer()
    app.command()(command.main)

    def ask() -> tuple[int, str]:
        done = CliRunner().invoke(app, ["coffee", "--baskets", str(FEW), "--data-dir", str(tmp_path)])
        return done.exit_code, done.output

    status, told = ask()
    assert (status, "Zero differences between the model and the ledger." in told) == (0, True)

    def other(program: str) -> Rules:
        return replace(read(find(program)), expiry=Expiry("month", 1))

    monkeypatch.setattr(command, "_rules", other)
    status, told = ask()
    assert status == 1
    assert "points by expiry: 2 in the model, nothing in the ledger" in " ".join(told.split())
    assert "differences between the model and the ledger." in told
    assert "Zero" not in told


def test_a_program_that_the_model_does_not_know_is_refused(tmp_path: Path) -> None:
    """Before anything is loaded."""
    file = tmp_path / "mine.yaml"
    file.write_text(find("coffee").read_text("utf-8") + "own_points_pay: true\n", "utf-8")
    app = typer.Typer()
    app.command()(command.main)
    done = CliRunner().invoke(app, [str(file), "--data-dir", str(tmp_path)])
    assert (done.exit_code, "does not know" in done.output, "own_points_pay" in done.output) == (1, True, True)


def test_a_load_that_lasted_too_long_is_not_compared() -> None:
    """When a household's points were recorded as expired before a sale of earlier arrived, balances tell nothing."""
    reading = Reading({})
    for when, is_sale in ((5, True), (9, False), (9, True), (7, True)):
        event = Event()
        if is_sale:
            event.sale_recorded.origin.occurred_at.FromSeconds(when)
        else:
            event.points_expired.effective_at.FromSeconds(when)
        if when == 7:
            with pytest.raises(CameTooLate, match="household 7 came when later deadlines had been recorded"):
                reading.take(event, "household 7")
            reading.take(event, "household 8")
        else:
            reading.take(event, "household 7")
    assert reading.at == 9_000_000


def test_each_figure_that_differs_is_seen() -> None:
    """With both sides; of a receipt or lot only what differs; a figure that one side does not have, too."""
    model, ledger = Sheet(), Sheet()
    model.issued, ledger.issued = {"household 7": 1_000, "household 8": 5}, {"household 7": 1_001, "household 9": 5}
    model.lots["household 7, lot 1"] = Issued(5, 0, 99)
    ledger.lots["household 7, lot 1"] = Issued(5, 0, 98)
    model.receipts["household 7, basket 3"] = Figures(earned=5, available=5)
    ledger.receipts["household 7, basket 3"] = Figures(earned=5, available=6)
    result = compare(model, ledger)
    assert [str(difference) for difference in result.differences] == [
        "household 7: points issued: 1,000 in the model, 1,001 in the ledger",
        "household 8: points issued: 5 in the model, nothing in the ledger",
        "household 9: points issued: nothing in the model, 5 in the ledger",
        "household 7, lot 1: lots issued: gone 99 in the model, gone 98 in the ledger",
        "household 7, basket 3: receipts: available 5 in the model, available 6 in the ledger",
    ]
    assert [total for total in result.totals if total.differences] == [
        ("points issued", 1_005, 1_006, 3),
        ("lots issued", 1, 1, 1),
        ("receipts", 1, 1, 1),
    ]
    assert compare(model, model).differences == []
