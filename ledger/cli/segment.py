"""`loyalty segment`: lists of members from files."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, NoReturn

import grpc
import typer
from google.rpc.error_details_pb2 import BadRequest  # type: ignore[import-untyped]  # the package ships no types
from grpc_status import rpc_status
from loyalty.v1.crm_service_pb2_grpc import CrmServiceStub
from loyalty.v1.segment_pb2 import SetSegmentMembersRequest
from uuid_utils.compat import uuid7

from ledger.cli.connection import AddressOption, DataDirOption, TokenOption, connect, fail, fail_call
from ledger.cli.database import JsonOption
from ledger.cli.patience import RETRIED, patiently

BATCH_LINES: Final = 1_000
"""Lines of a file that go with one call."""

ERRORS_MAX: Final = 100
"""Lines at fault that are told; a last line says how many more there are."""

CALL_TIMEOUT_S: Final = 30.0

_FIELDS: Final = {"member": "", "external_id": "_external_ids"}
"""The columns that a file may have, and how the fields of the request go on for them."""

app = typer.Typer(help="Segments: lists of members from files.", no_args_is_help=True)


class _Line(NamedTuple):
    number: int
    value: str


@app.command("import")
def import_list(
    segment: Annotated[str, typer.Argument(help="programs/{program}/segments/{segment}")],
    file: Annotated[Path, typer.Argument(help="CSV in UTF-8 with the column member or external_id.")],
    remove: Annotated[bool, typer.Option("--remove", help="Take them off the list instead.")] = False,
    address: AddressOption = "",
    token: TokenOption = "",
    data_dir: DataDirOption = Path("var"),
    as_json: JsonOption = False,
) -> None:
    """Put the members of a file on a segment's list: all are checked first. Run it again to go on after a failure."""
    column, lines = _read(file)
    field = ("remove" if remove else "add") + _FIELDS[column]
    connection = connect(address, token, data_dir, "admin")
    with connection.channel:
        call = CrmServiceStub(connection.channel).SetSegmentMembers
        options: Any = {"metadata": connection.metadata, "timeout": CALL_TIMEOUT_S}

        def send(batch: Sequence[_Line], *, validate_only: bool) -> None:
            # A new command in each run: since the file was imported before, others may have changed the list.
            request = SetSegmentMembersRequest(request_id=str(uuid7()), name=segment, validate_only=validate_only)
            getattr(request, field).extend(line.value for line in batch)
            patiently(lambda: call(request, **options))

        errors: list[str] = []
        for batch in _batches(lines):
            try:
                send(batch, validate_only=True)
            except grpc.RpcError as error:
                errors += _errors(error, field, batch)
        if errors:
            _fail("nothing was imported", errors)
        done = 0
        for batch in _batches(lines):
            try:
                send(batch, validate_only=False)
            except grpc.RpcError as error:
                unknown = f", and the next {len(batch)} may be" if error.code() in RETRIED else ""
                again = "put right what follows and run the same command again"
                typer.echo(f"loyalty: {done} of {len(lines)} lines are imported{unknown}: {again}", err=True)
                _fail("the others are not", _errors(error, field, batch))
            done += len(batch)
    if as_json:
        typer.echo(json.dumps({"segment": segment, "column": column, "lines": len(lines)}))
    else:
        typer.echo(f"{len(lines)} lines {'taken off' if remove else 'put on'} the list of {segment}")


def _read(file: Path) -> tuple[str, list[_Line]]:
    """The column of a file and its lines; ends the command with all that is wrong with them."""
    try:
        reader = csv.reader(io.StringIO(file.read_bytes().decode("utf-8-sig"), newline=""))
        header = next(reader, [])
        rows = [(reader.line_num, row) for row in reader]
    except OSError as error:
        fail(f"{file} cannot be read: {error}")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        fail(f"{file}: line {line}: is not UTF-8: save the file as UTF-8")
    except csv.Error as error:
        fail(f"{file}: line {reader.line_num}: cannot be read as CSV: {error}")
    column = header[0].strip() if len(header) == 1 else ""
    if column not in _FIELDS:
        fail(f"{file}: line 1: must be the name of the only column, member or external_id")
    lines: dict[str, _Line] = {}
    errors: list[str] = []
    for number, row in rows:
        value = row[0].strip() if len(row) == 1 else ""
        if not value:
            errors.append(f"line {number}: must have one value")
        elif value in lines:
            errors.append(f"line {number}: is there already, in line {lines[value].number}")
        else:
            lines[value] = _Line(number, value)
    if errors or not lines:
        _fail("nothing was imported", errors or ["line 2: is missing: there is nobody in the file"])
    return column, list(lines.values())


def _batches(lines: Sequence[_Line]) -> Iterator[Sequence[_Line]]:
    for first in range(0, len(lines), BATCH_LINES):
        yield lines[first : first + BATCH_LINES]


def _errors(error: grpc.RpcError, field: str, batch: Sequence[_Line]) -> list[str]:
    """What is wrong with lines of a batch; ends the command where it is something else."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # it is a grpc.Call too, which its types deny
    bad = BadRequest()
    for detail in status.details if status is not None else ():
        detail.Unpack(bad)
    found: list[str] = []
    for violation in bad.field_violations:
        name, _, index = violation.field.partition("[")
        if name == field:
            line = batch[int(index.rstrip("]"))]
            found.append(f"line {line.number}: {violation.description}")
        elif not violation.field and found:
            found.append(f"lines {batch[0].number} to {batch[-1].number}: {violation.description}")
    if not found:
        fail_call(error)
    return found


def _fail(what: str, errors: Sequence[str]) -> NoReturn:
    more = len(errors) - ERRORS_MAX
    told = [*errors[:ERRORS_MAX], *([f"{more} more lines are at fault"] if more > 0 else [])]
    fail(f"{what}:\n" + "\n".join(told))
