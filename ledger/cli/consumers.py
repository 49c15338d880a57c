"""`loyalty consumers`: who follows the feed, and how far each is."""

import json
from pathlib import Path
from typing import Annotated

import grpc
import typer
from google.protobuf.json_format import MessageToDict
from loyalty.v1.crm_service_pb2_grpc import CrmServiceStub
from loyalty.v1.feed_pb2 import (
    AcknowledgeChangesRequest,
    DeleteConsumerRequest,
    ListConsumersRequest,
    ListConsumersResponse,
)
from rich.console import Console
from rich.table import Table

from ledger.cli.connection import AddressOption, DataDirOption, TokenOption, connect, fail_call
from ledger.cli.database import JsonOption

app = typer.Typer(help="The systems that follow the feed of changes.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="Its name, without consumers/.")]


@app.command("list")
def list_command(
    address: AddressOption = "",
    token: TokenOption = "",
    data_dir: DataDirOption = Path("var"),
    as_json: JsonOption = False,
) -> None:
    """List the consumers, how far each is, and when it was last there."""
    connection = connect(address, token, data_dir, "admin")
    try:
        with connection.channel as channel:
            found = CrmServiceStub(channel).ListConsumers(ListConsumersRequest(), metadata=connection.metadata)
    except grpc.RpcError as error:
        fail_call(error)
    if as_json:
        typer.echo(json.dumps([MessageToDict(one, preserving_proto_field_name=True) for one in found.consumers]))
    else:
        _print(found)


@app.command()
def reset(
    name: NameArgument,
    position: Annotated[int, typer.Option(min=0, help="0: it gets a snapshot first.")] = 0,
    address: AddressOption = "",
    token: TokenOption = "",
    data_dir: DataDirOption = Path("var"),
) -> None:
    """Have a consumer go on behind another position, further back too. Stop it first: it would go on from its own.

    What keeps a position of its own goes on behind that one. A copy of `loyalty watch` begins anew after a reset to 0.
    """
    connection = connect(address, token, data_dir, "admin")
    try:
        with connection.channel as channel:
            crm = CrmServiceStub(channel)
            log_id = crm.ListConsumers(ListConsumersRequest(), metadata=connection.metadata).log_id
            request = AcknowledgeChangesRequest(
                consumer=f"consumers/{name}", log_id=log_id, position=position, reset=True
            )
            crm.AcknowledgeChanges(request, metadata=connection.metadata)
    except grpc.RpcError as error:
        fail_call(error)
    typer.echo(f"{name} goes on behind position {position}")


@app.command()
def delete(
    name: NameArgument, address: AddressOption = "", token: TokenOption = "", data_dir: DataDirOption = Path("var")
) -> None:
    """Forget a consumer; its stream ends."""
    connection = connect(address, token, data_dir, "admin")
    try:
        with connection.channel as channel:
            request = DeleteConsumerRequest(name=f"consumers/{name}")
            CrmServiceStub(channel).DeleteConsumer(request, metadata=connection.metadata)
    except grpc.RpcError as error:
        fail_call(error)
    typer.echo(f"{name} is forgotten")


def _print(found: ListConsumersResponse) -> None:
    table = Table("consumer", "program", "types", "position", "events behind", "seconds behind", "last seen")
    for one in found.consumers:
        table.add_row(
            one.name.removeprefix("consumers/"),
            one.program or "all",
            " ".join(one.types) or "all",
            f"{one.position}" + (" of another log" if one.log_id != found.log_id else ""),
            str(one.lag_events),
            f"{one.lag_ms / 1_000:.1f}",
            f"{one.seen_at.ToDatetime():%F %T}" if one.HasField("seen_at") else "never",
        )
    Console(markup=False).print(table)
