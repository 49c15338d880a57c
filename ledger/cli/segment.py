"""`loyalty segment`: lists of members from files."""

import csv
import json
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple
from uuid import NAMESPACE_URL, uuid5

import grpc
import typer
from google.rpc.error_details_pb2 import BadRequest  # type: ignore[import-untyped]  # the package ships no types
from grpc_status import rpc_status
from loyalty.v1.crm_service_pb2_grpc import CrmServiceStub
from loyalty.v1.segment_pb2 import SetSegmentMembersRequest

from ledger.cli.connection import AddressOption, DataDirOption, TokenOption, connect, fail, fail_call
from ledger.cli.database import JsonOption

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
    digest = sha256("\n".join([segment, field, *(line.value for line in lines)]).encode()).hexdigest()
    connection = connect(address, token, data_dir, "admin")
    with connection.channel:
        call = CrmServiceStub(connection.channel).SetSegmentMembers
        options: Any = {"metadata": connection.metadata, "timeout": CALL_TIMEOUT_S}
        errors: list[str] = []
        for validate_only in (True, False):
            for number, batch in enumerate(_batches(lines)):
                request = SetSegmentMembersRequest(
                    request_id=str(uuid5(NAMESPACE_URL, f"loyalty:import:{digest}:{number}")),
                    name=segment,
                    validate_only=validate_only,
                )
                getattr(request, field).extend(line.value for line in batch)
                try:
                    call(request, **options)
                except grpc.RpcError as error:
                    errors += _errors(error, field, batch)
            if errors:
                _fail(errors)
    if as_json:
        typer.echo(json.dumps({"segment": segment, "column": column, "lines": len(lines)}))
    else:
        typer.echo(f"{len(lines)} lines {'taken off' if remove else 'put on'} the list of {segment}")


def _read(file: Path) -> tuple[str, list[_Line]]:
    """The column of a file and its lines; ends the command with all that is wrong with them."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            reader = csv.reader(opened)
            header = next(reader, [])
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        fail(f"{file} cannot be read: {error}")
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
        _fail(errors or ["line 2: is missing: there is nobody in the file"])
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


def _fail(errors: Sequence[str]) -> None:
    more = len(errors) - ERRORS_MAX
    told = [*errors[:ERRORS_MAX], *([f"{more} more lines are at fault"] if more > 0 else [])]
    fail("nothing was imported:\n" + "\n".join(told))
