"""`loyalty member`: what the ledger knows of a member, for support."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import grpc
import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp
from loyalty.v1.as_of_pb2 import GetMemberStateRequest, GetMemberStateResponse
from loyalty.v1.consent_pb2 import EraseMemberRequest, ErasureReason
from loyalty.v1.crm_service_pb2 import ListStatementEntriesRequest
from loyalty.v1.crm_service_pb2_grpc import CrmServiceStub
from loyalty.v1.member_pb2 import Identifier, IdentifierType
from loyalty.v1.person_pb2 import ExportMemberRequest
from loyalty.v1.pos_service_pb2 import GetBalanceRequest
from loyalty.v1.pos_service_pb2_grpc import PosServiceStub
from loyalty.v1.profile_pb2 import GetMemberRequest
from rich.console import Console
from rich.table import Column, Table
from uuid_utils.compat import uuid7

from ledger.as_of.state import figures
from ledger.cli.connection import AddressOption, DataDirOption, TokenOption, connect, fail, fail_call
from ledger.cli.report import AsOfOption, EffectiveAtOption, as_of_of, ask, effective_at_of

CALL_TIMEOUT_S: Final = 10.0

EXPORT_TIMEOUT_S: Final = 300.0

app = typer.Typer(help="Members: points, tier and statement, now and at any instant.", no_args_is_help=True)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="members/{member}")] = "",
    card: Annotated[str, typer.Option(help="Number of the loyalty card, instead of the name.")] = "",
    program: Annotated[str, typer.Option(help="programs/{program} of the card.")] = "",
    entries: Annotated[int, typer.Option(min=1, max=1_000, help="Lines of the statement.")] = 20,
    address: AddressOption = "",
    token: TokenOption = "",
    data_dir: DataDirOption = Path("var"),
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Show a member's points, tier and the newest lines of the statement."""
    if bool(name) == bool(card):
        fail("give either the member's name or --card")
    connection = connect(address, token, data_dir, "admin")
    asked = GetBalanceRequest(member=name) if name else GetBalanceRequest(identifier=_card(card, program))
    with connection.channel:
        try:
            balance = PosServiceStub(connection.channel).GetBalance(
                asked, metadata=connection.metadata, timeout=CALL_TIMEOUT_S
            )
            statement = CrmServiceStub(connection.channel).ListStatementEntries(
                ListStatementEntriesRequest(member=balance.member, page_size=entries),
                metadata=connection.metadata,
                timeout=CALL_TIMEOUT_S,
            )
        except grpc.RpcError as error:
            fail_call(error)
    if as_json:
        both = {
            "balance": MessageToDict(balance, preserving_proto_field_name=True),
            "statement": MessageToDict(statement, preserving_proto_field_name=True),
        }
        typer.echo(json.dumps(both))
        return
    points = balance.balance
    typer.echo(f"{balance.member}  tier {balance.tier.tier or 'none'}")
    typer.echo(
        f"{points.available_points} points available, {points.pending_points} pending, {points.held_points} held"
    )
    table = Table("recorded", "what", "points", "total", "store")
    for entry in statement.entries:
        table.add_row(_time(entry.recorded_at), entry.type, f"{entry.points:+d}", str(entry.total_points), entry.store)
    Console(markup=False).print(table)


@app.command()
def profile(
    name: Annotated[str, typer.Argument(help="members/{member}")],
    personal: Annotated[bool, typer.Option("--personal", help="Names, identifiers, attributes too; noted.")] = False,
    address: AddressOption = "",
    token: TokenOption = "",
    data_dir: DataDirOption = Path("var"),
) -> None:
    """Print everything that is known of a member, as JSON."""
    connection = connect(address, token, data_dir, "admin")
    request = GetMemberRequest(member=name, with_personal_data=personal)
    with connection.channel:
        try:
            stub = CrmServiceStub(connection.channel)
            found = stub.GetMember(request, metadata=connection.metadata, timeout=CALL_TIMEOUT_S)
        except grpc.RpcError as error:
            fail_call(error)
    typer.echo(json.dumps(MessageToDict(found, preserving_proto_field_name=True), indent=2, ensure_ascii=False))


@app.command()
def state(
    name: Annotated[str, typer.Argument(help="members/{member}")],
    as_of: AsOfOption = "",
    effective_at: EffectiveAtOption = "",
    address: AddressOption = "",
    token: TokenOption = "",
    data_dir: DataDirOption = Path("var"),
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Show what a member had at an instant: as it was believed then and as it is known now, and what came late."""
    request = GetMemberStateRequest(member=name, as_of=as_of_of(as_of), effective_at=effective_at_of(effective_at))
    answer = ask(address, token, data_dir, lambda audit, options: audit.GetMemberState(request, **options))
    if as_json:
        shown = MessageToDict(answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
        typer.echo(json.dumps(shown))
        return
    typer.echo(
        f"{answer.member} of {answer.program} at {answer.at.ToJsonString()}: what was believed up to position"
        f" {answer.position}, and what is known at {answer.head_position}"
    )
    console = Console(markup=False)
    console.print(_sides(answer))
    if answer.late_transactions:
        console.print(_late(answer))


@app.command()
def export(
    name: Annotated[str, typer.Argument(help="members/{member}")],
    address: AddressOption = "",
    token: TokenOption = "",
    data_dir: DataDirOption = Path("var"),
) -> None:
    """Print everything that is known about a member, as one JSON document. The audit trail says who did so."""
    connection = connect(address, token, data_dir, "admin")
    with connection.channel:
        try:
            for part in CrmServiceStub(connection.channel).ExportMember(
                ExportMemberRequest(member=name), metadata=connection.metadata, timeout=EXPORT_TIMEOUT_S
            ):
                typer.echo(part.document_part, nl=False)
        except grpc.RpcError as error:
            fail_call(error)
    typer.echo()


@app.command()
def erase(
    name: Annotated[str, typer.Argument(help="members/{member}")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: it cannot be undone.")] = False,
    address: AddressOption = "",
    token: TokenOption = "",
    data_dir: DataDirOption = Path("var"),
) -> None:
    """Erase all that is known about a person, at their request. Their points stay in the books until they expire."""
    if not yes:
        typer.confirm(f"Erase {name}, for ever?", abort=True)
    request = EraseMemberRequest(
        request_id=str(uuid7()), member=name, reason=ErasureReason.ERASURE_REASON_MEMBER_REQUEST
    )
    connection = connect(address, token, data_dir, "admin")
    with connection.channel:
        try:
            CrmServiceStub(connection.channel).EraseMember(
                request, metadata=connection.metadata, timeout=CALL_TIMEOUT_S
            )
        except grpc.RpcError as error:
            fail_call(error)
    typer.echo(f"{name} is erased")


def _sides(answer: GetMemberStateResponse) -> Table:
    """Both states side by side; what is not the same is in bold."""
    believed, known = dict(figures(answer.believed)), dict(figures(answer.known))
    table = Table("what", Column("believed", justify="right"), Column("known", justify="right"))
    for what in {**believed, **known}:
        one, other = believed.get(what, ""), known.get(what, "")
        table.add_row(what, one, other, style="bold" if one != other else "")
    return table


def _late(answer: GetMemberStateResponse) -> Table:
    """What came late."""
    more = answer.total_late_transactions - len(answer.late_transactions)
    table = Table("effective", "recorded", "position", "what", "points", "store", "transaction", title="recorded later")
    for late in answer.late_transactions:
        table.add_row(
            _time(late.effective_at),
            _time(late.recorded_at),
            str(late.position),
            late.type,
            f"{late.points:+d}",
            late.store,
            late.transaction,
        )
    if more:
        table.caption = f"and {more} more"
    return table


def _card(number: str, program: str) -> Identifier:
    return Identifier(type=IdentifierType.IDENTIFIER_TYPE_CARD, value=number, program=program or "programs/sample")


def _time(stamp: Timestamp) -> str:
    return datetime.fromtimestamp(stamp.seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
