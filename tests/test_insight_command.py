"""`loyalty report sales` and its like, as a buyer types them, against a server with a past."""

import csv
import io
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from loyalty.v1.commands_pb2 import RecordSaleRequest
from loyalty.v1.sale_pb2 import Sale, SaleLine
from typer.testing import CliRunner, Result

from ledger.domain.names import member_name
from ledger.proof.event_rows import parquet_libraries
from server import app
from tests.projections.history import History, append
from tests.projections.tables import catch_up
from tests.running import ROOT, Databases, running, token

Loyalty = Callable[..., Result]

README = (ROOT / "README.md").read_text("utf-8")
ODD_SKU = "[/x]"
PERIODS = ("2020-01-01", "2020-06-01", "2020-06-01", "2021-01-01")
PERIOD = ("--from", "2020-01-01", "--until", "2022-06-01")
REPORTS = {
    "sales": ("--by", "store", "--by", "month", "--with-offers"),
    "offers": ("--by", "channel", "--by", "day"),
    "pairs": ("--of", "sku", "--min-sales", "1", "--order", "lift"),
    "won-lost": (*PERIODS, "--of", "sku"),
    "demand": PERIOD,
}


@pytest.fixture(scope="module", name="loyalty")
def _loyalty(databases: Databases) -> Iterator[Loyalty]:
    """Runs a report with a server of its own, whose log was recorded in 2020."""
    url = databases.url(databases.create())
    history = History().live(300)
    member = history.enrol()
    odd = Sale(currency="EUR", lines=[SaleLine(line_id="1", sku=ODD_SKU, price_minor=1_00)])
    history.run(member, RecordSaleRequest(member=member_name(member), sale=odd))
    append(url, history.events)
    catch_up(url)
    with running(url) as server:
        credential = token(url, "manager")
        yield lambda *words: CliRunner().invoke(
            app,
            [
                *("report", *words, "--program", "programs/shop"),
                *("--address", server.address, "--token", credential),
            ],
        )


def rows(text: str) -> list[dict[str, str]]:
    """The lines of a CSV."""
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("report", REPORTS)
def test_every_report_in_every_format(loyalty: Loyalty, report: str, tmp_path: Path) -> None:
    """CSV and Parquet hold the same lines, and the table as many, none of it cut off, however wide it gets."""
    result = loyalty(report, *REPORTS[report], "--format", "csv")
    assert result.exit_code == 0, result.output
    lines = rows(result.stdout)
    file = tmp_path / "report.parquet"
    done = loyalty(report, *REPORTS[report], "--format", "parquet", "--output", str(file))
    assert (done.exit_code, done.stdout) == (0, "")
    _, parquet = parquet_libraries()
    table = parquet.read_table(file)
    assert [{name: str(value) for name, value in line.items()} for line in table.to_pylist()] == lines
    assert loyalty(report, *REPORTS[report], "--output", str(tmp_path / "report.txt")).exit_code == 0
    shown = (tmp_path / "report.txt").read_text("utf-8")
    assert len(shown.splitlines()) >= len(lines)
    assert "…" not in shown
    for line in lines:
        for column in ("net_minor", "awarded_points", "store", "first", "item", "sku", "units"):
            value = line.get(column, "")
            assert (f"{int(value):,}" if value.lstrip("-").isdigit() else value) in shown
    if report in {"sales", "offers"}:
        assert lines


def test_the_table_of_sales_fits_on_a_screen(loyalty: Loyalty) -> None:
    """It has the main figures; CSV has all."""
    assert max(map(len, loyalty("sales", "--by", "store").stdout.splitlines())) <= 120


def test_the_readme_runs(loyalty: Loyalty, tmp_path: Path) -> None:
    """Each command of its section."""
    section = README[README.index("## What members buy") :].partition("\n## ")[0]
    (block,) = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    for command in block.splitlines():
        words = shlex.split(command.replace("demand.parquet", str(tmp_path / "demand.parquet")), comments=True)
        program = words.index("--program")
        result = loyalty(*words[2:program], *words[program + 2 :])
        assert result.exit_code == 0, (command, result.output)
    assert (tmp_path / "demand.parquet").stat().st_size


def test_sums_are_the_same_however_they_are_told(loyalty: Loyalty) -> None:
    """By store, by day and at all."""
    (whole,) = rows(loyalty("sales", "--format", "csv").stdout)
    assert int(whole["sales"]) > 0
    for by in ("store", "day", "channel", "member"):
        lines = rows(loyalty("sales", "--by", by, "--format", "csv").stdout)
        for figure in ("gross_minor", "returned_minor", "net_minor", "awarded_points", "restored_points"):
            assert sum(int(line[figure]) for line in lines) == int(whole[figure]), (by, figure)


def test_brackets_of_a_code_are_no_markup(loyalty: Loyalty) -> None:
    """What a table is given it shows."""
    result = loyalty("sales", "--by", "sku")
    assert result.exit_code == 0, result.output


def test_members_a_limit_and_what_is_wrong(loyalty: Loyalty) -> None:
    """One line each; what was cut is said beside the lines."""
    result = loyalty("sales", "--by", "day", "--limit", "2", "--order", "net", "--format", "csv")
    assert (len(rows(result.stdout)), "more lines than the limit" in result.stderr) == (2, True)
    assert loyalty("won-lost", *PERIODS, "--members", "--format", "csv").exit_code == 0
    for words, told in (
        (("sales", "--format", "parquet"), "needs --output"),
        (("sales", "--channel", "door"), "give one of store, web"),
        (("sales", "--from", "soon"), "from_date"),
    ):
        result = loyalty(*words)
        assert (result.exit_code, told in result.stderr) == (1, True), result.output
