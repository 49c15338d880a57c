"""`loyalty watch`: the feed of changes in a file."""

import sqlite3
from pathlib import Path
from typing import Annotated

import grpc
import typer

from ledger.cli.connection import AddressOption, DataDirOption, TokenOption, connect, fail, fail_call
from ledger.watch.copy import OtherFilter, SqliteCopy
from ledger.watch.follow import Follower, SchemaUnknown, Wanted


def watch(
    file: Annotated[Path, typer.Argument(help="SQLite file that gets members and changes; made where there is none.")],
    consumer: Annotated[str, typer.Option(help="Name under which the server knows this copy.")],
    program: Annotated[str, typer.Option(help="Only the changes of programs/{program}.")] = "",
    types: Annotated[
        list[str] | None,
        typer.Option("--type", help="Only events of this type, as SaleRecorded, and erasures; may be repeated."),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="End when the file is up to date.")] = False,
    address: AddressOption = "",
    token: TokenOption = "",
    data_dir: DataDirOption = Path("var"),
) -> None:
    """Keep a copy of all members and changes in an SQLite file, each change once, until Ctrl-C."""
    connection = connect(address, token, data_dir, "admin")
    wanted = Wanted(consumer, program, types or ())
    try:
        with connection.channel, SqliteCopy(file) as copy:
            Follower(connection.channel, connection.metadata, wanted).follow(copy, until_head=once)
            typer.echo(f"{file} has everything up to position {copy.place().position}")
    except grpc.RpcError as error:
        fail_call(error)
    except (OtherFilter, SchemaUnknown, sqlite3.Error) as error:
        fail(f"{file}: {error}")
