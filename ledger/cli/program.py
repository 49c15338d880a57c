"""`loyalty program`: programs as files, from checking them to publishing them."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar
from uuid import NAMESPACE_URL, uuid5

import grpc
import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp
from loyalty.v1.commands_pb2 import PublishProgramRequest
from loyalty.v1.origin_pb2 import Channel, Origin
from loyalty.v1.program_pb2 import Program
from loyalty.v1.program_service_pb2 import GetProgramRequest, ListProgramVersionsRequest, ProgramVersion
from loyalty.v1.program_service_pb2_grpc import ProgramServiceStub
from rich.console import Console
from rich.table import Table

from ledger.cli.connection import (
    AddressOption,
    Connection,
    DataDirOption,
    TokenOption,
    connect,
    fail,
    fail_call,
)
from ledger.program_diff import Difference, differences
from ledger.program_file import read_file

CALL_TIMEOUT_S: Final = 30.0

ATTEMPTS_MAX: Final = 5
"""How often a publication is sent whose outcome is not known."""

RETRY_DELAY_S: Final = 1.0

RETRIED: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
"""Where nobody knows what happened; the same request id makes it happen once."""

app = typer.Typer(help="Programs as files: validate, compare, publish.", no_args_is_help=True)

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A program as YAML or JSON.", show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
EtagOption = Annotated[
    str,
    typer.Option(help="The etag of the version that the file was made from, as `diff` shows it."),
]

ReplyT = TypeVar("ReplyT")


@app.command()
def validate(file: FileArgument, as_json: JsonOption = False) -> None:
    """Check a file without a server: every problem with its line, field and reason. Status 1 when there is any."""
    definition = _read(file, as_json=as_json)
    if as_json:
        typer.echo(json.dumps({"file": str(file), "name": definition.name, "problems": []}))
    else:
        typer.echo(f"{file}: {definition.name} can be published")


@app.command()
def diff(
    file: FileArgument,
    address: AddressOption = "",
    token: TokenOption = "",
    data_dir: DataDirOption = Path("var"),
    as_json: JsonOption = False,
) -> None:
    """Show what differs from the newest published version, field by field."""
    definition = _read(file, as_json=as_json)
    connection = connect(address, token, data_dir, "admin")
    with connection.channel:
        newest = _newest(connection, definition.name)
    found = differences(newest or Program(), definition)
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "name": definition.name,
                    "version": newest.version if newest is not None else 0,
                    "etag": newest.etag if newest is not None else "",
                    "differences": [difference._asdict() for difference in found],
                }
            )
        )
        return
    if newest is None:
        typer.echo(f"{definition.name} is not published yet; all of it is new")
    elif not found:
        typer.echo(f"nothing differs from version {newest.version}, etag {newest.etag}")
    else:
        typer.echo(f"compared with version {newest.version}, etag {newest.etag}:")
    for difference in found:
        typer.echo(_line(difference))


@app.command()
def publish(
    file: FileArgument,
    etag: EtagOption = "",
    operator: Annotated[str, typer.Option(help="Who publishes; the credential when empty.")] = "",
    address: AddressOption = "",
    token: TokenOption = "",
    data_dir: DataDirOption = Path("var"),
    as_json: JsonOption = False,
) -> None:
    """Publish a file as the next version, unless nothing differs. Sent again, also after a failure, it happens once.

    With an etag, given here or in the file, it is refused where somebody else has published in between.
    """
    definition = _read(file, as_json=as_json)
    connection = connect(address, token, data_dir, "admin")
    with connection.channel:
        newest = _newest(connection, definition.name)
        if newest is not None and not differences(newest, definition):
            _tell_published(newest, published=False, as_json=as_json)
            return
        definition.etag = etag or definition.etag or (newest.etag if newest is not None else "")
        definition.ClearField("version")
        request = PublishProgramRequest(
            request_id=request_id_of(definition),
            origin=Origin(operator=operator, channel=Channel.CHANNEL_BACK_OFFICE),
            program=definition,
        )
        reply = _call(connection, ProgramServiceStub(connection.channel).PublishProgram, request)
    _tell_published(reply.program, published=True, as_json=as_json)


@app.command()
def history(
    program: Annotated[str, typer.Argument(metavar="PROGRAM", help="programs/{program}", show_default=False)],
    address: AddressOption = "",
    token: TokenOption = "",
    data_dir: DataDirOption = Path("var"),
    as_json: JsonOption = False,
) -> None:
    """List the versions of a program, newest first: when each was published, by whom and when it begins."""
    connection = connect(address, token, data_dir, "admin")
    versions: list[ProgramVersion] = []
    page_token = ""
    with connection.channel:
        stub = ProgramServiceStub(connection.channel)
        while True:
            request = ListProgramVersionsRequest(program=_name(program), page_token=page_token)
            page = _call(connection, stub.ListProgramVersions, request)
            versions.extend(page.versions)
            page_token = page.next_page_token
            if not page_token:
                break
    if as_json:
        listed = [MessageToDict(version, preserving_proto_field_name=True) for version in versions]
        typer.echo(json.dumps({"versions": listed}))
        return
    table = Table("version", "published", "by", "begins")
    for version in versions:
        begins = _time(version.starts_at) if version.HasField("starts_at") else "at once"
        table.add_row(str(version.version), _time(version.recorded_at), version.origin.operator, begins)
    Console(markup=False).print(table)


def request_id_of(definition: Program) -> str:
    """The request id of a publication: the same for the same rules on the same version, so that it happens once."""
    content = definition.SerializeToString(deterministic=True).hex()
    return str(uuid5(NAMESPACE_URL, f"loyalty:publish:{content}"))


def _read(file: Path, *, as_json: bool) -> Program:
    """The program in a file, or the end of the command with all that is wrong with it."""
    try:
        definition, problems = read_file(file)
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror or error}")
    if not problems:
        return definition
    if as_json:
        told = [problem._asdict() for problem in problems]
        typer.echo(json.dumps({"file": str(file), "name": definition.name, "problems": told}))
    else:
        for line, field, reason in problems:
            typer.echo(f"{file}:{line}: {field}{': ' if field else ''}{reason}", err=True)
        typer.echo(f"loyalty: {len(problems)} {'problem' if len(problems) == 1 else 'problems'} in {file}", err=True)
    raise typer.Exit(1)


def _newest(connection: Connection, name: str) -> Program | None:
    """The newest version of a program; None where there is none."""
    try:
        return (
            ProgramServiceStub(connection.channel)
            .GetProgram(GetProgramRequest(name=name), metadata=connection.metadata, timeout=CALL_TIMEOUT_S)
            .program
        )
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.NOT_FOUND:
            return None
        fail_call(error)


def _call(connection: Connection, method: Callable[..., ReplyT], request: Any) -> ReplyT:
    """What a call answers, sent again as it is while nobody knows what came of it."""
    for attempt in range(1, ATTEMPTS_MAX + 1):
        try:
            return method(request, metadata=connection.metadata, timeout=CALL_TIMEOUT_S)
        except grpc.RpcError as error:
            if error.code() not in RETRIED or attempt == ATTEMPTS_MAX:
                fail_call(error)
        time.sleep(RETRY_DELAY_S)
    raise AssertionError("the last attempt returns or ends the command")


def _tell_published(definition: Program, *, published: bool, as_json: bool) -> None:
    if as_json:
        told = {
            "name": definition.name,
            "version": definition.version,
            "etag": definition.etag,
            "published": published,
        }
        typer.echo(json.dumps(told))
    elif published:
        begins = f", begins {_time(definition.starts_at)}" if definition.HasField("starts_at") else ""
        typer.echo(f"published: {definition.name} version {definition.version}, etag {definition.etag}{begins}")
    else:
        typer.echo(f"nothing differs from version {definition.version} of {definition.name}: not published again")


def _line(difference: Difference) -> str:
    field, before, after = difference
    if not before:
        return f"+ {field}: {after}"
    return f"- {field}: {before}" if not after else f"~ {field}: {before} -> {after}"


def _name(program: str) -> str:
    return program if program.startswith("programs/") else f"programs/{program}"


def _time(stamp: Timestamp) -> str:
    return datetime.fromtimestamp(stamp.seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
