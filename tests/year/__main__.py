"""`make demo PROGRAM=...`: the real year by the rules of a program, in the ledger and in the independent model.

python -m tests.year grocery|fashion|coffee|FILE
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from ledger import programs
from ledger.cli.connection import DataDirOption, fail
from ledger.cli.demo import (
    DIFFERENCES_SHOWN_MAX,
    check_installed,
    definition_of,
    failures_told,
    own_server,
    print_report,
)
from ledger.demo.progress import shown_progress
from tests.model.dates import US
from tests.model.published import NotKnown, read
from tests.model.scheme import Rules

if TYPE_CHECKING:
    from tests.year.run import YearReport


def main(
    program: Annotated[str, typer.Argument(help="grocery, fashion or coffee, or a program's file.")],
    baskets: Annotated[
        int | None,
        typer.Option(envvar="DEMO_BASKETS", min=1, help="Only the first so many baskets of the year."),
    ] = None,
    data_dir: DataDirOption = Path("var"),
) -> None:
    """Load the year by the rules of a program, and compare every point with the independent model."""
    check_installed()
    from tests.year.run import run_by_both  # noqa: PLC0415 - needs what was checked

    definition, rules = definition_of(program), _rules(program)
    with failures_told(), own_server(baskets, definition, data_dir) as server, shown_progress() as progress:
        report = run_by_both(server.endpoint(), baskets, progress, definition, rules)
    print_report(report.demo)
    _print(report)
    if not report.holds:
        raise typer.Exit(1)


def _print(report: "YearReport") -> None:
    """The comparison with the model."""
    console = Console()
    console.print(
        f"The ledger was read in {report.read_seconds:.1f} s, the model took {report.model_seconds:.1f} s.",
        highlight=False,
    )
    as_of = datetime.fromtimestamp(report.at // US, UTC)
    table = Table(title=f"Points, lot by lot and receipt by receipt; balances as of {as_of:%Y-%m-%d %H:%M} UTC")
    table.add_column("")
    for heading in ("model", "ledger", "differences"):
        table.add_column(heading, justify="right")
    for total in report.points.totals:
        table.add_row(total.figure, *(f"{figure:,}" for figure in total[1:]))
    console.print(table)
    differences = report.points.differences
    for difference in differences[:DIFFERENCES_SHOWN_MAX]:
        console.print(str(difference), highlight=False)
    if len(differences) > DIFFERENCES_SHOWN_MAX:
        console.print(f"and {len(differences) - DIFFERENCES_SHOWN_MAX:,} more", highlight=False)
    console.print(f"{len(differences) or 'zero'} differences between the model and the ledger.".capitalize())


def _rules(program: str) -> Rules:
    try:
        return read(programs.find(program))
    except NotKnown as unknown:
        fail(f"the model does not know what {program} says: {unknown}")


if __name__ == "__main__":
    typer.run(main)
