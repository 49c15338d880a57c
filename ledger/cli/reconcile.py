"""`loyalty reconcile`: the ledger against what others say."""

from pathlib import Path
from typing import Annotated

import typer
from loyalty.v1 import books_pb2 as b

from ledger.books.tills import BYTES_MAX, BadFile, read_file
from ledger.cli.connection import AddressOption, DataDirOption, TokenOption, fail
from ledger.cli.report import DEFAULT_PROGRAM, Format, FormatOption, ProgramOption, ask, show

app = typer.Typer(help="Reconciliation with tills.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Keeps `tills` a command of a group, also while it is the only one."""


@app.command()
def tills(
    file: Annotated[Path, typer.Argument(help="CSV of receipts or of totals by day; see ReconcileTills.")],
    program: ProgramOption = DEFAULT_PROGRAM,
    form: FormatOption = Format.table,
    address: AddressOption = "",
    token: TokenOption = "",
    data_dir: DataDirOption = Path("var"),
) -> None:
    """Compare a file of the tills with the ledger, receipt by receipt; status 1 when anything differs."""
    try:
        with file.open("rb") as opened:
            content = opened.read(BYTES_MAX + 1)
        read_file(content)
    except OSError as error:
        fail(str(error))
    except BadFile as bad:
        fail("\nloyalty: ".join(f"{file}:{one.line}: {one.problem}" for one in bad.problems))
    request = b.ReconcileTillsRequest(program=program, csv=content)
    answer = ask(address, token, data_dir, lambda audit, options: audit.ReconcileTills(request, **options))
    header = b.BooksHeader(program=program, position=answer.position, currency="minor units")
    if form != Format.csv:
        show(form, header, b.TillDay, answer.days)
    if answer.differences or form == Format.csv:
        show(form, header, b.TillDifference, answer.differences)
    if answer.total_differences:
        raise typer.Exit(1)
