"""`loyalty report`: the books, for accountants and auditors."""

import csv
import json
import sys
from collections.abc import Callable, Container, Sequence
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import grpc
import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from loyalty.v1 import as_of_pb2 as a
from loyalty.v1 import books_pb2 as b
from loyalty.v1.audit_service_pb2_grpc import AuditServiceStub
from rich.console import Console
from rich.table import Table

from ledger.cli.connection import AddressOption, DataDirOption, TokenOption, connect, fail, fail_call
from ledger.cli.instants import timestamp_of
from ledger.domain.publish import MINOR_PER_THOUSAND_POINTS_MAX
from ledger.domain.rounding import INT64_MAX

CALL_TIMEOUT_S: Final = 120.0

VINTAGES_MAX: Final = 1_000
"""Vintages that a factor of the chain ladder may be said to need."""

ResultT = TypeVar("ResultT")

app = typer.Typer(
    help="Books: liability, breakage, deferred revenue, journal. Buying: sales, offers, pairs, demand.",
    no_args_is_help=True,
)


class Format(StrEnum):
    """How a report is printed."""

    table = "table"
    csv = "csv"
    json = "json"


class Day(StrEnum):
    """Which day counts."""

    booked = "booked"
    effective = "effective"


ProgramOption = Annotated[str, typer.Option(help="programs/{program}")]
AsOfOption = Annotated[
    str, typer.Option("--as-of", help="A position, or a time as 2026-01-31T00:00:00+01:00; UTC without an offset.")
]
EffectiveAtOption = Annotated[
    str, typer.Option("--effective-at", help="A time: count what took effect by then, and show what came late.")
]
PriceOption = Annotated[
    int,
    typer.Option(
        min=0,
        max=MINOR_PER_THOUSAND_POINTS_MAX,
        help="What 1,000 points are worth, in minor units; 0: what the program says.",
    ),
]
FromOption = Annotated[str, typer.Option("--from", help="The first day, as 2026-01-31.")]
UntilOption = Annotated[str, typer.Option("--until", help="The first day that is not wanted any more.")]
DayOption = Annotated[Day, typer.Option("--day", help="Count what happened when it was booked, or took effect.")]
FormatOption = Annotated[Format, typer.Option("--format", help="How to print it.")]
DEFAULT_PROGRAM: Final = "programs/sample"
_DAYS: Final = {Day.booked: b.BookDate.BOOK_DATE_BOOKED, Day.effective: b.BookDate.BOOK_DATE_EFFECTIVE}


@app.command()
def liability(
    program: ProgramOption = DEFAULT_PROGRAM,
    as_of: AsOfOption = "",
    price: PriceOption = 0,
    form: FormatOption = Format.table,
    address: AddressOption = "",
    token: TokenOption = "",
    data_dir: DataDirOption = Path("var"),
) -> None:
    """What members hold, by the month in which it was issued; the last line is the total."""
    request = b.GetLiabilityRequest(program=program, as_of=as_of_of(as_of), minor_per_thousand_points=price)
    answer = ask(address, token, data_dir, lambda audit, options: audit.GetLiability(request, **options))
    total = answer.total
    total.vintage = "total"
    hidden = ("period", "opening_points")
    show(form, answer.header, b.RollForward, [*answer.vintages, total], hidden)


@app.command("roll-forward")
def roll_forward(  # noqa: PLR0913, PLR0917 - the options of the command
    program: ProgramOption = DEFAULT_PROGRAM,
    as_of: AsOfOption = "",
    price: PriceOption = 0,
    first: FromOption = "",
    until: UntilOption = "",
    day: DayOption = Day.booked,
    months: Annotated[bool, typer.Option("--months", help="By month instead of by day.")] = False,
    form: FormatOption = Format.table,
    address: AddressOption = "",
    token: TokenOption = "",
    data_dir: DataDirOption = Path("var"),
) -> None:
    """What came and went, by day or month and vintage."""
    request = b.ReadRollForwardRequest(
        program=program,
        as_of=as_of_of(as_of),
        period=b.BookPeriod.BOOK_PERIOD_MONTH if months else b.BookPeriod.BOOK_PERIOD_DAY,
        date=_DAYS[day],
        from_date=first,
        until_date=until,
        minor_per_thousand_points=price,
    )
    parts = ask(address, token, data_dir, lambda audit, options: list(audit.ReadRollForward(request, **options)))
    show(form, parts[0].header, b.RollForward, [line for part in parts for line in part.lines])


@app.command()
def breakage(
    program: ProgramOption = DEFAULT_PROGRAM,
    as_of: AsOfOption = "",
    day: DayOption = Day.effective,
    vintages: Annotated[int, typer.Option(min=0, max=VINTAGES_MAX, help="Vintages that a factor needs; 0 for 3.")] = 0,
    form: FormatOption = Format.table,
    address: AddressOption = "",
    token: TokenOption = "",
    data_dir: DataDirOption = Path("var"),
) -> None:
    """What will never be redeemed, by the chain ladder, with the evidence for it."""
    request = b.GetBreakageRequest(program=program, as_of=as_of_of(as_of), date=_DAYS[day], vintages_min=vintages)
    answer = ask(address, token, data_dir, lambda audit, options: audit.GetBreakage(request, **options))
    if form == Format.json:
        typer.echo(json.dumps(_dict(answer)))
        return
    if form == Format.table:
        show(form, answer.header, b.DevelopmentFactor, answer.factors)
    show(
        form,
        answer.header,
        b.VintageEstimate,
        answer.vintages,
        () if form == Format.csv else ("redeemed_points_by_age",),
    )


@app.command()
def revenue(  # noqa: PLR0913, PLR0917 - the options of the command
    program: ProgramOption = DEFAULT_PROGRAM,
    as_of: AsOfOption = "",
    price: PriceOption = 0,
    day: DayOption = Day.booked,
    expect: Annotated[
        list[str] | None,
        typer.Option(
            help="Percent expected to be redeemed, as 97 or, from a month on, 2026-01=96.5; else by the ladder."
        ),
    ] = None,
    form: FormatOption = Format.table,
    address: AddressOption = "",
    token: TokenOption = "",
    data_dir: DataDirOption = Path("var"),
) -> None:
    """Deferred revenue by month and vintage, as IFRS 15 and ASC 606 have it."""
    request = b.GetDeferredRevenueRequest(
        program=program,
        as_of=as_of_of(as_of),
        date=_DAYS[day],
        minor_per_thousand_points=price,
        expectations=map(_expectation, expect or ()),
    )
    answer = ask(address, token, data_dir, lambda audit, options: audit.GetDeferredRevenue(request, **options))
    if form == Format.json:
        typer.echo(json.dumps(_dict(answer)))
        return
    if form == Format.table:
        show(form, answer.header, b.PriceAllocation, answer.allocations)
    show(form, answer.header, b.DeferredRevenue, answer.months)


@app.command()
def journal(  # noqa: PLR0913, PLR0917 - the options of the command
    program: ProgramOption = DEFAULT_PROGRAM,
    as_of: AsOfOption = "",
    price: PriceOption = 0,
    first: FromOption = "",
    until: UntilOption = "",
    form: FormatOption = Format.csv,
    address: AddressOption = "",
    token: TokenOption = "",
    data_dir: DataDirOption = Path("var"),
) -> None:
    """Balanced entries of the days that are over, for a general ledger. A day is the same whenever it is exported."""
    request = b.ReadJournalRequest(
        program=program, as_of=as_of_of(as_of), from_date=first, until_date=until, minor_per_thousand_points=price
    )
    parts = ask(address, token, data_dir, lambda audit, options: list(audit.ReadJournal(request, **options)))
    show(form, parts[0].header, b.JournalLine, [line for part in parts for line in part.lines])


@app.command()
def state(
    program: ProgramOption = DEFAULT_PROGRAM,
    as_of: AsOfOption = "",
    effective_at: EffectiveAtOption = "",
    form: FormatOption = Format.table,
    address: AddressOption = "",
    token: TokenOption = "",
    data_dir: DataDirOption = Path("var"),
) -> None:
    """What all members have, by tier; the last line is the total. With --effective-at also what is known of it now."""
    request = a.GetProgramStateRequest(
        program=program, as_of=as_of_of(as_of), effective_at=effective_at_of(effective_at)
    )
    answer = ask(address, token, data_dir, lambda audit, options: audit.GetProgramState(request, **options))
    if form == Format.json:
        typer.echo(json.dumps(_dict(answer)))
        return
    sides = [("believed", answer.believed)] + ([("known", answer.known)] if answer.HasField("known") else [])
    fields = [field.name for field in a.MemberTotals.DESCRIPTOR.fields]
    rows: list[list[str]] = []
    for side, shown in sides:
        shown.total.tier = "total"
        rows += [[side, *(_cell(getattr(line, name), form) for name in fields)] for line in (*shown.tiers, shown.total)]
    title = f"{program} at {answer.at.ToJsonString()}, believed up to position {answer.position}"
    print_rows(form, title, ["side", *fields], rows)


def ask(
    address: str, token: str, data_dir: Path, call: Callable[[AuditServiceStub, dict[str, Any]], ResultT]
) -> ResultT:
    """What a call of AuditService answers; ends the command with one line where it fails."""
    connection = connect(address, token, data_dir, "admin")
    options = {"metadata": connection.metadata, "timeout": CALL_TIMEOUT_S}
    with connection.channel:
        try:
            return call(AuditServiceStub(connection.channel), options)
        except grpc.RpcError as error:
            fail_call(error)


def as_of_of(text: str) -> b.AsOf:
    """The instant that a text names: a position, or a time."""
    if text.isdecimal():
        try:
            return b.AsOf(position=int(text))
        except ValueError:
            fail(f"--as-of {text}: give a position of at most {INT64_MAX}, or a time as 2026-01-31T00:00:00+01:00")
    return b.AsOf(recorded_at=timestamp_of(text, "--as-of", "a position, or a time")) if text else b.AsOf()


def effective_at_of(text: str) -> Timestamp | None:
    """The effective time that a text names; None for none."""
    return timestamp_of(text, "--effective-at", "a time") if text else None


def _expectation(text: str) -> b.Expectation:
    month, _, percent = text.rpartition("=")
    try:
        share = Decimal(percent)
    except InvalidOperation:
        share = Decimal("NaN")
    if not share.is_finite() or not 0 <= share <= 100:  # noqa: PLR2004 - percent
        fail(f"--expect {text}: give a percentage from 0 to 100, as 97, or one from a month on, as 2026-01=96.5")
    return b.Expectation(from_month=month, redeemed_millionths=round(share * 10_000))


def show(
    form: Format, header: b.BooksHeader, kind: type[Message], rows: Sequence[Message], hidden: Container[str] = ()
) -> None:
    """Prints rows of one kind: every field a column, but those that are hidden."""
    if form == Format.json:
        typer.echo(json.dumps({"header": _dict(header), "lines": [_dict(row) for row in rows]}))
        return
    fields = [field.name for field in kind.DESCRIPTOR.fields if field.name not in hidden]
    cells = [[_cell(getattr(row, name), form) for name in fields] for row in rows]
    title = f"{header.program} as of position {header.position}, amounts in {header.currency}"
    print_rows(form, title, fields, cells)


def print_rows(form: Format, title: str, fields: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    """Prints cells as CSV or as a table with a title."""
    if form == Format.csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(fields)
        writer.writerows(cells)
        return
    table = Table(title=title)
    for name in fields:
        table.add_column(name.replace("_", " "), justify="left" if name in _TEXTS else "right")
    for row in cells:
        table.add_row(*row)
    Console(markup=False).print(table)


_TEXTS: Final = frozenset(
    {"side", "tier", "vintage", "period", "month", "document", "date", "account", "reason", "store", "terminal"}
)


def _cell(value: object, form: Format) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and form == Format.table:
        return f"{value:,}"
    if isinstance(value, str | int):
        return str(value)
    return " ".join(map(str, value))  # type: ignore[call-overload]  # a repeated field


def _dict(message: Message) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
