"""`loyalty import`: what other systems know of members, from their files."""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Final, NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

import grpc
import typer
from google.protobuf.timestamp_pb2 import Timestamp
from loyalty.v1.crm_service_pb2_grpc import CrmServiceStub
from loyalty.v1.profile_pb2 import UpsertMembersRequest, UpsertMembersResponse, UpsertState
from loyalty.v1.program_pb2 import Program
from loyalty.v1.program_service_pb2 import GetProgramRequest
from loyalty.v1.program_service_pb2_grpc import ProgramServiceStub

from ledger.cli.connection import AddressOption, Connection, DataDirOption, TokenOption, connect, fail, fail_call
from ledger.cli.instants import timestamp_of
from ledger.cli.progress import progress_bar
from ledger.members_file import MembersFile, Problem, Row, Unreadable

ROWS_MAX: Final = 250
"""Lines in one call, and so in one commit: tills wait no longer than that takes."""

BYTES_MAX: Final = 2 * 1024 * 1024
"""Bytes of lines in one call: servers take 4 MiB."""

SHOWN_MAX: Final = 100
"""Problems that are shown; the others are counted."""

CALL_TIMEOUT_S: Final = 30.0

PATIENCE_S: Final = 60.0
"""How long a call is tried again while the server does not take it."""

_RETRIED: Final = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED}
)

app = typer.Typer(help="Import what other systems know.", no_args_is_help=True)


@app.callback()
def _import() -> None:
    """Import what other systems know."""


@app.command()
def members(  # noqa: PLR0913, PLR0917 - one for each option
    file: Annotated[Path, typer.Argument(help="CSV: external_id, profile fields, identifiers and attributes.")],
    program: Annotated[str, typer.Option(help="programs/{program}")],
    create: Annotated[bool, typer.Option("--create", help="Enrol whoever is not a member.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look at the file and write nothing.")] = False,
    source: Annotated[str, typer.Option(help="The system that the file is from, such as crm.")] = "",
    source_time: Annotated[str, typer.Option(help="When that system wrote it; the file's time unless given.")] = "",
    address: AddressOption = "",
    token: TokenOption = "",
    data_dir: DataDirOption = Path("var"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Set what a CRM system knows of members.

    Nothing is written unless the whole file is right. A run that was stopped goes on where it was when the same file is
    imported again; nothing is written twice.
    """
    connection = connect(address, token, data_dir, "admin")
    with connection.channel:
        checked = MembersFile(file, _program(connection, program))
        try:
            digest = _check(file, checked)
            if dry_run:
                typer.echo(json.dumps({"problems": 0}) if as_json else f"{file} is right; nothing was written")
                return
            at = timestamp_of(source_time, "--source-time") if source_time else _time_of(file)
            head = UpsertMembersRequest(program=program, create_missing=create, source=source, source_time=at)
            result = _Import(connection, head, digest, file).run(checked)
        except OSError as error:
            fail(str(error))
        except Unreadable as error:
            fail(f"{error.problem}: what was not sent until then is not imported")
    _print(result, as_json=as_json)


def _program(connection: Connection, name: str) -> Program:
    try:
        stub = ProgramServiceStub(connection.channel)
        request = GetProgramRequest(name=name)
        return stub.GetProgram(request, metadata=connection.metadata, timeout=CALL_TIMEOUT_S).program
    except grpc.RpcError as error:
        fail_call(error)


def _check(file: Path, checked: MembersFile) -> bytes:
    """Ends the command with all problems of a file that has some; else its SHA-256."""
    problems = checked.problems()
    shown = list(islice(problems, SHOWN_MAX))
    if shown:
        more = sum(1 for _ in problems)
        for problem in shown:
            typer.echo(f"{file}: {problem}", err=True)
        if more:
            typer.echo(f"{file}: and {more} more problems", err=True)
        fail("nothing was written: correct the file and import it again")
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").digest()


def _time_of(file: Path) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(datetime.fromtimestamp(int(file.stat().st_mtime), UTC))
    return stamp


class _Result(NamedTuple):
    """What an import came to."""

    counts: Counter[str]
    """Lines by what became of them."""
    failed: list[Problem]
    """The first lines that failed."""
    resumed_behind: int
    """Lines that an earlier run had sent."""


class _Import:
    """One import.

    Its id follows from the file and what it is imported as, and that of each call from its lines: a call that is sent
    again is answered as it was the first time.
    """

    def __init__(self, connection: Connection, head: UpsertMembersRequest, digest: bytes, file: Path) -> None:
        self._stub = CrmServiceStub(connection.channel)
        self._metadata = connection.metadata
        self._head = head
        content = digest + head.SerializeToString(deterministic=True)
        self._id = uuid5(NAMESPACE_URL, f"loyalty:import:{content.hex()}")
        self._position_file = file.with_name(f"{file.name}.position")

    def run(self, checked: MembersFile) -> _Result:
        """Sends all lines behind the position of an earlier run."""
        sent = resumed_behind = self._read_position()
        result = _Result(Counter(), [], resumed_behind)
        with progress_bar("importing") as bar:
            for rows in _batches(islice(checked.rows(), sent, None)):
                self._take(rows, self._send(rows, sent), result)
                sent += len(rows)
                self._write_position(sent)
                bar(sent, sent)
        self._position_file.unlink(missing_ok=True)
        return result

    def _send(self, rows: list[Row], sent: int) -> UpsertMembersResponse:
        request = UpsertMembersRequest()
        request.CopyFrom(self._head)
        request.request_id = str(uuid5(self._id, f"{sent}+{len(rows)}"))
        request.items.extend(row.item for row in rows)
        until = time.monotonic() + PATIENCE_S
        pause_s = 0.1
        while True:
            try:
                return self._stub.UpsertMembers(request, metadata=self._metadata, timeout=CALL_TIMEOUT_S)
            except grpc.RpcError as error:
                if error.code() not in _RETRIED or time.monotonic() > until:
                    typer.echo(f"loyalty: {sent} lines are imported: run the same command to go on", err=True)
                    fail_call(error)
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, 5.0)

    @staticmethod
    def _take(rows: list[Row], response: UpsertMembersResponse, result: _Result) -> None:
        for row, one in zip(rows, response.results, strict=True):
            if one.HasField("error"):
                result.counts["failed"] += 1
                if len(result.failed) < SHOWN_MAX:
                    result.failed.append(Problem(row.line, "", one.error.message))
            else:
                result.counts[UpsertState.Name(one.state).removeprefix("UPSERT_STATE_").lower()] += 1

    def _read_position(self) -> int:
        """How many lines an earlier run of the same import has sent."""
        try:
            position = json.loads(self._position_file.read_text(encoding="utf-8"))
            return int(position["lines"]) if UUID(position["import"]) == self._id else 0
        except (OSError, ValueError, KeyError, TypeError):
            return 0  # whatever is sent again is answered as before

    def _write_position(self, lines: int) -> None:
        new = self._position_file.with_name(f"{self._position_file.name}.new")
        new.write_text(json.dumps({"import": str(self._id), "lines": lines}), encoding="utf-8")
        new.replace(self._position_file)


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """Rows in calls that servers take; the same ones each time."""
    batch: list[Row] = []
    size = 0
    for row in rows:
        length = row.item.ByteSize()
        if batch and (len(batch) == ROWS_MAX or size + length > BYTES_MAX):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += length
    if batch:
        yield batch


def _print(result: _Result, *, as_json: bool) -> None:
    """Says what became of the lines; ends the command with status 1 where some failed."""
    counts = {name: result.counts[name] for name in ("created", "updated", "unchanged", "failed")}
    if as_json:
        typer.echo(json.dumps({**counts, "resumed_behind": result.resumed_behind}))
    else:
        typer.echo(", ".join(f"{count} {name}" for name, count in counts.items()))
        if result.resumed_behind:
            typer.echo(f"{result.resumed_behind} lines had been imported before")
    for problem in result.failed:
        typer.echo(str(problem), err=True)
    if result.counts["failed"]:
        raise typer.Exit(1)
