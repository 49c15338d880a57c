"""`loyalty till`: a till at the command line, to try the service."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import grpc
import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from loyalty.v1.account_pb2 import ReceiptText
from loyalty.v1.commands_pb2 import EnrollMemberRequest, RecordSaleRequest
from loyalty.v1.member_pb2 import Identifier, IdentifierType
from loyalty.v1.origin_pb2 import EntryMode, Origin
from loyalty.v1.pos_service_pb2 import ExplainTransactionRequest, GetBalanceRequest
from loyalty.v1.pos_service_pb2_grpc import PosServiceStub
from loyalty.v1.sale_pb2 import Sale, SaleLine
from uuid_utils.compat import uuid7

from ledger.cli.connection import (
    AddressOption,
    Connection,
    DataDirOption,
    TokenOption,
    connect,
    fail,
    fail_call,
)

CALL_TIMEOUT_S = 10.0

app = typer.Typer(help="Try the service as a till would.", no_args_is_help=True)

CardOption = Annotated[str, typer.Option(help="Number of the loyalty card.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the reply as JSON.")]
LanguageOption = Annotated[str, typer.Option(help="Language of the receipt: en or hi.")]


@app.command()
def enroll(
    card: CardOption,
    address: AddressOption = "",
    token: TokenOption = "",
    data_dir: DataDirOption = Path("var"),
    as_json: JsonOption = False,
) -> None:
    """Enrol a member with a card."""
    connection = connect(address, token, data_dir, "pos")
    with connection.channel:
        _enroll(connection, card, as_json=as_json)


@app.command()
def sale(
    card: CardOption,
    amount: Annotated[str, typer.Option(help="Amount with decimals, such as 1250.00.")],
    enroll_first: Annotated[bool, typer.Option("--enroll", help="Enrol the card first if it is new.")] = False,
    language: LanguageOption = "en",
    address: AddressOption = "",
    token: TokenOption = "",
    data_dir: DataDirOption = Path("var"),
    as_json: JsonOption = False,
) -> None:
    """Record a sale of one item and print the receipt's lines."""
    try:
        price_minor = int(Decimal(amount) * 100)
    except (InvalidOperation, ValueError, OverflowError):
        fail(f"{amount!r} is not an amount: write it like 1250.00")
    connection = connect(address, token, data_dir, "pos")
    with connection.channel:
        if enroll_first:
            _enroll(connection, card, as_json=as_json)
        request = RecordSaleRequest(
            request_id=str(uuid7()),
            origin=Origin(entry_mode=EntryMode.ENTRY_MODE_KEYED),
            identifier=_card(card),
            sale=Sale(lines=[SaleLine(sku="sample", price_minor=price_minor)]),
        )
        try:
            reply = PosServiceStub(connection.channel).RecordSale(
                request, metadata=connection.metadata, timeout=CALL_TIMEOUT_S
            )
        except grpc.RpcError as error:
            fail_call(error)
        if as_json:
            _print_json(reply)
            return
        _print_text(reply.receipt.texts, language)


@app.command()
def balance(
    card: CardOption,
    address: AddressOption = "",
    token: TokenOption = "",
    data_dir: DataDirOption = Path("var"),
    as_json: JsonOption = False,
) -> None:
    """Show a member's points and tier."""
    connection = connect(address, token, data_dir, "pos")
    with connection.channel:
        try:
            reply = PosServiceStub(connection.channel).GetBalance(
                GetBalanceRequest(identifier=_card(card)),
                metadata=connection.metadata,
                timeout=CALL_TIMEOUT_S,
            )
        except grpc.RpcError as error:
            fail_call(error)
        if as_json:
            _print_json(reply)
            return
        points = reply.balance
        as_of = datetime.fromtimestamp(points.as_of.seconds, UTC).isoformat()
        typer.echo(
            f"{reply.member}: {points.available_points} points available, "
            f"{points.pending_points} pending, {points.held_points} held, "
            f"tier {reply.tier.tier or 'none'}, as of {as_of}"
        )


@app.command()
def explain(
    transaction: Annotated[str, typer.Argument(help="transactions/{request_id}, as every reply has it.")],
    language: LanguageOption = "en",
    address: AddressOption = "",
    token: TokenOption = "",
    data_dir: DataDirOption = Path("var"),
    as_json: JsonOption = False,
) -> None:
    """Say why a transaction came to its points, or why it was refused."""
    name = transaction if transaction.startswith("transactions/") else f"transactions/{transaction}"
    connection = connect(address, token, data_dir, "pos")
    with connection.channel:
        try:
            reply = PosServiceStub(connection.channel).ExplainTransaction(
                ExplainTransactionRequest(name=name), metadata=connection.metadata, timeout=CALL_TIMEOUT_S
            )
        except grpc.RpcError as error:
            fail_call(error)
        if as_json:
            _print_json(reply)
            return
        _print_text(reply.explanation.texts, language)


def _enroll(connection: Connection, card: str, *, as_json: bool) -> None:
    request = EnrollMemberRequest(request_id=str(uuid7()), identifiers=[_card(card)])
    try:
        reply = PosServiceStub(connection.channel).EnrollMember(
            request, metadata=connection.metadata, timeout=CALL_TIMEOUT_S
        )
    except grpc.RpcError as error:
        fail_call(error)
    if as_json:
        _print_json(reply)
    else:
        typer.echo(f"{'known' if reply.existed else 'enrolled'}: {reply.member}")


def _card(number: str) -> Identifier:
    return Identifier(type=IdentifierType.IDENTIFIER_TYPE_CARD, value=number)


def _print_text(texts: Iterable[ReceiptText], language: str) -> None:
    for text in texts:
        if text.language_code == language:
            for line in text.lines:
                typer.echo(line)


def _print_json(message: Message) -> None:
    typer.echo(json.dumps(MessageToDict(message, preserving_proto_field_name=True)))
