"""`loyalty value`: what members are worth, and the models of what they will buy."""

import json
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import grpc
import psycopg
import typer
from google.protobuf.json_format import MessageToDict
from loyalty.v1 import value_pb2 as v
from loyalty.v1.crm_service_pb2_grpc import CrmServiceStub

from ledger.cli.connection import AddressOption, DataDirOption, TokenOption, connect, fail, fail_call
from ledger.cli.database import DatabaseOption, JsonOption, LocalOption, database
from ledger.cli.report import CALL_TIMEOUT_S, DEFAULT_PROGRAM, Format, FormatOption, ProgramOption, print_rows
from ledger.cli.trail import record
from ledger.local_postgres import LocalPostgresError

if TYPE_CHECKING:
    from projections.estimates import Done

ResultT = TypeVar("ResultT")

PERCENT_MILLIONTHS: Final = 10_000

PAGE_MEMBERS: Final = 1_000

app = typer.Typer(help="What members are worth: RFM, high value, cohorts, forecasts.", no_args_is_help=True)

DayOption = Annotated[str, typer.Option("--as-of", help="The last day that counts, as 2026-01-31; else today.")]
WindowOption = Annotated[int, typer.Option("--window-days", min=0, help="Only sales of so many days; 0: all time.")]


@app.command()
def fit(
    program: ProgramOption = DEFAULT_PROGRAM,
    as_of: Annotated[
        str, typer.Option("--as-of", help="The last day that counts, as 2026-01-31; else the last one that is over.")
    ] = "",
    database_url: DatabaseOption = "",
    local: LocalOption = False,
    data_dir: DataDirOption = Path("var"),
    as_json: JsonOption = False,
) -> None:
    """Fit the models of purchases and spend to a program's sales, and store what they expect of each member."""
    try:
        from ledger.value.purchases import FitFailed  # noqa: PLC0415 - needs the extra, as no other command
        from projections.estimates import NothingKnown, fit_and_store  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in {"scipy", "numpy"}:
            raise
        fail("models are fitted with SciPy: pip install 'loyalty-ledger[value]'")
    day = _day(as_of)
    try:
        with database(database_url, data_dir, local=local) as url:
            record(url, "loyalty value fit", program, {"as_of": as_of} if as_of else {})
            done = fit_and_store(url, program, day, time.time_ns() // 1_000)
    except psycopg.errors.UndefinedTable:
        fail("the database has no ledger yet; run `loyalty migrate` first")
    except (FitFailed, NothingKnown, LocalPostgresError) as error:
        fail(str(error))
    except (OSError, psycopg.Error) as error:
        fail(" ".join(str(error).split()))
    typer.echo(json.dumps(_as_dict(done)) if as_json else _said(done))


@app.command()
def rfm(
    program: ProgramOption = DEFAULT_PROGRAM,
    as_of: DayOption = "",
    window_days: WindowOption = 0,
    form: FormatOption = Format.table,
    address: AddressOption = "",
    token: TokenOption = "",
    data_dir: DataDirOption = Path("var"),
) -> None:
    """How many members are in each group by recency, frequency and monetary value."""
    request = v.GetRfmRequest(span=v.SalesSpan(program=program, as_of=as_of, window_days=window_days))
    answer = _ask(address, token, data_dir, lambda crm, options: crm.GetRfm(request, **options))
    if form == Format.json:
        typer.echo(json.dumps(MessageToDict(answer, preserving_proto_field_name=True)))
        return
    rows = [
        [_group(one.group), str(one.members), str(one.sales), str(one.net_minor)] for one in answer.groups
    ]  # fmt: skip
    title = f"{program} as of {answer.span.as_of}; members without a sale: {answer.members_without_sale}"
    print_rows(form, title, ["group", "members", "sales", "net_minor"], rows)


@app.command("high-value")
def high_value(  # noqa: PLR0913, PLR0917 - the options of the command
    program: ProgramOption = DEFAULT_PROGRAM,
    as_of: DayOption = "",
    window_days: WindowOption = 0,
    percent: Annotated[float, typer.Option(min=0.0001, max=100, help="The share that is of high value.")] = 10.0,
    of_total: Annotated[bool, typer.Option("--of-total", help="Who make up that share, not that share of members.")] = (
        False
    ),
    margin: Annotated[bool, typer.Option("--margin", help="By margin, not by net spend.")] = False,
    form: FormatOption = Format.table,
    address: AddressOption = "",
    token: TokenOption = "",
    data_dir: DataDirOption = Path("var"),
) -> None:
    """Members of high value, the first first, with the reason."""
    request = v.ListHighValueMembersRequest(
        span=v.SalesSpan(program=program, as_of=as_of, window_days=window_days),
        measure=v.ValueMeasure.VALUE_MEASURE_MARGIN if margin else v.ValueMeasure.VALUE_MEASURE_UNSPECIFIED,
        share_of=v.ShareOf.SHARE_OF_TOTAL if of_total else v.ShareOf.SHARE_OF_UNSPECIFIED,
        share_millionths=round(percent * PERCENT_MILLIONTHS),
        page_size=PAGE_MEMBERS,
    )

    def pages(crm: CrmServiceStub, options: dict[str, Any]) -> list[v.HighValueMember]:
        members: list[v.HighValueMember] = []
        while True:
            page = crm.ListHighValueMembers(request, **options)
            members += page.members
            request.page_token = page.next_page_token
            if not request.page_token:
                return members

    members = _ask(address, token, data_dir, pages)
    if form == Format.json:
        typer.echo(json.dumps([MessageToDict(one, preserving_proto_field_name=True) for one in members]))
        return
    fields = [field.name for field in v.HighValueMember.DESCRIPTOR.fields if field.name != "reason"]
    rows = [[*(str(getattr(one, name)) for name in fields), one.reason.en, one.reason.hi] for one in members]
    print_rows(form, f"Members of high value of {program}", [*fields, "reason_en", "reason_hi"], rows)


@app.command()
def cohorts(
    program: ProgramOption = DEFAULT_PROGRAM,
    as_of: DayOption = "",
    by_enrolment: Annotated[
        bool, typer.Option("--by-enrolment", help="By the month of enrolment, not of the first sale.")
    ] = False,
    form: FormatOption = Format.csv,
    address: AddressOption = "",
    token: TokenOption = "",
    data_dir: DataDirOption = Path("var"),
) -> None:
    """Members who began in the same month, and how many of them bought in each month since."""
    by = v.CohortBy.COHORT_BY_ENROLMENT if by_enrolment else v.CohortBy.COHORT_BY_UNSPECIFIED
    request = v.GetCohortsRequest(span=v.SalesSpan(program=program, as_of=as_of), by=by)
    answer = _ask(address, token, data_dir, lambda crm, options: crm.GetCohorts(request, **options))
    if form == Format.json:
        typer.echo(json.dumps(MessageToDict(answer, preserving_proto_field_name=True)))
        return
    fields = [field.name for field in v.CohortMonth.DESCRIPTOR.fields]
    rows = [
        [cohort.cohort, str(cohort.members), *(str(getattr(month, name)) for name in fields)]
        for cohort in answer.cohorts
        for month in cohort.months
    ]
    print_rows(form, f"{program} as of {answer.span.as_of}", ["cohort", "members", *fields], rows)


def _ask(
    address: str, token: str, data_dir: Path, call: Callable[[CrmServiceStub, dict[str, Any]], ResultT]
) -> ResultT:
    """What CrmService answers; ends the command with one line where it fails."""
    connection = connect(address, token, data_dir, "admin")
    options = {"metadata": connection.metadata, "timeout": CALL_TIMEOUT_S}
    with connection.channel:
        try:
            return call(CrmServiceStub(connection.channel), options)
        except grpc.RpcError as error:
            fail_call(error)


def _group(group: v.RfmGroup.ValueType) -> str:
    return v.RfmGroup.Name(group).removeprefix("RFM_GROUP_").lower()


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        fail(f"--as-of {text}: give a day, as 2026-01-31")


def _as_dict(done: "Done") -> dict[str, Any]:
    holdout = done.holdout
    return {
        "program": done.program,
        "version": done.version,
        "as_of": done.as_of.isoformat(),
        **done.fitted.purchase._asdict(),
        "spend": None if done.fitted.spend is None else done.fitted.spend._asdict(),
        **done.fitted.evidence._asdict(),
        "holdout": None
        if holdout is None
        else holdout._asdict() | {"lines": [line._asdict() for line in holdout.lines]},
    }


def _said(done: "Done") -> str:
    r, alpha, a, b = done.fitted.purchase
    evidence = done.fitted.evidence
    known = f"{evidence.members:,} members, of whom {evidence.repeat_members:,} bought on more than one day"
    parameters = f"r {r:.4g}, alpha {alpha:.4g}, a {a:.4g}, b {b:.4g}"
    lines = [
        f"model {done.version} of {done.program} as of {done.as_of}: {known}",
        f"purchases (BG/NBD): {parameters}; log-likelihood {evidence.log_likelihood:,.1f}",
    ]
    if done.fitted.spend is not None:
        p, q, scale = done.fitted.spend
        lines.append(
            f"spend (Gamma-Gamma): p {p:.4g}, q {q:.4g}, v {scale:.6g}; correlation with purchases"
            f" {evidence.spend_correlation:.2f}"
        )
    if done.holdout is not None:
        foretold = sum(line.expected for line in done.holdout.lines)
        came = sum(line.purchases for line in done.holdout.lines)
        lines.append(
            f"the last {done.holdout.days} days held out: {foretold:,.0f} purchases foretold, {came:,} came;"
            f" {done.holdout.mean_absolute_error:.2f} off per member"
        )
    return "\n".join(lines)
